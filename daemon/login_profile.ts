/**
 * One login profile as the state store has it, and reading such from a store whose bytes are not to be trusted.
 *
 * Source: ipn.LoginProfile, ipn.NetworkProfile.
 */
import { fromUtf8 } from "../base/bytes.ts";
import type { UserProfile } from "../control/wire/tailcfg.ts";
import { NO_USER } from "./persist.ts";
import { readPrefs } from "./prefs.ts";
import type { Prefs } from "./prefs.ts";
import { StateFileError } from "./state_file.ts";
import type { StateStore } from "./state_file.ts";

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

/** A profile that lives in memory only. */
export const NEW_PROFILE: LoginProfile = {
  ID: "",
  Name: "",
  NetworkProfile: NO_NETWORK,
  Key: "",
  UserProfile: NO_USER,
  NodeID: "",
  LocalUserID: "",
  ControlURL: "",
};

/** State key of the map of profiles. */
export const PROFILES = "_profiles";

/** Text of a key, undefined when absent or empty. @throws StateFileError when it is not UTF-8. */
export function readText(store: StateStore, key: string): string | undefined {
  const bytes = store.read(key);
  if (bytes === undefined || bytes.length === 0) return undefined;
  const text = fromUtf8(bytes);
  if (text === undefined) throw corrupt(key, "it is not UTF-8");
  return text;
}

/** What to throw for a value that is there and cannot be understood. */
export function corrupt(key: string, seen: string): StateFileError {
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

/** The profiles by ID. @throws StateFileError */
export function readProfiles(store: StateStore): Map<string, LoginProfile> {
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

/** A profile's preferences, undefined when there are none. @throws StateFileError */
export function readSavedPrefs(store: StateStore, key: string): Prefs | undefined {
  const value = readJson(store, key);
  if (value === undefined) return undefined;
  const prefs = readPrefs(value, "saved");
  if (typeof prefs === "string") throw corrupt(key, prefs);
  return prefs;
}

/** Oldest first, those of versions that noted no time before all (allProfilesFor in profiles.go). */
export function inOrder(profiles: Iterable<LoginProfile>): LoginProfile[] {
  const key = ({ Created, Name, NetworkProfile }: LoginProfile) => [Created ?? "", Name, NetworkProfile.DomainName];
  return [...profiles].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    const at = x.findIndex((text, i) => text !== y[i]);
    return at < 0 ? 0 : x[at] < y[at] ? -1 : 1;
  });
}
