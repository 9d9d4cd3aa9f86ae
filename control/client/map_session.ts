/**
 * The reducer of a map poll: the state so far and one message make the next state. Pure, no I/O, no clock.
 * Source: control/controlclient/map.go; tailcfg.MapResponse.
 *
 * ```
 *   (none) ──message with Node──▶ state ──delta──▶ state ──delta──▶ …        all dropped when the poll ends
 *      └────message without Node──▶ failed
 * ```
 * An absent field changes nothing. A delta for a node we do not know is ignored, as the server is told it may be.
 * Work and memory of a delta follow its own size, not the netmap's.
 */
import { createHash } from "node:crypto";
import { parseDerpMap } from "../../derp/derp_map.ts";
import type { DERPHomeParams, DERPMap } from "../../derp/derp_map.ts";
import {
  type DisplayMessage,
  type FilterRule,
  goTime,
  type MapResponse,
  type Node,
  type PeerChange,
  type UserProfile,
} from "../wire/tailcfg.ts";
import { foldInt64 } from "../wire/json.ts";
import type { Netmap, NetmapChange } from "./netmap.ts";
import { NumberTrie, type NumberTrieEdit } from "./number_trie.ts";

/** All that must be remembered between two messages. Immutable. */
export interface MapState {
  readonly netmap: Netmap;
  readonly peers: NumberTrie<Node>;
  readonly users: NumberTrie<UserProfile>;
  readonly filters: ReadonlyMap<string, readonly FilterRule[]>;
  readonly health: readonly string[];
  readonly messages: ReadonlyMap<string, DisplayMessage>;
}

/** The next state and what is new in it. */
export interface Applied {
  readonly state: MapState;
  readonly change: NetmapChange;
  /** Parts that were left out as malformed or unknown, one line each, for the log. */
  readonly notes: readonly string[];
}

/** A message that ends the poll. */
export interface SessionFailure {
  readonly failed: string;
}

/** Takes one message that is not a keep-alive. @param now Unix ms, for `PeerSeenChange`. */
export function applyMapResponse(
  before: MapState | undefined,
  response: MapResponse,
  now: number,
): Applied | SessionFailure {
  const self = response.Node === undefined ? before?.netmap.self : withCapMap(upgradeNode(response.Node));
  if (self === undefined) {
    return { failed: "Cannot start a map poll: the first message has no Node, want this node itself" };
  }
  const notes: string[] = [];
  const touched = { upserted: new Set<number>(), removed: new Set<number>() };
  const peers = applyPeers(before?.peers ?? NumberTrie.empty(), response, now, touched, notes);
  const users = applyUsers(before?.users ?? NumberTrie.empty(), response.UserProfiles);
  const filters = applyFilters(before?.filters ?? new Map(), response);
  const health = response.Health ?? before?.health ?? [];
  const messages = applyMessages(before?.messages ?? new Map(), response.DisplayMessages);
  const old = before?.netmap;
  const tkaInfo = response.TKAInfo ?? old?.tkaInfo;
  const netmap: Netmap = {
    self,
    peers,
    derpMap: response.DERPMap === undefined ? old?.derpMap : applyDerpMap(old?.derpMap, response.DERPMap, notes),
    dns: response.DNSConfig ?? old?.dns ?? {},
    domain: response.Domain || old?.domain || "",
    packetFilter: old !== undefined && filters === before?.filters ? old.packetFilter : concatFilters(filters),
    users,
    displayMessages: old !== undefined && health === before?.health && messages === before?.messages
      ? old.displayMessages
      : shownMessages(messages, health),
    sshPolicy: response.SSHPolicy ?? old?.sshPolicy,
    collectServices: response.CollectServices ?? old?.collectServices ?? false,
    tkaInfo,
    tkaEnabled: tkaInfo !== undefined && tkaInfo.Disabled !== true,
  };
  const state: MapState = { netmap, peers, users, filters, health, messages };
  const full = old === undefined || (response.Peers?.length ?? 0) > 0;
  const change: NetmapChange = full
    ? { kind: "full" }
    : { kind: "delta", ...touched, fields: changedFields(old, netmap) };
  return { state, change, notes };
}

function changedFields(before: Netmap, after: Netmap): ReadonlySet<keyof Netmap> {
  const names = Object.keys(after) as (keyof Netmap)[];
  return new Set(names.filter((name) => before[name] !== after[name]));
}

interface Touched {
  readonly upserted: Set<number>;
  readonly removed: Set<number>;
}

function applyPeers(
  before: NumberTrie<Node>,
  response: MapResponse,
  now: number,
  touched: Touched,
  notes: string[],
): NumberTrie<Node> {
  if (response.Peers !== undefined && response.Peers.length > 0) {
    // A whole list precludes every other change of peers in the same message.
    const edit = NumberTrie.empty<Node>().edit();
    for (const peer of response.Peers) edit.set(peer.ID, upgradeNode(peer));
    return edit.finish();
  }
  const edit = before.edit();
  for (const id of response.PeersRemoved ?? []) if (edit.delete(id)) touched.removed.add(id);
  const upsert = (id: number, node: Node) => {
    edit.set(id, node);
    touched.upserted.add(id);
    touched.removed.delete(id);
  };
  for (const peer of response.PeersChanged ?? []) upsert(peer.ID, upgradeNode(peer));
  let strangers = 0;
  const amend = (id: number, change: (peer: Node) => Node) => {
    const peer = edit.get(id);
    if (peer === undefined) strangers++;
    else upsert(id, change(peer));
  };
  for (const [id, seen] of Object.entries(response.PeerSeenChange ?? {})) {
    const lastSeen = seen ? goTime(now) : undefined;
    amend(foldInt64(id), (peer) => ({ ...peer, LastSeen: lastSeen }));
  }
  for (const [id, online] of Object.entries(response.OnlineChange ?? {})) {
    amend(foldInt64(id), (peer) => ({ ...peer, Online: online }));
  }
  for (const patch of response.PeersChangedPatch ?? []) amend(patch.NodeID, (peer) => patched(peer, patch));
  if (strangers > 0) notes.push(`ignored ${strangers} changes of nodes that are not in the netmap`);
  return edit.finish();
}

/** A patch whose zero numbers mean "unchanged"; the key and its signature change separately. */
function patched(peer: Node, patch: PeerChange): Node {
  return {
    ...peer,
    HomeDERP: patch.DERPRegion || peer.HomeDERP,
    Cap: patch.Cap || peer.Cap,
    CapMap: patch.CapMap ?? peer.CapMap,
    Endpoints: patch.Endpoints ?? peer.Endpoints,
    Key: patch.Key ?? peer.Key,
    KeySignature: patch.KeySignature ?? peer.KeySignature,
    DiscoKey: patch.DiscoKey ?? peer.DiscoKey,
    Online: patch.Online ?? peer.Online,
    LastSeen: patch.LastSeen ?? peer.LastSeen,
    KeyExpiry: patch.KeyExpiry ?? peer.KeyExpiry,
  };
}

const OLD_DERP = /^127\.3\.3\.40:([1-9][0-9]{0,8})$/;

/** A node in its modern form: `HomeDERP` for `DERP`, `AllowedIPs` always there. */
export function upgradeNode(node: Node): Node {
  const region = node.HomeDERP || Number(OLD_DERP.exec(node.DERP ?? "")?.[1] ?? 0);
  // The lock does not cover such a peer, so control must not give it routes.
  const allowedIps = node.UnsignedPeerAPIOnly === true ? undefined : node.AllowedIPs;
  return { ...node, DERP: undefined, HomeDERP: region, AllowedIPs: allowedIps ?? node.Addresses ?? [] };
}

/** The self node with its old `Capabilities` in its `CapMap`. */
function withCapMap(node: Node): Node {
  const missing = (node.Capabilities ?? []).filter((name) => !Object.hasOwn(node.CapMap ?? {}, name));
  if (missing.length === 0) return node;
  return { ...node, CapMap: { ...node.CapMap, ...Object.fromEntries(missing.map((name) => [name, null])) } };
}

function applyUsers(
  before: NumberTrie<UserProfile>,
  profiles: readonly UserProfile[] | undefined,
): NumberTrie<UserProfile> {
  const edit: NumberTrieEdit<UserProfile> = before.edit();
  for (const profile of profiles ?? []) edit.set(profile.ID, profile);
  return edit.finish();
}

function applyDerpMap(before: DERPMap | undefined, update: Partial<DERPMap>, notes: string[]): DERPMap {
  const { map, rejected } = parseDerpMap(update);
  notes.push(...rejected);
  const regions = update.Regions === undefined ? before : map;
  const scores = map.HomeParams?.RegionScore ?? before?.HomeParams?.RegionScore;
  const homeParams: DERPHomeParams | undefined = scores === undefined ? map.HomeParams : { RegionScore: scores };
  return {
    Regions: regions?.Regions ?? {},
    ...(regions?.omitDefaultRegions === true && { omitDefaultRegions: true }),
    ...(homeParams !== undefined && { HomeParams: homeParams }),
  };
}

/** Patches a map whose nulls delete and whose `"*": null` clears everything first. The same map when untouched. */
function applyPatch<V>(
  before: ReadonlyMap<string, V>,
  patch: Readonly<Record<string, V | null>>,
): ReadonlyMap<string, V> {
  const entries = Object.entries(patch);
  if (entries.length === 0) return before;
  const after = new Map(patch["*"] === null ? [] : before);
  for (const [name, value] of entries) {
    if (name === "*") continue;
    if (value === null) after.delete(name);
    else after.set(name, value);
  }
  return after;
}

function applyFilters(
  before: ReadonlyMap<string, readonly FilterRule[]>,
  response: MapResponse,
): ReadonlyMap<string, readonly FilterRule[]> {
  const whole = response.PacketFilter === undefined ? before : applyPatch(before, { base: response.PacketFilter });
  return response.PacketFilters === undefined ? whole : applyPatch(whole, response.PacketFilters);
}

function concatFilters(filters: ReadonlyMap<string, readonly FilterRule[]>): readonly FilterRule[] {
  return [...filters.keys()].sort().flatMap((name) => filters.get(name)!);
}

function applyMessages(
  before: ReadonlyMap<string, DisplayMessage>,
  patch: MapResponse["DisplayMessages"],
): ReadonlyMap<string, DisplayMessage> {
  return patch === undefined ? before : applyPatch(before, patch);
}

/** The new messages, or the old `Health` list in their form. */
function shownMessages(
  messages: ReadonlyMap<string, DisplayMessage>,
  health: readonly string[],
): Readonly<Record<string, DisplayMessage>> {
  if (messages.size > 0) return Object.fromEntries(messages);
  return Object.fromEntries(health.map((problem) => [
    `health-${createHash("sha256").update(problem).digest("hex")}`,
    {
      Title: "Coordination server reports an issue",
      Severity: "medium",
      Text: `The coordination server is reporting a health issue: ${problem}`,
    },
  ]));
}
