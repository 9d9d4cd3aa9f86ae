/**
 * Making a machine a node of the tailnet, and keeping the node when the machine comes back.
 *
 * One machine key is one node for ever: with a new node key it keeps its ID, its addresses and its place, and only its
 * key, owner, tags and expiry follow the grant it came with. Nothing here looks a node up by anything a machine merely
 * claims (an old node key, a host name), so no machine can take another's node over (headscale 2731).
 */
import type { RandomBytes } from "../../base/keys.ts";
import type { Hostinfo } from "../wire/tailcfg.ts";
import { allocate } from "./addresses.ts";
import { uniqueLabel, wantedLabel } from "./names.ts";
import type { NodeRecord } from "./node_record.ts";
import { randomText } from "./random_text.ts";
import type { StoreTransaction } from "./store.ts";
import { StoreError } from "./store.ts";

/** What a machine says of itself, checked for form. The machine key is proven by Noise; the rest is a claim. */
export interface Claim {
  readonly machineKey: string;
  readonly nodeKey: string;
  readonly lockKey: string;
  /** Tailnet Lock's signature of the node key, base64, "" for none; valid when it was taken. */
  readonly keySignature: string;
  readonly hostinfo: Hostinfo;
  readonly capabilityVersion: number;
  readonly ephemeral: boolean;
  /** A key expiry in the future the node asks for. */
  readonly requestedExpiry: number | undefined;
}

/** What an auth key or an operator allows. */
export interface Grant {
  readonly userId: number;
  /** Valid tags; a tagged node belongs to no user and its key does not expire. */
  readonly tags: readonly string[];
  readonly ephemeral: boolean;
  readonly authKeyId: string | undefined;
}

/** Settings of the tailnet that enrolment obeys. */
export interface EnrolmentPolicy {
  /** Life of a node key in ms; undefined: no end. */
  readonly keyExpiryMs: number | undefined;
}

function keyExpiryOf(claim: Claim, grant: Grant, policy: EnrolmentPolicy, now: number): number | undefined {
  if (grant.tags.length > 0) return undefined;
  const ours = policy.keyExpiryMs === undefined ? Infinity : now + policy.keyExpiryMs;
  const expiry = Math.min(ours, claim.requestedExpiry ?? Infinity);
  return expiry === Infinity ? undefined : expiry;
}

/**
 * Makes the machine's node, or gives its existing node the claimed node key.
 *
 * @param mine the machine's node, if it has one.
 * @throws StoreError when the addresses are used up, or when the node key is another machine's.
 */
export async function enrol(
  tx: StoreTransaction,
  mine: NodeRecord | undefined,
  claim: Claim,
  grant: Grant,
  policy: EnrolmentPolicy,
  now: number,
  random: RandomBytes,
): Promise<NodeRecord> {
  const granted = {
    nodeKey: claim.nodeKey,
    lockKey: claim.lockKey,
    keySignature: claim.keySignature,
    userId: grant.userId,
    tags: [...new Set(grant.tags)].sort(),
    ephemeral: grant.ephemeral || claim.ephemeral,
    keyExpiry: keyExpiryOf(claim, grant, policy, now),
    authKeyId: grant.authKeyId,
  };
  if (mine !== undefined) {
    const told = await describe(tx, mine, claim.hostinfo, claim.capabilityVersion);
    const node = { ...(told ?? mine), ...granted };
    await tx.nodes.update(node);
    return node;
  }
  const addresses = await allocate(await tx.counters.get("next-address"), (ipv4) => tx.nodes.hasIpv4(ipv4));
  if (addresses === undefined) throw new StoreError("Cannot add a node: every address of 100.64.0.0/10 is taken");
  await tx.counters.set("next-address", addresses.next);
  const hostname = claim.hostinfo.Hostname ?? "";
  return await tx.nodes.insert({
    ...granted,
    stableId: `n${randomText(12, random)}CNTRL`,
    machineKey: claim.machineKey,
    discoKey: "",
    hostname,
    name: await uniqueLabel(hostname, (label) => tx.nodes.hasName(label)),
    ipv4: addresses.ipv4,
    ipv6: addresses.ipv6,
    createdAt: now,
    lastSeen: undefined,
    capabilityVersion: claim.capabilityVersion,
    hostinfo: claim.hostinfo,
    endpoints: [],
    approvedRoutes: [],
    homeDerp: claim.hostinfo.NetInfo?.PreferredDERP ?? 0,
  });
}

/**
 * The node with what its host now says of itself, or undefined when nothing changed. Not stored.
 *
 * The label follows the host name only when the host name asks for another one, so a node that became `web-1` because
 * `web` was taken stays `web-1`. An unknown home region keeps the last known one.
 */
export async function describe(
  tx: StoreTransaction,
  node: NodeRecord,
  hostinfo: Hostinfo,
  capabilityVersion: number,
): Promise<NodeRecord | undefined> {
  const hostname = hostinfo.Hostname ?? node.hostname;
  const homeDerp = hostinfo.NetInfo?.PreferredDERP || node.homeDerp;
  const renamed = wantedLabel(hostname) !== wantedLabel(node.hostname);
  const same = hostname === node.hostname && homeDerp === node.homeDerp &&
    capabilityVersion === node.capabilityVersion && JSON.stringify(hostinfo) === JSON.stringify(node.hostinfo);
  if (same) return undefined;
  const name = renamed
    ? await uniqueLabel(hostname, async (label) => label !== node.name && await tx.nodes.hasName(label))
    : node.name;
  return { ...node, hostname, name, homeDerp, capabilityVersion, hostinfo };
}
