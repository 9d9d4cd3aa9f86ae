/**
 * What DNS is to be like for a netmap: which names go where, and what the system is to be told. Pure.
 *
 * ```
 *   netmap, preferences ──▶ routes by suffix ─┬─▶ resolver: zone of ours, split, default
 *   what the system can ──────────────────────┴─▶ system: our address, for these suffixes only, or for everything
 * ```
 * A system that can split asks us for the suffixes alone and its own servers for the rest. One that cannot asks us for
 * everything, and what is not routed goes on to the servers it had.
 * Source: ipnlocal.dnsConfigForNetmap, net/dns/manager.go (compileConfig).
 */
import type { DNSConfig, Resolver } from "../../control/wire/dns_config.ts";
import type { NodeView } from "../node_view.ts";
import { canonicalName, isPlainName } from "./names.ts";
import { REVERSE_ZONES } from "./zone.ts";
import type { ZoneSource } from "./zone.ts";

/** What the system is told: names without the last dot. Nothing at all is "as it was". */
export interface SystemDns {
  readonly nameservers: readonly string[];
  readonly searchDomains: readonly string[];
  /** Suffixes the nameservers are for; empty for all names. */
  readonly matchDomains: readonly string[];
}

/** As it was. */
export const NO_SYSTEM_DNS: SystemDns = { nameservers: [], searchDomains: [], matchDomains: [] };

/** Everything about DNS that follows from a netmap. */
export interface DnsPlan {
  readonly zone: ZoneSource;
  /** Servers by suffix, "" for all other names. */
  readonly routes: ReadonlyMap<string, readonly Resolver[]>;
  readonly system: SystemDns;
}

/** What a plan depends on besides the netmap. */
export interface DnsPolicy {
  /** `--accept-dns`: the system may be told. */
  readonly acceptDns: boolean;
  /** An exit node is asked for: what the local network offers will not be reachable. */
  readonly exitNode: boolean;
  /** The system can send some names to us and others elsewhere. */
  readonly splits: boolean;
  /** Servers and search domains the system had before us; of a system that cannot split. */
  readonly base: Pick<SystemDns, "nameservers" | "searchDomains">;
  /** Addresses we answer at. */
  readonly serviceAddresses: readonly string[];
}

/** The plan for a netmap. */
export function planDns(view: NodeView, config: DNSConfig, policy: DnsPolicy): DnsPlan {
  const { serviceAddresses, acceptDns, splits, base } = policy;
  const suffix = canonicalName(view.magicDnsSuffix);
  // By suffix; nobody to ask means that we alone answer.
  const wanted = new Map<string, readonly Resolver[]>();
  if (config.Proxied && suffix !== "") { for (const zone of [suffix, ...REVERSE_ZONES]) wanted.set(zone, []); }
  for (const [name, resolvers] of Object.entries(config.Routes ?? {})) wanted.set(canonicalName(name), resolvers ?? []);
  const domains = [...wanted].filter(([, resolvers]) => resolvers.length === 0).map(([name]) => name);
  const zone: ZoneSource = { view, extraRecords: config.ExtraRecords ?? [], domains, serviceAddresses };
  const routes = new Map([...wanted].filter(([, resolvers]) => resolvers.length > 0));
  const defaults = defaultResolvers(config, policy.exitNode);
  if (defaults.length > 0) routes.set("", defaults);
  if (!acceptDns) return { zone, routes, system: NO_SYSTEM_DNS };

  const searchDomains = (config.Domains ?? []).map(canonicalName).filter(isPlainName);
  if (wanted.size === 0 && defaults.length === 0) {
    return { zone, routes, system: { ...NO_SYSTEM_DNS, searchDomains: splits ? searchDomains : [] } };
  }
  const system = { nameservers: serviceAddresses, searchDomains, matchDomains: [] };
  if (routes.has("")) return { zone, routes, system };
  if (splits) {
    const extra = zone.extraRecords.map(({ Name }) => canonicalName(Name));
    const matchDomains = [...new Set([...wanted.keys(), ...extra])].filter(isPlainName).sort();
    return { zone, routes, system: { ...system, matchDomains } };
  }
  routes.set("", base.nameservers.map((Addr) => ({ Addr })));
  const more = base.searchDomains.filter((name) => !searchDomains.includes(name));
  return { zone, routes, system: { ...system, searchDomains: [...searchDomains, ...more] } };
}

/** Servers for all names: control's; with an exit node, those control keeps for where the local network's are out of reach. */
function defaultResolvers({ Resolvers, FallbackResolvers }: DNSConfig, exitNode: boolean): readonly Resolver[] {
  if (Resolvers !== undefined && Resolvers !== null && Resolvers.length > 0) return Resolvers;
  return exitNode ? FallbackResolvers ?? [] : [];
}
