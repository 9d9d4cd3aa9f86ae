/** What a change of a node means to those who have it in their map: nothing, a patch, or the whole node again. */
import type { NodeView } from "./node_record.ts";
import { peerHostinfo } from "./peer_hostinfo.ts";
import type { NodeChange } from "./tailnet.ts";

/** Bits of what changed of a peer. Bits of successive changes are or-ed. */
export const ASPECT = {
  endpoints: 1,
  homeDerp: 2,
  discoKey: 4,
  online: 8,
  keyExpiry: 16,
  capability: 32,
  /** Tailnet Lock's, of an unchanged node key. Stock clients take a patch of it for a whole map, and so check it. */
  signature: 128,
  /** Something no patch can say, or the node is new or gone. */
  whole: 64,
} as const;

const sameList = (a: readonly string[], b: readonly string[]): boolean =>
  a === b || (a.length === b.length && a.every((item, i) => item === b[i]));

/** The aspects peers see differently now; 0 for none. */
export function peerAspects({ before, after }: NodeChange): number {
  if (before === undefined || after === undefined) return ASPECT.whole;
  const a = before.record;
  const b = after.record;
  let aspects = 0;
  if (!sameList(a.endpoints, b.endpoints)) aspects |= ASPECT.endpoints;
  if (a.homeDerp !== b.homeDerp) aspects |= ASPECT.homeDerp;
  if (a.discoKey !== b.discoKey) aspects |= ASPECT.discoKey;
  if (before.online !== after.online) aspects |= ASPECT.online;
  if (a.keyExpiry !== b.keyExpiry) aspects |= ASPECT.keyExpiry;
  if (a.keySignature !== b.keySignature) aspects |= ASPECT.signature;
  if (a.capabilityVersion !== b.capabilityVersion) aspects |= ASPECT.capability;
  const whole = a.nodeKey !== b.nodeKey || a.name !== b.name || a.userId !== b.userId || !sameList(a.tags, b.tags) ||
    a.ipv4 !== b.ipv4 || a.ipv6 !== b.ipv6 || !sameList(before.carries ?? [], after.carries ?? []) ||
    (a.hostinfo !== b.hostinfo &&
      JSON.stringify(peerHostinfo(a.hostinfo)) !== JSON.stringify(peerHostinfo(b.hostinfo)));
  return whole ? aspects | ASPECT.whole : aspects;
}

/** True when the node itself sees its own entry differently; where it is, it knows without us. */
export function selfChanged({ before, after }: NodeChange): boolean {
  if (before === undefined || after === undefined) return true;
  const a = before.record;
  const b = after.record;
  return a.nodeKey !== b.nodeKey || a.name !== b.name || a.userId !== b.userId || a.keyExpiry !== b.keyExpiry ||
    a.ipv4 !== b.ipv4 || a.ipv6 !== b.ipv6 || a.keySignature !== b.keySignature || !sameList(a.tags, b.tags) ||
    !sameList(before.carries ?? [], after.carries ?? []) || !sameList(a.approvedRoutes, b.approvedRoutes);
}

/**
 * True when a `PeerChange` can carry these aspects of this node. In a patch an absent field means "as before", so what
 * became empty cannot be said in one.
 */
export function isPatchable({ record }: NodeView, aspects: number): boolean {
  if (aspects & ASPECT.whole) return false;
  if (aspects & ASPECT.endpoints && record.endpoints.length === 0) return false;
  if (aspects & ASPECT.homeDerp && record.homeDerp === 0) return false;
  if (aspects & ASPECT.signature && record.keySignature === "") return false;
  if (aspects & ASPECT.discoKey && record.discoKey === "") return false;
  return !(aspects & ASPECT.keyExpiry && record.keyExpiry === undefined);
}
