/**
 * The part of a profile the user does not set: keys and the login they belong to. It is `Config` in the preferences'
 * JSON, Go's `persist.Persist`.
 *
 * The state file gets the keys as text. Every other reader (LocalAPI, bus, log) gets Go's zero keys in their place.
 */
import { LockPrivate } from "../base/lock_key.ts";
import { NodePrivate } from "../base/keys.ts";
import { isZero } from "../base/bytes.ts";
import type { UserProfile } from "../control/wire/tailcfg.ts";

/** Keys and login of a profile. */
export interface Persist {
  readonly nodeKey: NodePrivate | undefined;
  /** The key before, named at registration so that control knows the node again. */
  readonly oldNodeKey: NodePrivate | undefined;
  readonly userProfile: UserProfile;
  /** Tailnet-lock key, made once per profile. */
  readonly lockKey: LockPrivate | undefined;
  /** Stable node ID control gave us, "" before. */
  readonly nodeId: string;
  readonly disallowedTkaStateIds: readonly string[];
  /** A key that control was asked to take; whether it did is not known. Ours alone. */
  readonly tryingKey?: NodePrivate;
  /** Fields of other versions, written back as they were. */
  readonly unknown: Readonly<Record<string, unknown>>;
}

const ZERO_PRIVATE_KEY = `privkey:${"0".repeat(64)}`;
const ZERO_LOCK_KEY = `nlpriv:${"0".repeat(128)}`;

/** No user: what Go writes before the first login. */
export const NO_USER: UserProfile = { ID: 0, LoginName: "", DisplayName: "" };

/** A profile without keys. */
export const EMPTY_PERSIST: Persist = {
  nodeKey: undefined,
  oldNodeKey: undefined,
  userProfile: NO_USER,
  lockKey: undefined,
  nodeId: "",
  disallowedTkaStateIds: [],
  unknown: {},
};

/** Field of `tryingKey`; Tailscale passes over it. */
const TRYING = "AgentTryingNodeKey";

const KNOWN = new Set([
  TRYING,
  "PrivateNodeKey",
  "OldPrivateNodeKey",
  "UserProfile",
  "NetworkLockKey",
  "NodeID",
  "DisallowedTKAStateIDs",
]);

function nodeKey(value: unknown): NodePrivate | undefined | "bad" {
  if (value === undefined || value === null || value === "") return undefined;
  const key = typeof value === "string" ? NodePrivate.parse(value) : undefined;
  if (key === undefined) return "bad";
  return isZero(key.reveal()) ? undefined : key;
}

function lockKey(value: unknown): LockPrivate | undefined | "bad" {
  if (value === undefined || value === null || value === "" || value === ZERO_LOCK_KEY) return undefined;
  return typeof value === "string" ? LockPrivate.parse(value) ?? "bad" : "bad";
}

function userProfile(value: unknown): UserProfile {
  if (typeof value !== "object" || value === null) return NO_USER;
  return { ...NO_USER, ...value as Partial<UserProfile> };
}

/** Reads `Config`; a string says what is wrong, and names no key's text. Null is no persist at all. */
export function readPersist(value: unknown): Persist | undefined | string {
  if (value === null || value === undefined) return undefined;
  if (typeof value !== "object" || Array.isArray(value)) return "Config is not an object";
  const fields = value as Record<string, unknown>;
  const current = nodeKey(fields.PrivateNodeKey);
  if (current === "bad") return "Config.PrivateNodeKey is not a key";
  const old = nodeKey(fields.OldPrivateNodeKey);
  if (old === "bad") return "Config.OldPrivateNodeKey is not a key";
  const trying = nodeKey(fields[TRYING]);
  if (trying === "bad") return `Config.${TRYING} is not a key`;
  const lock = lockKey(fields.NetworkLockKey);
  if (lock === "bad") return "Config.NetworkLockKey is not a key";
  const states = fields.DisallowedTKAStateIDs ?? [];
  return {
    nodeKey: current,
    oldNodeKey: old,
    userProfile: userProfile(fields.UserProfile),
    lockKey: lock,
    nodeId: typeof fields.NodeID === "string" ? fields.NodeID : "",
    disallowedTkaStateIds: Array.isArray(states) ? states.filter((id) => typeof id === "string") : [],
    ...(trying && { tryingKey: trying }),
    unknown: Object.fromEntries(Object.entries(fields).filter(([name]) => !KNOWN.has(name))),
  };
}

/** `Config` with its keys, for the state file alone. */
export function revealPersist(persist: Persist): Record<string, unknown> {
  return {
    PrivateNodeKey: persist.nodeKey?.revealText() ?? ZERO_PRIVATE_KEY,
    OldPrivateNodeKey: persist.oldNodeKey?.revealText() ?? ZERO_PRIVATE_KEY,
    UserProfile: persist.userProfile,
    NetworkLockKey: persist.lockKey?.revealText() ?? ZERO_LOCK_KEY,
    NodeID: persist.nodeId,
    ...(persist.disallowedTkaStateIds.length > 0 && { DisallowedTKAStateIDs: persist.disallowedTkaStateIds }),
    ...(persist.tryingKey && { [TRYING]: persist.tryingKey.revealText() }),
    ...persist.unknown,
  };
}

/** `Config` without its keys, for everybody else (ipnlocal.stripKeysFromPrefs). */
export function publicPersist(persist: Persist): Record<string, unknown> {
  return {
    PrivateNodeKey: ZERO_PRIVATE_KEY,
    OldPrivateNodeKey: ZERO_PRIVATE_KEY,
    UserProfile: persist.userProfile,
    NetworkLockKey: ZERO_LOCK_KEY,
    NodeID: persist.nodeId,
    ...(persist.disallowedTkaStateIds.length > 0 && { DisallowedTKAStateIDs: persist.disallowedTkaStateIds }),
  };
}
