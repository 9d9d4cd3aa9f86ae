/**
 * Which routes a node carries: pure, from what nodes offer, what is approved, and who is online.
 *
 * ```
 *   offered (Hostinfo.RoutableIPs) ─▶ approved by the operator, or beforehand ─▶ default routes: every node carries its own
 *                                                                     └────────▶ a subnet: one node, its primary
 *   primary ── goes offline, or no longer offers it ──▶ the online node of the lowest ID that has it; none: stays
 * ```
 * A primary that comes back does not take the route back: each switch costs the connections through it. Source:
 * tailcfg.Node.PrimaryRoutes; tsaddr.ContainsExitRoutes.
 */
import { formatPrefix, isMasked, parsePrefix } from "../../base/ip.ts";
import { covers } from "../../base/prefix_set.ts";
import type { NodeRecord, NodeView } from "./node_record.ts";

/** The two routes of an exit node, which are approved together. */
export const EXIT_ROUTES: readonly string[] = ["0.0.0.0/0", "::/0"];

/** What is approved before anybody offers it. */
export interface ApprovalPolicy {
  /** Subnets; those inside them are approved too. */
  readonly subnets: readonly string[];
  readonly exitNodes: boolean;
}

/** Nothing is approved but by the operator. */
export const APPROVE_NOTHING: ApprovalPolicy = { subnets: [], exitNodes: false };

export function isExitRoute(route: string): boolean {
  return EXIT_ROUTES.includes(route);
}

/** The routes a node offers, in their one spelling; what is no network is left out. */
export function offeredRoutes({ hostinfo }: NodeRecord): string[] {
  const routes = (hostinfo.RoutableIPs ?? []).flatMap((text) => {
    const prefix = parsePrefix(text);
    return prefix === undefined || !isMasked(prefix) ? [] : [formatPrefix(prefix)];
  });
  return [...new Set(routes)].sort();
}

function approvedBeforehand(route: string, policy: ApprovalPolicy): boolean {
  if (isExitRoute(route)) return policy.exitNodes;
  return policy.subnets.some((subnet) => covers(parsePrefix(subnet)!, parsePrefix(route)!));
}

/** The routes a node offers that are approved. */
export function enabledRoutes(record: NodeRecord, policy: ApprovalPolicy): string[] {
  return offeredRoutes(record).filter((route) =>
    record.approvedRoutes.includes(route) || approvedBeforehand(route, policy)
  );
}

/** Node ID of each subnet's primary. */
export type Primaries = ReadonlyMap<string, number>;

/** The primaries that follow from those before. @param nodes those that offer routes */
export function assignPrimaries(nodes: Iterable<NodeView>, before: Primaries, policy: ApprovalPolicy): Primaries {
  const carriers = new Map<string, NodeView[]>();
  for (const view of nodes) {
    for (const route of enabledRoutes(view.record, policy)) {
      if (!isExitRoute(route)) carriers.set(route, [...carriers.get(route) ?? [], view]);
    }
  }
  return new Map(
    [...carriers].map(([route, views]) => {
      const current = views.find((view) => view.record.id === before.get(route));
      if (current?.online === true) return [route, current.record.id];
      const online = views.filter((view) => view.online).map(({ record }) => record.id);
      const ids = views.map(({ record }) => record.id);
      return [route, online.length > 0 ? Math.min(...online) : current?.record.id ?? Math.min(...ids)];
    }),
  );
}

/** What a node carries now: its default routes, and the subnets it is the primary of. */
export function carriedRoutes(record: NodeRecord, primaries: Primaries, policy: ApprovalPolicy): string[] {
  return enabledRoutes(record, policy).filter((route) => isExitRoute(route) || primaries.get(route) === record.id);
}
