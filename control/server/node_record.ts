/**
 * What the coordinator remembers of a node, a user, an auth key and a login that waits for approval.
 *
 * Records are immutable values: a change makes a new record, so that a map being built never sees half a change. Times
 * are Unix milliseconds; keys are text with their prefix; what may be missing is `undefined`, never zero.
 */
import type { Hostinfo } from "../wire/tailcfg.ts";

/** One machine of the tailnet. The machine key is its identity: it never changes and is never shared. */
export interface NodeRecord {
  /** `Node.ID`, from 1, never reused. */
  readonly id: number;
  /** `Node.StableID`, never reused. */
  readonly stableId: string;
  /** `mkey:<hex>`, unique. */
  readonly machineKey: string;
  /** `nodekey:<hex>`, unique among all nodes. */
  readonly nodeKey: string;
  /** `nlpub:<hex>` as told at registration, "" when not told. */
  readonly lockKey: string;
  /** Tailnet Lock's signature of `nodeKey`, base64, "" for none; it was valid when it was stored. */
  readonly keySignature: string;
  /** `discokey:<hex>`, "" until the node has told it. */
  readonly discoKey: string;
  /** The user it was registered by; a tagged node is shown as no one's. */
  readonly userId: number;
  /** Sorted, each `tag:<name>`. */
  readonly tags: readonly string[];
  /** The host's own name, as told. */
  readonly hostname: string;
  /** The DNS label, unique in the tailnet. */
  readonly name: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Removed at logout and after a while offline. */
  readonly ephemeral: boolean;
  readonly createdAt: number;
  /** Undefined: the node key never expires. */
  readonly keyExpiry: number | undefined;
  /** When its last map poll ended. */
  readonly lastSeen: number | undefined;
  readonly capabilityVersion: number;
  readonly hostinfo: Hostinfo;
  /** `ip:port`, as told. */
  readonly endpoints: readonly string[];
  /** Home DERP region, 0 until known. */
  readonly homeDerp: number;
  /** Routes the operator approved, offered or not yet; sorted. */
  readonly approvedRoutes: readonly string[];
  /** The auth key that registered it; undefined after an approval by hand. */
  readonly authKeyId: string | undefined;
}

/** A person nodes belong to. A name is a label: equal mail domains mean nothing (TS-2025-004). */
export interface UserRecord {
  readonly id: number;
  /** Unique. */
  readonly name: string;
  readonly createdAt: number;
}

/** An auth key; of its secret only the hash is kept. */
export interface AuthKeyRecord {
  /** The public middle of `tskey-auth-<id>-<secret>`, unique. */
  readonly id: string;
  /** SHA-256 of the secret's text, 32 bytes. */
  readonly secretHash: Uint8Array;
  readonly userId: number;
  readonly reusable: boolean;
  readonly ephemeral: boolean;
  readonly tags: readonly string[];
  readonly createdAt: number;
  /** Undefined: never. */
  readonly expiresAt: number | undefined;
  /** When it last registered a node. */
  readonly usedAt: number | undefined;
}

/** A registration without an auth key that waits for an operator. */
export interface PendingLogin {
  /** The last part of the login URL; unguessable. */
  readonly id: string;
  /** Unique: a machine has one login at a time. */
  readonly machineKey: string;
  readonly nodeKey: string;
  readonly lockKey: string;
  /** As in `NodeRecord`. */
  readonly keySignature: string;
  readonly hostinfo: Hostinfo;
  readonly capabilityVersion: number;
  readonly ephemeral: boolean;
  /** The key expiry the node asked for. */
  readonly requestedExpiry: number | undefined;
  readonly createdAt: number;
}

/** A node and what only the running server knows of it. */
export interface NodeView {
  readonly record: NodeRecord;
  /** It has a map poll open. */
  readonly online: boolean;
  /** Routes that lead to it now (`routes.ts`); absent for none. */
  readonly carries?: readonly string[];
}

/** True once the node key must not be used any more. */
export function isExpired(record: NodeRecord, now: number): boolean {
  return record.keyExpiry !== undefined && record.keyExpiry <= now;
}
