/**
 * Login profiles in the state store: which one is current, its preferences and keys.
 *
 * | state key          | bytes                                                        |
 * |--------------------|--------------------------------------------------------------|
 * | `_machinekey`      | text `privkey:<hex>`, one for all profiles                    |
 * | `_profiles`        | JSON map of profile ID to LoginProfile                        |
 * | `_current-profile` | text, the key of the current profile: `profile-<id>`          |
 * | `profile-<id>`     | JSON of the profile's preferences, keys included              |
 * | `_daemon`          | preferences of versions before profiles; read, never written  |
 *
 * A profile gets an ID, and so a place in the store, once control has said who it is; until then it lives in memory.
 * Source: ipn/ipnlocal/profiles.go, ipn/store.go.
 */
import { toHex, utf8 } from "../base/bytes.ts";
import { MachinePrivate } from "../base/keys.ts";
import type { RandomBytes } from "../base/keys.ts";
import { corrupt, inOrder, NEW_PROFILE, PROFILES, readProfiles, readSavedPrefs, readText } from "./login_profile.ts";
import type { LoginProfile, NetworkProfile } from "./login_profile.ts";
import { newPrefs, savedPrefsText } from "./prefs.ts";
import type { Prefs } from "./prefs.ts";
import { NO_USER } from "./persist.ts";
import type { StateStore } from "./state_file.ts";

const MACHINE_KEY = "_machinekey";
/** State key of the key of the current profile. */
export const CURRENT = "_current-profile";
/** State key of the preferences of versions before profiles. */
export const LEGACY = "_daemon";

/** Preferences before the first login: as new ones, but logged out. */
function loggedOutPrefs(): Prefs {
  return { ...newPrefs(), LoggedOut: true };
}

/** The profiles of a store, one of them current. */
export class Profiles {
  readonly #store: StateStore;
  readonly #random: RandomBytes;
  readonly #wall: () => number;
  readonly #known: Map<string, LoginProfile>;
  #current: LoginProfile = NEW_PROFILE;
  #prefs: Prefs = loggedOutPrefs();
  #machineKey: MachinePrivate | undefined;

  /** @throws StateFileError when the store holds something we would have to write over without understanding it. */
  constructor(store: StateStore, random: RandomBytes, wall: () => number) {
    this.#store = store;
    this.#random = random;
    this.#wall = wall;
    this.#known = readProfiles(store);
    this.#machineKey = this.#readMachineKey();
    const key = readText(store, CURRENT);
    const found = [...this.#known.values()].find((profile) => profile.Key === key);
    if (found !== undefined) {
      this.#current = found;
      this.#prefs = readSavedPrefs(store, found.Key) ?? loggedOutPrefs();
    } else if (this.#known.size === 0) {
      this.#prefs = readSavedPrefs(store, LEGACY) ?? loggedOutPrefs();
    }
  }

  get current(): LoginProfile {
    return this.#current;
  }

  get prefs(): Prefs {
    return this.#prefs;
  }

  /** Those with a place in the store, oldest first. */
  list(): LoginProfile[] {
    return inOrder(this.#known.values());
  }

  /** Makes a known profile current, for the next start too; false when there is none of this ID. @throws StateFileError */
  switchTo(id: string): boolean {
    const profile = this.#known.get(id);
    if (profile === undefined) return false;
    const prefs = readSavedPrefs(this.#store, profile.Key) ?? loggedOutPrefs();
    this.#store.write(CURRENT, utf8(profile.Key));
    this.#current = profile;
    this.#prefs = prefs;
    return true;
  }

  /** A new profile, logged out, becomes current; the others stay. The store hears of it at its first login. */
  startNew(): void {
    this.#current = NEW_PROFILE;
    this.#prefs = loggedOutPrefs();
  }

  /** The machine's key, made and stored at first use. @throws StateFileError */
  machineKey(): MachinePrivate {
    if (this.#machineKey === undefined) {
      const key = MachinePrivate.generate(this.#random);
      this.#store.write(MACHINE_KEY, utf8(key.revealText()));
      this.#machineKey = key;
    }
    return this.#machineKey;
  }

  /**
   * Makes these the current preferences, and stores them where the profile has a place in the store or now gets one.
   * They are current even when storing fails. @throws StateFileError
   */
  setPrefs(prefs: Prefs, network: NetworkProfile = this.#current.NetworkProfile): void {
    this.#prefs = prefs;
    const persist = prefs.persist;
    let profile = this.#current;
    // Control says who we are, but not which of the operator's profiles this is: one with a place keeps it.
    if (persist !== undefined && persist.nodeId !== "" && profile.ID === "") {
      const Created = new Date(this.#wall()).toISOString();
      profile = this.#matching(prefs) ?? { ...profile, ...this.#newId(), Created };
    }
    const user = persist?.userProfile ?? NO_USER;
    profile = {
      ...profile,
      Name: prefs.ProfileName !== "" ? prefs.ProfileName : user.LoginName,
      NetworkProfile: network,
      UserProfile: { ...user, DisplayName: user.DisplayName || user.LoginName },
      NodeID: persist?.nodeId ?? "",
      ControlURL: prefs.ControlURL,
    };
    this.#current = profile;
    if (profile.ID === "") return;
    this.#known.set(profile.ID, profile);
    // The preferences first: a crash in between leaves a profile nobody points to, not a pointer to nothing.
    this.#store.write(profile.Key, utf8(savedPrefsText(prefs)));
    this.#writeProfiles();
    this.#store.write(CURRENT, utf8(profile.Key));
  }

  /** Deletes the current profile and its keys; a new one, logged out, takes its place. @throws StateFileError */
  forget(): void {
    const { ID } = this.#current;
    this.startNew();
    this.delete(ID);
  }

  /** Deletes a profile that is not current, keys and all. @throws StateFileError */
  delete(id: string): void {
    const profile = this.#known.get(id);
    if (profile === undefined) return;
    this.#known.delete(id);
    this.#writeProfiles();
    this.#store.write(profile.Key, undefined);
  }

  #readMachineKey(): MachinePrivate | undefined {
    const text = readText(this.#store, MACHINE_KEY);
    if (text === undefined) return undefined;
    const key = MachinePrivate.parse(text);
    if (key === undefined) throw corrupt(MACHINE_KEY, "it is not a key");
    return key;
  }

  /** A known profile of the same server and the same user or node: logging in again does not make a second one. */
  #matching(prefs: Prefs): LoginProfile | undefined {
    const persist = prefs.persist!;
    return [...this.#known.values()].find((profile) =>
      profile.ControlURL === prefs.ControlURL &&
      (profile.NodeID === persist.nodeId ||
        (persist.userProfile.LoginName !== "" && profile.UserProfile.ID === persist.userProfile.ID))
    );
  }

  #newId(): { ID: string; Key: string } {
    for (;;) {
      const id = toHex(this.#random(2));
      if (!this.#known.has(id)) return { ID: id, Key: `profile-${id}` };
    }
  }

  #writeProfiles(): void {
    this.#store.write(PROFILES, utf8(JSON.stringify(Object.fromEntries(this.#known))));
  }
}
