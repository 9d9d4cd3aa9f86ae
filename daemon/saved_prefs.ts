/**
 * The current profile's preferences, and keeping them. A store that fails is a warning: the node goes on with what it
 * has in memory, and says that a restart would lose it.
 */
import type { Netmap } from "../control/client/netmap.ts";
import type { Health } from "./health.ts";
import type { Log } from "./log.ts";
import { magicDnsSuffix } from "./node_view.ts";
import { EMPTY_PERSIST } from "./persist.ts";
import type { Persist } from "./persist.ts";
import type { Prefs } from "./prefs.ts";
import type { LoginProfile, NetworkProfile } from "./login_profile.ts";
import type { Profiles } from "./profiles.ts";

/** Preferences with a place in the store. */
export class SavedPrefs {
  readonly #profiles: Profiles;
  readonly #health: Health;
  readonly #log: Log;
  readonly #wall: () => number;
  #unsaved = false;

  constructor(profiles: Profiles, health: Health, log: Log, wall: () => number) {
    this.#profiles = profiles;
    this.#health = health;
    this.#log = log;
    this.#wall = wall;
  }

  get current(): Prefs {
    return this.#profiles.prefs;
  }

  /** A restart finds them. */
  get stored(): boolean {
    return !this.#unsaved;
  }

  /** Stores what could not be stored before. */
  retry(): void {
    if (this.#unsaved) this.set(this.current);
  }

  /** @returns false when they could not be stored, and are in force all the same. */
  set(prefs: Prefs, network?: NetworkProfile): boolean {
    return this.#store(() => this.#profiles.setPrefs(prefs, network));
  }

  /** ID of the profile in the store, "" while it lives in memory only. */
  get profileId(): string {
    return this.#profiles.current.ID;
  }

  /** The profile itself, without keys. */
  get profile(): LoginProfile {
    return this.#profiles.current;
  }

  /** All profiles with a place in the store, oldest first. */
  get profiles(): LoginProfile[] {
    return this.#profiles.list();
  }

  /** Makes another profile current. @throws StateFileError; then nothing changed. */
  switchTo(id: string): void {
    this.#profiles.switchTo(id);
  }

  /** Leaves the current profile in the store for a new one, logged out. */
  startNew(): void {
    this.#profiles.startNew();
  }

  /** Deletes a profile that is not current, and its keys. @throws StateFileError */
  delete(id: string): void {
    this.#profiles.delete(id);
  }

  /** As `set`. */
  setPersist(persist: Persist): boolean {
    return this.set({ ...this.current, persist });
  }

  /** Keeps what a login made: keys and user. What else belongs to the profile is not the login's to change. As `set`. */
  setKeys({ nodeKey, oldNodeKey, lockKey, userProfile, tryingKey }: Persist): boolean {
    const { tryingKey: _, ...rest } = this.current.persist ?? EMPTY_PERSIST;
    const trying = tryingKey && { tryingKey };
    return this.setPersist({ ...rest, nodeKey, oldNodeKey, lockKey, userProfile, ...trying });
  }

  /** Deletes the profile and its keys. */
  forget(): void {
    this.#store(() => this.#profiles.forget());
  }

  /** Keeps what a netmap says of ourselves: node, user, tailnet. */
  keepLogin(netmap: Netmap): void {
    const persist = this.current.persist ?? EMPTY_PERSIST;
    const user = netmap.users.get(netmap.self.User) ?? persist.userProfile;
    const old = this.#profiles.current.NetworkProfile;
    const network = { ...old, MagicDNSName: magicDnsSuffix(netmap.self), DomainName: netmap.domain };
    const same = persist.nodeId === netmap.self.StableID && persist.userProfile.ID === user.ID &&
      persist.userProfile.LoginName === user.LoginName && old.DomainName === network.DomainName &&
      old.MagicDNSName === network.MagicDNSName;
    if (same) return;
    this.set({ ...this.current, persist: { ...persist, nodeId: netmap.self.StableID, userProfile: user } }, network);
  }

  #store(run: () => void): boolean {
    try {
      run();
      this.#unsaved = false;
      this.#health.clear("agent-state-unsaved");
      return true;
    } catch (cause) {
      const error = cause instanceof Error ? cause.message : String(cause);
      this.#unsaved = true;
      this.#log.error(error);
      this.#health.warn("agent-state-unsaved", this.#wall(), { error });
      return false;
    }
  }
}
