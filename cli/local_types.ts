/**
 * The parts of the LocalAPI's JSON that verbs read. Field names are Go's.
 * Source: tailscale.com/ipn/ipnstate, ipn.Prefs, ipn.Notify, client/tailscale/apitype.
 */

/** `ipnstate.PeerStatus`. */
export interface PeerStatus {
  readonly ID: string;
  readonly PublicKey: string;
  readonly HostName: string;
  readonly DNSName: string;
  readonly OS: string;
  readonly UserID: number;
  readonly AltSharerUserID?: number;
  readonly TailscaleIPs: readonly string[] | null;
  readonly Tags?: readonly string[];
  readonly CurAddr: string;
  readonly Relay: string;
  readonly PeerRelay?: string;
  readonly RxBytes: number;
  readonly TxBytes: number;
  readonly LastSeen: string;
  readonly Online: boolean;
  readonly ExitNode: boolean;
  readonly ExitNodeOption: boolean;
  readonly Active: boolean;
  readonly ShareeNode?: boolean;
  /** "ssh-ed25519 AAAA…" */
  readonly sshHostKeys?: readonly string[];
  readonly Expired?: boolean;
  readonly Location?: { readonly Country?: string; readonly City?: string };
}

/** `ipnstate.Status`. */
export interface Status {
  readonly Version: string;
  readonly BackendState: string;
  readonly AuthURL: string;
  readonly HaveNodeKey?: boolean;
  readonly TUN?: boolean;
  readonly TailscaleIPs: readonly string[] | null;
  readonly Self: PeerStatus | null;
  readonly Health: readonly string[] | null;
  readonly MagicDNSSuffix: string;
  readonly Peer: Readonly<Record<string, PeerStatus>> | null;
  /** Of our daemon only. */
  readonly Agent?: { readonly Netfilter?: { readonly Exempt?: readonly string[] } };
  readonly User: Readonly<Record<string, { readonly LoginName: string; readonly DisplayName: string }>> | null;
}

/** `ipn.LoginProfile`, what verbs touch of it. */
export interface LoginProfile {
  readonly ID: string;
  readonly Name: string;
  readonly NetworkProfile: { readonly DomainName: string; readonly DisplayName: string };
  readonly UserProfile: { readonly LoginName: string };
}

/** `ipn.Prefs`, what verbs touch of it. */
export interface Prefs {
  readonly ControlURL: string;
  readonly RouteAll: boolean;
  readonly ExitNodeID: string;
  readonly ExitNodeIP: string;
  readonly AutoExitNode?: string;
  readonly ExitNodeAllowLANAccess: boolean;
  readonly CorpDNS: boolean;
  readonly RunSSH: boolean;
  readonly RunWebClient: boolean;
  readonly WantRunning: boolean;
  readonly LoggedOut: boolean;
  readonly ShieldsUp: boolean;
  readonly AdvertiseTags: readonly string[] | null;
  readonly Hostname: string;
  readonly AdvertiseRoutes: readonly string[] | null;
  readonly NoSNAT: boolean;
  readonly NoStatefulFiltering: boolean | null;
  readonly NetfilterMode: number;
  readonly OperatorUser?: string;
  readonly ProfileName?: string;
  readonly PostureChecking: boolean;
  readonly AppConnector: { readonly Advertise: boolean };
  readonly RemoteConfig?: boolean;
  readonly Sync?: boolean | null;
  readonly RelayServerPort?: number | null;
  readonly RelayServerStaticEndpoints?: readonly string[] | null;
  readonly AutoUpdate: { readonly Check: boolean; readonly Apply: boolean | null };
  readonly [field: string]: unknown;
}

/** `ipn.Notify`. */
export interface Notify {
  readonly ErrMessage?: string | null;
  readonly State?: number | null;
  readonly BrowseToURL?: string | null;
  readonly LoginFinished?: unknown;
  readonly SelfChange?: { readonly Key: string } | null;
}

/** `ipnstate.PingResult`. */
export interface PingResult {
  readonly IP: string;
  readonly NodeIP: string;
  readonly NodeName: string;
  readonly Err: string;
  readonly LatencySeconds: number;
  readonly Endpoint: string;
  readonly DERPRegionID: number;
  readonly DERPRegionCode: string;
  readonly PeerRelay?: string;
  readonly PeerAPIPort?: number;
  readonly PeerAPIURL?: string;
  readonly IsLocalIP?: boolean;
}

/** `ipn.State` by number. */
export const STATES = [
  "NoState",
  "InUseOtherUser",
  "NeedsLogin",
  "NeedsMachineAuth",
  "Stopped",
  "Starting",
  "Running",
] as const;

/** `apitype.WhoIsResponse`. */
export interface WhoIs {
  readonly Node: {
    readonly Name: string;
    readonly StableID: string;
    readonly Addresses?: readonly string[] | null;
    readonly AllowedIPs?: readonly string[] | null;
    readonly Tags?: readonly string[] | null;
  };
  readonly UserProfile: { readonly ID: number; readonly LoginName: string };
  readonly CapMap?: Readonly<Record<string, readonly unknown[] | null>> | null;
}

/** `netcheck.Report`; latencies are nanoseconds by region ID. */
export interface NetcheckReport {
  readonly Now: string;
  readonly UDP: boolean;
  readonly IPv6: boolean;
  readonly OSHasIPv6: boolean;
  readonly MappingVariesByDestIP: boolean | null | "";
  readonly UPnP: boolean | null | "";
  readonly PMP: boolean | null | "";
  readonly PCP: boolean | null | "";
  readonly PreferredDERP: number;
  readonly RegionLatency: Readonly<Record<string, number>> | null;
  readonly GlobalV4: string;
  readonly GlobalV6: string;
  readonly CaptivePortal: boolean | null | "";
}

/** `tailcfg.DERPMap`, as far as `netcheck` names regions. */
export interface DerpRegions {
  readonly Regions?: Readonly<Record<string, { readonly RegionCode: string; readonly RegionName: string }>> | null;
}
