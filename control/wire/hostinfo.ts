/** What a node says about its host. Source: tailcfg.Hostinfo, tailcfg.NetInfo. Absent means Go's zero value. */

/** The host a node runs on, sent at registration and in lite updates. */
export interface Hostinfo {
  /** Version of the node software, long form. */
  readonly IPNVersion?: string;
  readonly FrontendLogID?: string;
  /** Must be there in requests: Tailscale's control and Go clients insist on it. */
  readonly BackendLogID?: string;
  /** "linux". */
  readonly OS?: string;
  /** Kernel release on Linux. */
  readonly OSVersion?: string;
  readonly Container?: boolean;
  readonly Env?: string;
  readonly Distro?: string;
  readonly DistroVersion?: string;
  readonly DistroCodeName?: string;
  readonly App?: string;
  readonly Desktop?: boolean;
  readonly Package?: string;
  readonly DeviceModel?: string;
  readonly Hostname?: string;
  readonly ShieldsUp?: boolean;
  readonly ShareeNode?: boolean;
  readonly NoLogsNoSupport?: boolean;
  readonly RemoteConfig?: boolean;
  readonly WireIngress?: boolean;
  readonly IngressEnabled?: boolean;
  readonly AllowsUpdate?: boolean;
  /** `uname -m`. */
  readonly Machine?: string;
  readonly GoArch?: string;
  readonly GoArchVar?: string;
  readonly GoVersion?: string;
  /** Routes the node offers, prefixes; 0.0.0.0/0 and ::/0 offer an exit node. */
  readonly RoutableIPs?: readonly string[];
  /** `tag:…` asked for. */
  readonly RequestTags?: readonly string[];
  readonly WoLMACs?: readonly string[];
  readonly Services?: readonly Service[];
  readonly NetInfo?: NetInfo;
  readonly sshHostKeys?: readonly string[];
  readonly Cloud?: string;
  readonly Userspace?: boolean;
  readonly UserspaceRouter?: boolean;
  readonly AppConnector?: boolean;
  readonly ServicesHash?: string;
  readonly PeerRelay?: boolean;
  readonly ExitNodeID?: string;
  readonly Location?: Location;
  readonly StateEncrypted?: boolean;
}

/** What netcheck found. */
export interface NetInfo {
  readonly MappingVariesByDestIP?: boolean;
  readonly WorkingIPv6?: boolean;
  readonly OSHasIPv6?: boolean;
  readonly WorkingUDP?: boolean;
  readonly WorkingICMPv4?: boolean;
  readonly HavePortMap?: boolean;
  readonly UPnP?: boolean;
  readonly PMP?: boolean;
  readonly PCP?: boolean;
  /** Home DERP region, absent while unknown. */
  readonly PreferredDERP?: number;
  readonly LinkType?: string;
  /** Seconds by `<region>-v4` or `<region>-v6`. */
  readonly DERPLatency?: Readonly<Record<string, number>>;
  readonly FirewallMode?: string;
}

/** A port the node offers; the peerapi is announced as `peerapi4`, `peerapi6` and `peerapi-dns-proxy`. */
export interface Service {
  readonly Proto: string;
  readonly Port: number;
  readonly Description?: string;
}

/** Where an exit node stands. */
export interface Location {
  readonly Country?: string;
  readonly CountryCode?: string;
  readonly City?: string;
  readonly CityCode?: string;
  readonly Latitude?: number;
  readonly Longitude?: number;
  readonly Priority?: number;
}
