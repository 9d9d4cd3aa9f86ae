/**
 * The lock as the LocalAPI tells of it: Go's `ipnstate.TailnetLockStatus`, field for field, plus `Agent`, an object of
 * ours with what is wrong and since when. Byte strings are base64, the head is a list of 32 numbers, as Go writes them.
 */
import { fromBase64, toBase64, toHex } from "../../base/bytes.ts";
import { formatIp, isTailscaleIp, parsePrefix } from "../../base/ip.ts";
import type { Netmap } from "../../control/client/netmap.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import type { Aum } from "../../tka/aum.ts";
import { aumHashBytes } from "../../tka/aum_hash.ts";
import { aumKindName } from "../../tka/aum_kind.ts";
import { TkaError } from "../../tka/errors.ts";
import { keyKindName } from "../../tka/key.ts";
import type { NodeKeySignature } from "../../tka/node_key_signature.ts";
import { decodeNodeKeySignature } from "../../tka/node_key_signature.ts";
import type { Persist } from "../persist.ts";
import type { ChainLink } from "./chain.ts";
import { remedyOf } from "./condition.ts";
import { judgeNode } from "./judge.ts";
import type { TailnetLock } from "./tailnet_lock.ts";

type Json = Record<string, unknown>;

const ZERO_LOCK_KEY = `nlpub:${"0".repeat(64)}`;

/** A number Go reads as uint64, beyond what a double holds exactly. */
function uint64(value: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value));
}

function bytes(value: Uint8Array | undefined): string | null {
  return value === undefined || value.length === 0 ? null : toBase64(value);
}

/** Go's `tka.NodeKeySignature`; its zero value for one that cannot be read. */
export function signatureJson(text: string | undefined): Json {
  const signature = decode(text);
  return signature === undefined ? signatureFields({ kind: 0 }) : signatureFields(signature);
}

function decode(text: string | undefined): NodeKeySignature | undefined {
  try {
    const raw = text === undefined ? undefined : fromBase64(text);
    return raw === undefined ? undefined : decodeNodeKeySignature(raw);
  } catch (cause) {
    if (cause instanceof TkaError) return undefined;
    throw cause;
  }
}

function signatureFields(signature: NodeKeySignature): Json {
  return {
    SigKind: signature.kind,
    Pubkey: bytes(signature.pubkey),
    KeyID: bytes(signature.keyId),
    Signature: bytes(signature.signature),
    Nested: signature.nested === undefined ? null : signatureFields(signature.nested),
    WrappingPubkey: bytes(signature.wrappingPubkey),
  };
}

/** Its own addresses, without lengths. */
export function addressesOf(node: Node): string[] {
  return (node.Addresses ?? []).flatMap((text) => {
    const prefix = parsePrefix(text);
    const single = prefix !== undefined && prefix.bits === prefix.ip.length * 8 && isTailscaleIp(prefix.ip);
    return single ? [formatIp(prefix.ip)] : [];
  });
}

function peerJson(node: Node): Json {
  return {
    Name: node.Name,
    ID: node.ID,
    StableID: node.StableID,
    TailscaleIPs: addressesOf(node),
    NodeKey: node.Key,
    NodeKeySignature: signatureJson(node.KeySignature),
  };
}

/** The status. @param visible peers the lock accepted. */
export function lockStatusJson(
  lock: TailnetLock,
  persist: Persist | undefined,
  netmap: Netmap | undefined,
  visible: readonly Node[],
): Json {
  const { authority } = lock;
  const self = netmap?.self;
  const enabled = authority !== undefined && persist?.lockKey !== undefined;
  return {
    Enabled: enabled,
    Head: enabled ? [...aumHashBytes(authority.head)] : null,
    PublicKey: persist?.lockKey?.public.toString() ?? ZERO_LOCK_KEY,
    NodeKey: persist?.nodeKey?.public.toString() ?? null,
    NodeKeySigned: enabled && self !== undefined && judgeNode(authority, self).ok,
    NodeKeySignature: enabled ? signatureJson(self?.KeySignature) : null,
    TrustedKeys: enabled
      ? authority.keys.map((key) => ({
        Kind: keyKindName(key.kind),
        Key: `nlpub:${toHex(key.public ?? new Uint8Array(32))}`,
        Metadata: key.meta === undefined ? null : Object.fromEntries(key.meta),
        Votes: Number(key.votes),
      }))
      : null,
    VisiblePeers: enabled && netmap !== undefined ? visible.map(peerJson) : null,
    FilteredPeers: enabled && lock.rejected.length > 0 ? lock.rejected.map(({ node }) => peerJson(node)) : null,
    StateID: enabled ? uint64(authority.state.stateId1) : 0,
    Agent: agentJson(lock),
  };
}

function time(unixMs: number): string | null {
  return unixMs === 0 ? null : new Date(unixMs).toISOString();
}

function agentJson(lock: TailnetLock): Json {
  const { condition, record, policy } = lock;
  return {
    Condition: condition.name,
    Since: time(condition.since),
    Reason: condition.reason,
    Remedy: remedyOf(condition.name),
    StateID: record?.anchor.stateId ?? "",
    Genesis: record?.anchor.hash ?? "",
    HeadSince: time(record?.headSince ?? 0),
    ConfirmedByControl: time(lock.confirmedAt),
    HeadFrom: record?.controlUrl ?? "",
    UnknownSigners: lock.unknownSigners.map(({ key, peers }) => ({ Key: key, Peers: peers })),
    LockRequired: policy.required,
    LockPins: policy.pins,
  };
}

/** A link of the chain with the branches that lost beside it, ours. */
export function chainLinkJson({ aum, lost }: ChainLink): Json {
  return {
    Update: updateJson(aum),
    Lost: lost.map(({ root, more, rule, votes, winnerVotes }) => ({
      Root: updateJson(root),
      More: more,
      Rule: rule,
      Votes: Number(votes),
      WinnerVotes: Number(winnerVotes),
    })),
  };
}

/** Go's `ipnstate.TailnetLockUpdate`. */
export function updateJson(aum: Aum): Json {
  return { Hash: [...aumHashBytes(aum.hash)], Change: aumKindName(aum.kind), Raw: toBase64(aum.bytes) };
}
