/**
 * What nodes may do to each other: everything, and use each other's peer relays. Pure.
 *
 * A node that says it relays (`Hostinfo.PeerRelay`) is a relay for all; nobody asks for sessions anywhere else.
 */
import type { FilterRule } from "../wire/tailcfg.ts";
import type { NodeView } from "./node_record.ts";
import type { NodeChange, TailnetSnapshot } from "./tailnet.ts";

/** Everything to everyone. Source: tailcfg.FilterAllowAll. */
export const ALLOW_ALL: readonly FilterRule[] = [
  { SrcIPs: ["*"], DstPorts: [{ IP: "*", Ports: { First: 0, Last: 65535 } }] },
];

/** tailcfg.PeerCapabilityRelay: the source may have sessions of the destination's relay server. */
const RELAY = "tailscale.com/cap/relay";
/** tailcfg.PeerCapabilityRelayTarget: the destination may ask the source's relay server for sessions. */
const RELAY_TARGET = "tailscale.com/cap/relay-target";

/** The addresses of all nodes that relay, in order. */
export function relayAddresses({ nodes }: TailnetSnapshot): string[] {
  return [...nodes.values()].filter(isRelay).sort((a, b) => a.record.id - b.record.id).flatMap(addresses);
}

/** The packet filter of one node. @param relays `relayAddresses` of its tailnet */
export function packetFilter(self: NodeView, relays: readonly string[]): readonly FilterRule[] {
  if (relays.length === 0) return ALLOW_ALL;
  const grant = (SrcIPs: readonly string[], capability: string): FilterRule => ({
    SrcIPs,
    CapGrant: [{ Dsts: prefixes(self), CapMap: { [capability]: [] } }],
  });
  return [...ALLOW_ALL, grant(relays, RELAY_TARGET), ...(isRelay(self) ? [grant(["*"], RELAY)] : [])];
}

/** True when every node's packet filter is another after this change. */
export function changesRelays({ before, after }: NodeChange): boolean {
  const of = (view: NodeView | undefined) => view === undefined || !isRelay(view) ? "" : addresses(view).join();
  return of(before) !== of(after);
}

function isRelay({ record }: NodeView): boolean {
  return record.hostinfo.PeerRelay === true;
}

function addresses({ record }: NodeView): string[] {
  return [record.ipv4, record.ipv6];
}

function prefixes({ record }: NodeView): string[] {
  return [`${record.ipv4}/32`, `${record.ipv6}/128`];
}
