/**
 * Where peers may find this node: its own addresses, what STUN servers see of it, and what its router maps to it.
 *
 * Control and the engine get the same list, the engine for its CallMeMaybe. Source: magicsock.determineEndpoints,
 * netmon.LocalAddresses; tailcfg.EndpointType.
 */
import { formatAddrPort, isTailscaleIp, parseAddrPort, parseIp } from "../base/ip.ts";
import type { IpBytes } from "../base/ip.ts";
import type { NetInfo } from "../control/wire/tailcfg.ts";
import type { LocalEndpoint } from "../engine/config.ts";
import { globalAddresses } from "../engine/netcheck/report.ts";
import type { Report } from "../engine/netcheck/report.ts";

/** An address of an interface of this machine. */
export interface InterfaceAddress {
  readonly device: string;
  readonly address: string;
}

/** UDP ports bound, 0 where a family is absent. */
export interface BoundPorts {
  readonly udp4: number;
  readonly udp6: number;
}

type Kind = "loopback" | "link-local" | "global";

function kindOf(ip: IpBytes): Kind {
  if (ip.length === 4) return ip[0] === 127 ? "loopback" : ip[0] === 169 && ip[1] === 254 ? "link-local" : "global";
  if (ip.every((byte, i) => byte === (i === 15 ? 1 : 0))) return "loopback";
  return ip[0] === 0xfe && (ip[1] & 0xc0) === 0x80 ? "link-local" : "global";
}

/**
 * Addresses peers could be told, without those of the tunnel itself. IPv6 link-local ones are useless without a zone;
 * IPv4 link-local and loopback ones count only when there is nothing else.
 */
export function usableAddresses(addresses: readonly InterfaceAddress[], tunName: string): IpBytes[] {
  const byKind: Record<Kind, IpBytes[]> = { "loopback": [], "link-local": [], "global": [] };
  for (const { device, address } of addresses) {
    const ip = parseIp(address.split("%")[0]);
    if (ip === undefined || device === tunName || isTailscaleIp(ip)) continue;
    const kind = kindOf(ip);
    if (kind === "link-local" && ip.length === 16) continue;
    byKind[kind].push(ip);
  }
  if (byKind.global.length > 0) return byKind.global;
  return byKind["link-local"].length > 0 ? byKind["link-local"] : byKind.loopback;
}

/** Where others see this node. @param mapped `ip:port` a router maps to this node, or "" */
export function outsideEndpoints(ports: BoundPorts, report: Report | undefined, mapped: string): LocalEndpoint[] {
  const endpoints: LocalEndpoint[] = [];
  if (mapped !== "") endpoints.push({ addr: mapped, type: 3 });
  if (report === undefined) return endpoints;
  const { v4, v6 } = globalAddresses(report);
  for (const addr of [...v4, ...v6]) endpoints.push({ addr, type: 2 });
  const seen = parseAddrPort(v4[0] ?? "");
  if (report.mappingVariesByDestIp === true && ports.udp4 !== 0 && seen !== undefined) {
    // A NAT that forwards the port by hand keeps the number; peers may try it.
    endpoints.push({ addr: formatAddrPort({ ip: seen.ip, port: ports.udp4 }), type: 4 });
  }
  return endpoints;
}

/** All own endpoints, each once, those others see first. */
export function collectEndpoints(
  outside: readonly LocalEndpoint[],
  addresses: readonly IpBytes[],
  ports: BoundPorts,
): LocalEndpoint[] {
  const endpoints = new Map<string, LocalEndpoint>();
  const add = (endpoint: LocalEndpoint) => {
    if (!endpoints.has(endpoint.addr)) endpoints.set(endpoint.addr, endpoint);
  };
  outside.forEach(add);
  for (const ip of addresses) {
    const port = ip.length === 4 ? ports.udp4 : ports.udp6;
    if (port !== 0) add({ addr: formatAddrPort({ ip, port }), type: 1 });
  }
  return [...endpoints.values()];
}

/** What control is told of a netcheck. Latencies become seconds. */
export function netInfoOf(report: Report, homeDerp: number, havePortMap = false): NetInfo {
  const latency: Record<string, number> = {};
  for (const [region, ms] of report.regionV4Latency) latency[`${region}-v4`] = ms / 1000;
  for (const [region, ms] of report.regionV6Latency) latency[`${region}-v6`] = ms / 1000;
  return {
    ...(report.mappingVariesByDestIp !== undefined && { MappingVariesByDestIP: report.mappingVariesByDestIp }),
    WorkingIPv6: report.ipv6,
    OSHasIPv6: report.osHasIpv6,
    WorkingUDP: report.udp,
    WorkingICMPv4: report.icmpv4,
    ...(havePortMap && { HavePortMap: true }),
    ...(report.upnp !== undefined && { UPnP: report.upnp }),
    ...(report.pmp !== undefined && { PMP: report.pmp }),
    ...(report.pcp !== undefined && { PCP: report.pcp }),
    ...(homeDerp !== 0 && { PreferredDERP: homeDerp }),
    DERPLatency: latency,
  };
}

/** Whether control need not be told again: latencies alone change all the time (tailcfg.NetInfo.BasicallyEqual). */
export function sameNetInfo(a: NetInfo | undefined, b: NetInfo): boolean {
  const basic = (info: NetInfo) => JSON.stringify({ ...info, DERPLatency: undefined });
  return a !== undefined && basic(a) === basic(b);
}
