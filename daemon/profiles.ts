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
import { fromUtf8, toHex, utf8 } from "../base/bytes.ts";
import { MachinePrivate } from "../base/keys.ts";
import type { RandomBytes } from "../base/keys.ts";
import { StateFileError } from "./state_file.ts";
import type { StateStore } from "./state_file.ts";
import { newPrefs, readPrefs, savedPrefsText } from "./prefs.ts";
import type { Prefs } from "./prefs.ts";
import { NO_USER } from "./persist.ts";
import type { UserProfile } from "../control/wire/tailcfg.ts";

/** What is remembered of the tailnet a profile belongs to (ipn.NetworkProfile). */
export interface NetworkProfile {
  readonly MagicDNSName: string;
  readonly DomainName: string;
  readonly DisplayName: string;
}

/** One login (ipn.LoginProfile); the field names are the store's. */
export interface LoginProfile {
  readonly ID: string;
  readonly Name: string;
  readonly NetworkProfile: NetworkProfile;
  /** State key of its preferences, "" while it lives in memory only. */
  readonly Key: string;
  readonly UserProfile: UserProfile;
  readonly NodeID: string;
  readonly LocalUserID: string;
  readonly ControlURL: string;
  readonly Created?: string;
}

const NO_NETWORK: NetworkProfile = { MagicDNSName: "", DomainName: "", DisplayName: "" };

const NEW_PROFILE: LoginProfile = {
  ID: "",
  Name: "",
  NetworkProfile: NO_NETWORK,
  Key: "",
  UserProfile: NO_USER,
  NodeID: "",
  LocalUserID: "",
  ControlURL: "",
};

const MACHINE_KEY = "_machinekey";
const PROFILES = "_profiles";
const CURRENT = "_current-profile";
const LEGACY = "_daemon";

/** Preferences before the first login: as new ones, but logged out. */
function loggedOutPrefs(): Prefs {
  return { ...newPrefs(), LoggedOut: true };
}

function readText(store: StateStore, key: string): string | undefined {
  const bytes = store.read(key);
  if (bytes === undefined || bytes.length === 0) return undefined;
  const text = fromUtf8(bytes);
  if (text === undefined) throw corrupt(key, "it is not UTF-8");
  return text;
}

function corrupt(key: string, seen: string): StateFileError {
  return new StateFileError(
    `Cannot use the saved state: the value of ${JSON.stringify(key)} is damaged (${seen}); it was left as it is, ` +
      `restore a copy or move the state file away to start as a new node`,
  );
}

function readJson(store: StateStore, key: string): unknown {
  const text = readText(store, key);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw corrupt(key, "it is not JSON");
  }
}

function readProfiles(store: StateStore): Map<string, LoginProfile> {
  const value = readJson(store, PROFILES) ?? {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw corrupt(PROFILES, "it is not an object");
  }
  const profiles = new Map<string, LoginProfile>();
  for (const [id, entry] of Object.entries(value)) {
    if (typeof entry !== "object" || entry === null || typeof entry.Key !== "string" || entry.Key === "") {
      throw corrupt(PROFILES, `profile ${JSON.stringify(id)} has no key`);
    }
    profiles.set(id, { ...NEW_PROFILE, ...entry, ID: id });
  }
  return profiles;
}

function readSavedPrefs(store: StateStore, key: string): Prefs | undefined {
  const value = readJson(store, key);
  if (value === undefined) return undefined;
  const prefs = readPrefs(value, "saved");
  if (typeof prefs === "string") throw corrupt(key, prefs);
  return prefs;
}

/** The profiles of a store. All changes go through `setPrefs`, `forget` and the machine key. */
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
    if (persist !== undefined && persist.nodeId !== "") {
      profile = this.#matching(prefs) ?? profile;
      if (profile.ID === "") profile = { ...profile, ...this.#newId(), Created: new Date(this.#wall()).toISOString() };
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
    const old = this.#current;
    this.#current = NEW_PROFILE;
    this.#prefs = loggedOutPrefs();
    if (old.ID === "") return;
    this.#known.delete(old.ID);
    this.#writeProfiles();
    this.#store.write(old.Key, undefined);
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
