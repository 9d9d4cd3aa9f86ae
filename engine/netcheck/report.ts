/**
 * The result of one netcheck, and the JSON `netcheck --format=json` prints of it.
 *
 * Source: net/netcheck.Report. Latencies are milliseconds here and nanoseconds in JSON.
 */

/** Milliseconds by region ID. */
export type RegionLatency = ReadonlyMap<number, number>;

/** Go's opt.Bool: undefined is "not known". */
export type OptBool = boolean | undefined;

/** What one run found out. */
export interface Report {
  /** Unix milliseconds of the end of the run. */
  readonly now: number;
  /** A STUN answer arrived. */
  readonly udp: boolean;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly ipv4CanSend: boolean;
  readonly ipv6CanSend: boolean;
  readonly osHasIpv6: boolean;
  readonly icmpv4: boolean;
  /** The NAT gives different addresses towards different servers (IPv4). */
  readonly mappingVariesByDestIp: OptBool;
  readonly upnp: OptBool;
  readonly pmp: OptBool;
  readonly pcp: OptBool;
  readonly captivePortal: OptBool;
  /** Home region, 0 unknown. */
  readonly preferredDerp: number;
  readonly regionLatency: RegionLatency;
  readonly regionV4Latency: RegionLatency;
  readonly regionV6Latency: RegionLatency;
  /** Own address as seen from outside, `ip:port`, or "". */
  readonly globalV4: string;
  readonly globalV6: string;
  /** How often each own address was seen. */
  readonly globalV4Counters: ReadonlyMap<string, number>;
  readonly globalV6Counters: ReadonlyMap<string, number>;
}

/** A report before anything was found. */
export const EMPTY_REPORT: Report = {
  now: 0,
  udp: false,
  ipv4: false,
  ipv6: false,
  ipv4CanSend: false,
  ipv6CanSend: false,
  osHasIpv6: false,
  icmpv4: false,
  mappingVariesByDestIp: undefined,
  upnp: undefined,
  pmp: undefined,
  pcp: undefined,
  captivePortal: undefined,
  preferredDerp: 0,
  regionLatency: new Map(),
  regionV4Latency: new Map(),
  regionV6Latency: new Map(),
  globalV4: "",
  globalV6: "",
  globalV4Counters: new Map(),
  globalV6Counters: new Map(),
};

/**
 * Own addresses worth telling peers: the one of the fastest answer first, then others seen more than once, as a NAT
 * that changes its mappings shows them. Those seen once are the traces of a NAT no one can be found behind.
 * Source: netcheck.Report.GetGlobalAddrs.
 */
export function globalAddresses(report: Report): { readonly v4: string[]; readonly v6: string[] } {
  const pick = (first: string, counters: ReadonlyMap<string, number>) => {
    const repeated = [...counters].filter(([address, count]) => address !== first && count > 1);
    return [...(first === "" ? [] : [first]), ...repeated.map(([address]) => address)];
  };
  return {
    v4: pick(report.globalV4, report.globalV4Counters),
    v6: pick(report.globalV6, report.globalV6Counters),
  };
}

function latencyJson(latencies: RegionLatency): Record<string, number> {
  return Object.fromEntries([...latencies].map(([region, ms]) => [region, Math.round(ms * 1e6)]));
}

function countersJson(counters: ReadonlyMap<string, number>): Record<string, number> | null {
  return counters.size === 0 ? null : Object.fromEntries(counters);
}

/** A value whose `JSON.stringify` is the document Go prints: its field names, nanoseconds, null for what is unknown. */
export function reportToJson(report: Report): Record<string, unknown> {
  return {
    Now: new Date(report.now).toISOString(),
    UDP: report.udp,
    IPv6: report.ipv6,
    IPv4: report.ipv4,
    IPv6CanSend: report.ipv6CanSend,
    IPv4CanSend: report.ipv4CanSend,
    OSHasIPv6: report.osHasIpv6,
    ICMPv4: report.icmpv4,
    MappingVariesByDestIP: report.mappingVariesByDestIp ?? null,
    UPnP: report.upnp ?? null,
    PMP: report.pmp ?? null,
    PCP: report.pcp ?? null,
    PreferredDERP: report.preferredDerp,
    RegionLatency: latencyJson(report.regionLatency),
    RegionV4Latency: latencyJson(report.regionV4Latency),
    RegionV6Latency: latencyJson(report.regionV6Latency),
    GlobalV4Counters: countersJson(report.globalV4Counters),
    GlobalV6Counters: countersJson(report.globalV6Counters),
    GlobalV4: report.globalV4,
    GlobalV6: report.globalV6,
    CaptivePortal: report.captivePortal ?? null,
  };
}
