/** Records to rows of the embedded store and back. */
import type { SQLInputValue, SQLOutputValue } from "node:sqlite";
import type { AuthKeyRecord, NodeRecord, PendingLogin, UserRecord } from "./node_record.ts";

/** A row as node:sqlite gives it. */
export type Row = Record<string, SQLOutputValue>;
/** Named values of a statement. */
export type Values = Record<string, SQLInputValue>;

const optional = (value: SQLOutputValue): number | undefined => value === null ? undefined : Number(value);

export function userOf(row: Row): UserRecord {
  return { id: Number(row.id), name: String(row.name), createdAt: Number(row.created_at) };
}

export function nodeOf(row: Row): NodeRecord {
  return {
    id: Number(row.id),
    stableId: String(row.stable_id),
    machineKey: String(row.machine_key),
    nodeKey: String(row.node_key),
    lockKey: String(row.lock_key),
    keySignature: String(row.key_signature),
    discoKey: String(row.disco_key),
    userId: Number(row.user_id),
    tags: JSON.parse(String(row.tags)),
    hostname: String(row.hostname),
    name: String(row.name),
    ipv4: String(row.ipv4),
    ipv6: String(row.ipv6),
    ephemeral: row.ephemeral === 1,
    createdAt: Number(row.created_at),
    keyExpiry: optional(row.key_expiry),
    lastSeen: optional(row.last_seen),
    capabilityVersion: Number(row.capability_version),
    hostinfo: JSON.parse(String(row.hostinfo)),
    endpoints: JSON.parse(String(row.endpoints)),
    homeDerp: Number(row.home_derp),
    approvedRoutes: JSON.parse(String(row.approved_routes)),
    authKeyId: row.auth_key_id === null ? undefined : String(row.auth_key_id),
  };
}

/** All columns but `id`. */
export function nodeValues(node: Omit<NodeRecord, "id">): Values {
  return {
    stable_id: node.stableId,
    machine_key: node.machineKey,
    node_key: node.nodeKey,
    lock_key: node.lockKey,
    key_signature: node.keySignature,
    disco_key: node.discoKey,
    user_id: node.userId,
    tags: JSON.stringify(node.tags),
    hostname: node.hostname,
    name: node.name,
    ipv4: node.ipv4,
    ipv6: node.ipv6,
    ephemeral: Number(node.ephemeral),
    created_at: node.createdAt,
    key_expiry: node.keyExpiry ?? null,
    last_seen: node.lastSeen ?? null,
    capability_version: node.capabilityVersion,
    hostinfo: JSON.stringify(node.hostinfo),
    endpoints: JSON.stringify(node.endpoints),
    home_derp: node.homeDerp,
    approved_routes: JSON.stringify(node.approvedRoutes),
    auth_key_id: node.authKeyId ?? null,
  };
}

export function authKeyOf(row: Row): AuthKeyRecord {
  return {
    id: String(row.id),
    secretHash: new Uint8Array(row.secret_hash as Uint8Array),
    userId: Number(row.user_id),
    reusable: row.reusable === 1,
    ephemeral: row.ephemeral === 1,
    tags: JSON.parse(String(row.tags)),
    createdAt: Number(row.created_at),
    expiresAt: optional(row.expires_at),
    usedAt: optional(row.used_at),
  };
}

export function authKeyValues(key: AuthKeyRecord): Values {
  return {
    id: key.id,
    secret_hash: key.secretHash,
    user_id: key.userId,
    reusable: Number(key.reusable),
    ephemeral: Number(key.ephemeral),
    tags: JSON.stringify(key.tags),
    created_at: key.createdAt,
    expires_at: key.expiresAt ?? null,
    used_at: key.usedAt ?? null,
  };
}

export function loginOf(row: Row): PendingLogin {
  return {
    id: String(row.id),
    machineKey: String(row.machine_key),
    nodeKey: String(row.node_key),
    lockKey: String(row.lock_key),
    keySignature: String(row.key_signature),
    hostinfo: JSON.parse(String(row.hostinfo)),
    capabilityVersion: Number(row.capability_version),
    ephemeral: row.ephemeral === 1,
    requestedExpiry: optional(row.requested_expiry),
    createdAt: Number(row.created_at),
  };
}

export function loginValues(login: PendingLogin): Values {
  return {
    id: login.id,
    machine_key: login.machineKey,
    node_key: login.nodeKey,
    lock_key: login.lockKey,
    key_signature: login.keySignature,
    hostinfo: JSON.stringify(login.hostinfo),
    capability_version: login.capabilityVersion,
    ephemeral: Number(login.ephemeral),
    requested_expiry: login.requestedExpiry ?? null,
    created_at: login.createdAt,
  };
}
