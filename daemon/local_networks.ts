/**
 * The networks this machine is on itself, and what an exit node, used or offered, makes of them.
 *
 * "guests" are networks that exist on this machine only: bridges to containers and virtual machines. They are never
 * meant by "the local network", and cutting them off would cut off what runs here. Source:
 * ipnlocal.internalAndExternalInterfaces, shrinkDefaultRoute.
 */
import { covers, subtractPrefixes } from "../base/prefix_set.ts";
import { formatIp, formatPrefix, isTailscaleIp, masked, parseIp, parsePrefix, prefixContains } from "../base/ip.ts";
import { isExitRoute } from "./exit_node.ts";

/** An address of an interface of this machine, and the network it is in. */
export interface LocalNetwork {
  readonly device: string;
  /** The address with the bits of its network. */
  readonly prefix: string;
  readonly kind: "loopback" | "guests" | "lan" | "tunnel";
}

/** Never reached by way of an exit node: private, local and tailnet addresses, and this machine's own loopback. */
const NOT_THE_INTERNET = [
  ...["192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "100.64.0.0/10", "127.0.0.0/8"],
  ...["fe80::/10", "ff00::/8", "fd7a:115c:a1e0::/48", "::1/128", "::ffff:0.0.0.0/96"],
];

/** Links have them without any router, so they are never in a tunnel. */
const LINK_LOCAL6 = "fe80::/10";

/** IPv4 networks of sites as IPv6 (4via6): a router would have to translate, which the kernel does not. */
const VIA = parsePrefix("fd7a:115c:a1e0:b1a::/64")!;

/** Whether the route is a site's IPv4 network as IPv6 (tsaddr.IsViaPrefix). */
export function isVia(route: string): boolean {
  const prefix = parsePrefix(route);
  return prefix !== undefined && covers(VIA, prefix);
}

function networkOf({ prefix }: LocalNetwork): string {
  return formatPrefix(masked(parsePrefix(prefix)!));
}

/** A network with more than one address, and no tailnet's. */
function isNetwork({ prefix }: LocalNetwork): boolean {
  const { ip, bits } = parsePrefix(prefix)!;
  return bits < ip.length * 8 && bits > 0 && !isTailscaleIp(ip);
}

/** Whether there is any network to reach others by, as far as addresses tell. Source: netmon.State.AnyInterfaceUp. */
export function hasNetwork(networks: readonly LocalNetwork[]): boolean {
  return networks.some(({ kind }) => kind === "lan" || kind === "guests");
}

/** Whether an address is this machine's own, or of what runs on it. */
export function isOnThisMachine(address: string, networks: readonly LocalNetwork[]): boolean {
  const ip = parseIp(address);
  return ip !== undefined && networks.some(({ prefix, kind }) => {
    const network = parsePrefix(prefix)!;
    return formatIp(network.ip) === formatIp(ip) ||
      (kind !== "lan" && kind !== "tunnel" && prefixContains(network, ip));
  });
}

/** Routes (`RoutingConfig.routes`) that keep local traffic out of the tunnel while an exit node is set. */
export function localRoutes(networks: readonly LocalNetwork[], allowLan: boolean): string[] {
  const local = networks.filter((network) => isNetwork(network))
    .filter(({ kind }) => kind === "guests" || (kind === "lan" && allowLan));
  return [...new Set([LINK_LOCAL6, ...local.map(networkOf)])].map((prefix) => `throw ${prefix}`);
}

/**
 * Addresses that peers may send to through us, for the routes we offer: an offer of the whole internet is not one of the
 * networks we are in, nor of our loopback. None are those of 4via6, whatever IPv4 address is in them (TS-2026-011).
 */
export function offeredAddresses(routes: readonly string[], networks: readonly LocalNetwork[]): string[] {
  const nets = networks.filter(isNetwork).map(networkOf);
  return [
    ...new Set(routes.flatMap((route) => {
      if (!isExitRoute(route)) return isVia(route) ? [] : [route];
      const own = networks.filter(({ kind }) => kind !== "loopback").map(({ prefix }) => prefix.split("/")[0])
        .filter((address) => address.includes(":") === route.includes(":"));
      const others = subtractPrefixes([route], [...NOT_THE_INTERNET, ...nets]);
      const single = own.map((address) => `${address}/${address.includes(":") ? 128 : 32}`);
      return [...others, ...subtractPrefixes(single, NOT_THE_INTERNET)];
    })),
  ];
}
