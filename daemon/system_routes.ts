/**
 * Which prefixes the system routes to the TUN device for a list of allowed IPs: fewer than there are peers, as Tailscale
 * does it (ipnlocal.peerRoutes).
 *
 * Tailscale IPv6 addresses of peers share one route, fd7a:115c:a1e0::/48. Their IPv4 addresses have one route each, for
 * 100.64.0.0/10 may have other users on this machine, until there are so many that one route has to do.
 */
import { CGNAT, formatPrefix, isTailscaleIp, parsePrefix, TAILSCALE_ULA } from "../base/ip.ts";

/** Routes of one peer, sorted by how they merge with those of others. */
export interface SystemRoutes {
  /** Single Tailscale IPv4 addresses. */
  readonly tailnet4: readonly string[];
  readonly others: readonly string[];
}

/** More single addresses than this become one route. */
export const MANY_ADDRESSES = 10_000;

const ULA_ROUTE = formatPrefix(TAILSCALE_ULA);
const CGNAT_ROUTE = formatPrefix(CGNAT);

/** Sorts one peer's allowed IPs; malformed ones are left out. */
export function systemRoutes(allowedIps: readonly string[]): SystemRoutes {
  const tailnet4: string[] = [];
  const others: string[] = [];
  for (const text of allowedIps) {
    const prefix = parsePrefix(text);
    if (prefix === undefined) continue;
    const single = prefix.bits === prefix.ip.length * 8 && isTailscaleIp(prefix.ip);
    if (!single) others.push(text);
    else if (prefix.ip.length === 4) tailnet4.push(text);
    else others.push(ULA_ROUTE);
  }
  return { tailnet4, others };
}

/** All peers' routes, each once. */
export function mergeRoutes(peers: readonly SystemRoutes[]): string[] {
  const tailnet4 = peers.flatMap((routes) => routes.tailnet4);
  const others = peers.flatMap((routes) => routes.others);
  return [...new Set([...(tailnet4.length > MANY_ADDRESSES ? [CGNAT_ROUTE] : tailnet4), ...others])];
}
