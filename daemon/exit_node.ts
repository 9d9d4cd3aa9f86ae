/**
 * Which peer is the exit node, by what the preferences say, and which one to suggest.
 *
 * ```
 *   preferences          peers offer both default routes        chosen
 *   ExitNodeID, IP  ──▶  the one with that ID, name, IP   ──▶   its stable ID, "" while it is not there
 *   AutoExitNode    ──▶  those control suggests           ──▶   nearest home region; kept while it stays online
 *   none            ──────────────────────────────────────▶     undefined
 * ```
 * While one is set and not there nothing leaves at all. Source: ipnlocal.resolveExitNodeIPLocked,
 * suggestExitNodeUsingDERP; tsaddr.ContainsExitRoutes.
 */
import type { Node } from "../control/wire/tailcfg.ts";
import { addressesOf, hasCapability } from "./node_view.ts";
import type { PrefValues } from "./pref_fields.ts";

/** What the preferences ask for. */
export interface WantedExitNode {
  /** Stable ID, or a name. */
  readonly id: string;
  /** An address, or "". */
  readonly ip: string;
  /** The nearest of those suggested, whichever it is. */
  readonly auto: boolean;
}

/** Round trip to a relay region, ms; undefined when it was not measured. */
export type RegionLatency = (region: number) => number | undefined;

/** The routes that make a peer an exit node. */
export const EXIT_ROUTES: readonly string[] = ["0.0.0.0/0", "::/0"];

/** tailcfg.NodeAttrSuggestExitNode, which control gives to peers that may be chosen unasked. */
const SUGGESTED = "suggest-exit-node";

export function isExitRoute(route: string): boolean {
  return EXIT_ROUTES.includes(route);
}

/** What preferences ask for; undefined for no exit node. */
export function wantedExitNode(prefs: PrefValues): WantedExitNode | undefined {
  const { ExitNodeID: id, ExitNodeIP: ip, AutoExitNode } = prefs;
  return id === "" && ip === "" && AutoExitNode === "" ? undefined : { id, ip, auto: AutoExitNode !== "" };
}

/** A peer that control lets be an exit node. */
export function offersExit(node: Node): boolean {
  return EXIT_ROUTES.every((route) => node.AllowedIPs?.includes(route) === true);
}

/** A configuration may give a name in place of an ID: MagicDNS's, whole or its first label. */
function hasName({ Name }: Node, word: string): boolean {
  const name = Name.replace(/\.$/, "").toLowerCase();
  return name !== "" && (name === word.toLowerCase() || name.split(".")[0] === word.toLowerCase());
}

/** The stable ID of the peer that is meant, "" when it is not among them. @param current what `auto` chose before */
export function chooseExitNode(
  wanted: WantedExitNode,
  peers: readonly Node[],
  latency: RegionLatency,
  current: string,
): string {
  if (wanted.auto) return suggestExitNode(peers, latency, current)?.StableID ?? "";
  const named = wanted.id !== ""
    ? peers.find((peer) => peer.StableID === wanted.id) ?? peers.find((peer) => hasName(peer, wanted.id))
    : peers.find((peer) => addressesOf(peer).includes(wanted.ip));
  // Without a default route of its own it can carry nothing; what is left then is the end of the road.
  return named?.AllowedIPs?.some(isExitRoute) === true ? named.StableID : "";
}

/**
 * The best of the peers control suggests and that are online: the home region nearest to us; `current` where it is as
 * near as any. Undefined when there is none.
 */
export function suggestExitNode(peers: readonly Node[], latency: RegionLatency, current: string): Node | undefined {
  const candidates = peers.filter((peer) => peer.Online === true && hasCapability(peer, SUGGESTED) && offersExit(peer));
  const distance = (peer: Node) => latency(peer.HomeDERP ?? 0) ?? Infinity;
  const nearest = Math.min(...candidates.map(distance));
  const best = candidates.filter((peer) => distance(peer) === nearest);
  return best.find((peer) => peer.StableID === current) ?? best.toSorted((a, b) => a.ID - b.ID)[0];
}
