/**
 * Who may use whose peer relay, by the capabilities that the packet filter grants. Source: magicsock.nodeHasCap,
 * updateRelayServersSet, handleDiscoMessage; tailcfg.PeerCapabilityRelay, PeerCapabilityRelayTarget.
 */
import { parsePrefix, prefixContains } from "../base/ip.ts";
import type { IpBytes, Prefix } from "../base/ip.ts";
import type { FilterRule, Node } from "../control/wire/tailcfg.ts";
import type { PeerRelayGrants } from "../engine/config.ts";
import { addressSet } from "./filter_rules.ts";

/** The peer may have sessions of the relay server here. */
const RELAY = "tailscale.com/cap/relay";
/** The peer's relay server may be asked for sessions. */
const RELAY_TARGET = "tailscale.com/cap/relay-target";

/** A source of a rule that grants: prefixes, or nodes with a capability. */
type Source = Prefix | { readonly capability: string };

/** What one rule grants its sources towards one address of this node. */
interface Grant extends PeerRelayGrants {
  readonly sources: readonly Source[];
}

/** The grants of one packet filter towards one node, compiled once for all peers. */
export class RelayGrants {
  /** By the length of the node's first address of a family, 4 or 16. */
  readonly #towards = new Map<number, readonly Grant[]>();

  constructor(rules: readonly FilterRule[], self: Node) {
    for (const address of hostAddresses(self)) {
      if (this.#towards.has(address.length)) continue;
      this.#towards.set(address.length, rules.flatMap((rule) => compile(rule, address)));
    }
  }

  /** What is granted to a node, this one too; undefined for nothing. */
  of(node: Node): PeerRelayGrants | undefined {
    if (node.UnsignedPeerAPIOnly === true || ![...this.#towards.values()].some((grants) => grants.length > 0)) {
      return undefined;
    }
    // The first address of a family that this node has too decides, as with Tailscale.
    const address = hostAddresses(node).find((ip) => this.#towards.has(ip.length));
    if (address === undefined) return undefined;
    const all = this.#towards.get(address.length)!;
    const grants = all.filter(({ sources }) => sources.some((source) => admits(source, node, address)));
    const serves = grants.some((grant) => grant.serves);
    const mayAsk = grants.some((grant) => grant.mayAsk);
    return serves || mayAsk ? { serves, mayAsk } : undefined;
  }
}

function hostAddresses(node: Node): IpBytes[] {
  return (node.Addresses ?? []).flatMap((text) => {
    const prefix = parsePrefix(text);
    return prefix !== undefined && prefix.bits === prefix.ip.length * 8 ? [prefix.ip] : [];
  });
}

function prefixesOf(text: string): Prefix[] {
  return (addressSet(text) ?? []).map((prefix) => parsePrefix(prefix)!);
}

function compile(rule: FilterRule, address: IpBytes): Grant[] {
  let [serves, mayAsk] = [false, false];
  for (const grant of rule.CapGrant ?? []) {
    const named = (cap: string) => grant.Caps?.includes(cap) === true || Object.hasOwn(grant.CapMap ?? {}, cap);
    if (!named(RELAY) && !named(RELAY_TARGET)) continue;
    if (!(grant.Dsts ?? []).flatMap(prefixesOf).some((prefix) => prefixContains(prefix, address))) continue;
    serves ||= named(RELAY_TARGET);
    mayAsk ||= named(RELAY);
  }
  if (!serves && !mayAsk) return [];
  const sources = (rule.SrcIPs ?? []).flatMap((text): Source[] =>
    text.startsWith("cap:") ? [{ capability: text.slice(4) }] : prefixesOf(text)
  );
  return [{ serves, mayAsk, sources }];
}

function admits(source: Source, node: Node, address: IpBytes): boolean {
  return "capability" in source ? Object.hasOwn(node.CapMap ?? {}, source.capability) : prefixContains(source, address);
}
