/**
 * Who else uses 100.64.0.0/10 on this machine: pure. Carriers, clouds and other tailnets do, and a node that dropped all
 * of it would cut a server off its resolver, its DHCP server or its provider (tailscale issues 12829, 12555, 3104).
 *
 * ```
 *   a network of an interface, no tunnel   100.72.3.4/16 on eth0      ─▶ 100.72.0.0/16  network of eth0
 *   a route of the system's own            100.80.0.0/12 by 10.0.0.1  ─▶ 100.80.0.0/12  route
 *   a gateway, a resolver                  nameserver 100.100.2.136   ─▶ 100.100.2.136/32
 *   another tailnet's tunnel               tailscale0                 ─▶ all that comes out of it
 * ```
 */
import { CGNAT, formatIp, formatPrefix, masked, parseIp, parsePrefix, prefixContains } from "../../base/ip.ts";
import type { IpBytes, Prefix } from "../../base/ip.ts";
import { covers, overlaps } from "../../base/prefix_set.ts";
import type { LocalNetwork } from "../local_networks.ts";

/** A prefix that is not only the tailnet's, and why. */
export interface LocalPrefix {
  readonly prefix: string;
  /** "network of eth0", "route", "gateway", "resolver". */
  readonly use: string;
}

/** What is let in beside the tailnet. */
export interface LocalUse {
  readonly prefixes: readonly LocalPrefix[];
  /** Devices of other tailnets' nodes. */
  readonly tunnels: readonly string[];
}

/** Nobody else does. */
export const NO_LOCAL_USE: LocalUse = { prefixes: [], tunnels: [] };

/** A route of the main table that leads to no tunnel. */
export interface SystemRoute {
  readonly destination: Prefix;
  readonly gateway?: IpBytes;
}

/** What is known of the machine. */
export interface LocalFacts {
  readonly tun: string;
  /** Addresses of this machine at which the node answers DNS. */
  readonly service: readonly string[];
  readonly networks: readonly LocalNetwork[];
  readonly routes: readonly SystemRoute[];
  /** Addresses of the resolvers the machine uses. */
  readonly resolvers: readonly string[];
}

/** MagicDNS of Tailscale answers there, on the machine that asks. */
const QUAD_100 = "100.100.100.100";

/** The part of it that is in 100.64.0.0/10. */
function within(prefix: Prefix): Prefix | undefined {
  if (prefix.ip.length !== 4 || !overlaps(prefix, CGNAT)) return undefined;
  return covers(prefix, CGNAT) ? CGNAT : prefix;
}

function single(ip: IpBytes): Prefix {
  return { ip, bits: ip.length * 8 };
}

/** Finds the local use of the range. */
export function localUseOf({ tun, service, networks, routes, resolvers }: LocalFacts): LocalUse {
  const found: { prefix: Prefix; use: string }[] = [];
  const tunnels = new Set<string>();
  for (const { device, prefix, kind } of networks) {
    const address = parsePrefix(prefix)!;
    if (device === tun || kind === "loopback" || !prefixContains(CGNAT, address.ip)) continue;
    if (kind === "tunnel") tunnels.add(device);
    else found.push({ prefix: within(masked(address))!, use: `network of ${device}` });
  }
  for (const { destination, gateway } of routes) {
    const inside = destination.bits === 0 ? undefined : within(destination);
    if (inside !== undefined) found.push({ prefix: inside, use: "route" });
    if (gateway !== undefined && prefixContains(CGNAT, gateway)) {
      found.push({ prefix: single(gateway), use: "gateway" });
    }
  }
  // What this machine answers itself, ours and other nodes' here, comes from nowhere else.
  const here = new Set([QUAD_100, ...service, ...networks.map(({ prefix }) => prefix.split("/")[0])]);
  for (const text of resolvers) {
    const ip = parseIp(text);
    if (ip === undefined || !prefixContains(CGNAT, ip) || here.has(formatIp(ip))) continue;
    found.push({ prefix: single(ip), use: "resolver" });
  }
  const prefixes: LocalPrefix[] = [];
  // The widest first; what is inside another needs no rule, unless it is worth telling of.
  for (const { prefix, use } of found.toSorted((a, b) => a.prefix.bits - b.prefix.bits)) {
    const text = formatPrefix(prefix);
    if (!prefixes.some((one) => covers(parsePrefix(one.prefix)!, prefix))) prefixes.push({ prefix: text, use });
  }
  return { prefixes, tunnels: [...tunnels].sort() };
}

/** The resolvers of a resolv.conf (resolv.conf(5)). */
export function resolversOf(text: string): string[] {
  return text.split("\n").flatMap((line) => /^\s*nameserver\s+([0-9a-fA-F.:]+)/.exec(line)?.[1] ?? []);
}

/**
 * Looks, and where that fails sees what it saw before: exceptions from our rules are not worth the node, which is to have
 * its packet filter all the same.
 */
export function orAsBefore(look: () => LocalUse, failed: (cause: unknown) => void): () => LocalUse {
  let seen = NO_LOCAL_USE;
  return () => {
    try {
      seen = look();
    } catch (cause) {
      failed(cause);
    }
    return seen;
  };
}
