/**
 * The result of one netcheck, and its two renderings: the JSON of `netcheck --format=json` and the text of `netcheck`.
 *
 * Source: net/netcheck.Report; cmd/tailscale/cli/netcheck.go. Latencies are milliseconds here and nanoseconds in JSON.
 */

/** Milliseconds by region ID. */
export type RegionLatency = ReadonlyMap<number, number>;

/** Go's opt.Bool: undefined is "not known", which prints as the empty string. */
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
