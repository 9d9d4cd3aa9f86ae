/**
 * The messages of a map poll. Source: tailcfg.MapResponse.
 *
 * The first with `Node` is the whole map; those after it are changes, in which an absent field means "as before".
 * An empty list or map is not absent: `PacketFilter: []` blocks everything, `Health: []` restores good health.
 */
import type { DERPMap } from "../../derp/derp_map.ts";
import type { DNSConfig } from "./dns_config.ts";
import type { Node, PeerChange, UserProfile } from "./node.ts";
import type { FilterRule } from "./packet_filter.ts";
import type { PingRequest } from "./ping.ts";
import type { SSHPolicy } from "./ssh_policy.ts";

/** One frame of the poll's answer. Maps by node carry decimal node IDs as keys. */
export interface MapResponse {
  readonly MapSessionHandle?: string;
  readonly Seq?: number;
  /** Then only `PingRequest`, `PopBrowserURL` and `ControlTime` count. */
  readonly KeepAlive?: boolean;
  readonly PingRequest?: PingRequest;
  readonly PopBrowserURL?: string;
  /** Oneself. */
  readonly Node?: Node;
  /** Absent parts are unchanged; the regions are as `derp/derp_map.ts` parses them. */
  readonly DERPMap?: Partial<DERPMap>;
  /** All peers, when not empty; every other change of peers in the same message is then ignored. */
  readonly Peers?: readonly Node[];
  readonly PeersChanged?: readonly Node[];
  readonly PeersRemoved?: readonly number[];
  readonly PeersChangedPatch?: readonly PeerChange[];
  /** True: seen now; false: LastSeen is unknown. */
  readonly PeerSeenChange?: Readonly<Record<string, boolean>>;
  readonly OnlineChange?: Readonly<Record<string, boolean>>;
  readonly DNSConfig?: DNSConfig;
  readonly Domain?: string;
  readonly CollectServices?: boolean;
  /** The same as `PacketFilters: {base: …}`, applied before it. */
  readonly PacketFilter?: readonly FilterRule[];
  /** Null deletes; `"*": null` deletes all before the other entries are taken. */
  readonly PacketFilters?: Readonly<Record<string, readonly FilterRule[] | null>>;
  readonly UserProfiles?: readonly UserProfile[];
  readonly Health?: readonly string[];
  /** Null deletes; `"*": null` deletes all before the other entries are taken. */
  readonly DisplayMessages?: Readonly<Record<string, DisplayMessage | null>>;
  readonly SSHPolicy?: SSHPolicy;
  readonly ControlTime?: string;
  readonly TKAInfo?: TKAInfo;
  readonly DomainDataPlaneAuditLogID?: string;
  readonly Debug?: Debug;
  readonly ControlDialPlan?: ControlDialPlan;
  readonly ClientVersion?: ClientVersion;
  readonly DefaultAutoUpdate?: boolean;
}

/** What control thinks of Tailnet Lock. */
export interface TKAInfo {
  /** Base32 hash of the newest AUM. */
  readonly Head?: string;
  readonly Disabled?: boolean;
}

/** A health message of the control server. */
export interface DisplayMessage {
  readonly Title: string;
  readonly Text: string;
  /** "high", "medium" or "low". */
  readonly Severity: string;
  readonly ImpactsConnectivity?: boolean;
  readonly PrimaryAction?: { readonly URL: string; readonly Label: string };
}

/** Wishes of the control server for debugging. */
export interface Debug {
  readonly SleepSeconds?: number;
  readonly DisableLogTail?: boolean;
  readonly Exit?: number;
}

/** Where else the control server is. */
export interface ControlDialPlan {
  readonly Candidates?: readonly ControlIPCandidate[];
}

export interface ControlIPCandidate {
  readonly IP?: string;
  readonly ACEHost?: string;
  readonly DialStartDelaySec?: number;
  readonly DialTimeoutSec?: number;
  readonly Priority?: number;
}

export interface ClientVersion {
  readonly RunningLatest?: boolean;
  readonly LatestVersion?: string;
  readonly UrgentSecurityUpdate?: boolean;
  readonly Notify?: boolean;
  readonly NotifyURL?: string;
  readonly NotifyText?: string;
}
