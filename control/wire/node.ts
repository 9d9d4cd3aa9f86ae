/** Nodes and users as the map carries them. Source: tailcfg.Node, tailcfg.PeerChange, tailcfg.UserProfile. */
import type { Hostinfo } from "./hostinfo.ts";
import type { Resolver } from "./dns_config.ts";

/** Capabilities and their arguments; a value is JSON of the capability's own kind, null or [] for none. */
export type CapMap = Readonly<Record<string, readonly unknown[] | null>>;

/** One machine of the tailnet, oneself or a peer. */
export interface Node {
  /** A key within the netmap; beyond 2^53 it is folded (`json.ts`). */
  readonly ID: number;
  readonly StableID: string;
  /** FQDN with a trailing dot. */
  readonly Name: string;
  readonly User: number;
  readonly Sharer?: number;
  /** `nodekey:<hex>`. */
  readonly Key: string;
  /** Absent (or Go's zero time) when the key never expires. */
  readonly KeyExpiry?: string;
  /** Tailnet Lock signature of `Key`, base64. */
  readonly KeySignature?: string;
  /** `mkey:<hex>`; for oneself only. */
  readonly Machine?: string;
  /** `discokey:<hex>`. */
  readonly DiscoKey?: string;
  /** Own addresses as /32 and /128 prefixes; Go sends null for none. */
  readonly Addresses?: readonly string[];
  /** Prefixes routed to the node. Absent means the same as `Addresses` (capability version 112). */
  readonly AllowedIPs?: readonly string[];
  /** `ip:port`. */
  readonly Endpoints?: readonly string[];
  /** The old spelling of `HomeDERP`, "127.3.3.40:<region>". */
  readonly DERP?: string;
  readonly HomeDERP?: number;
  readonly Hostinfo?: Hostinfo;
  readonly Created?: string;
  /** Capability version of the node. */
  readonly Cap?: number;
  readonly Tags?: readonly string[];
  /** Of `AllowedIPs`, the subnets this node is now the router of. */
  readonly PrimaryRoutes?: readonly string[];
  readonly LastSeen?: string;
  /** Absent when unknown or not ours to know. */
  readonly Online?: boolean;
  readonly MachineAuthorized?: boolean;
  /** The old spelling of `CapMap`. */
  readonly Capabilities?: readonly string[];
  readonly CapMap?: CapMap;
  /** Not covered by Tailnet Lock; may reach the peerapi only. */
  readonly UnsignedPeerAPIOnly?: boolean;
  readonly ComputedName?: string;
  readonly ComputedNameWithHost?: string;
  readonly DataPlaneAuditLogID?: string;
  readonly Expired?: boolean;
  /** The address this peer knows us by, when not our own. */
  readonly SelfNodeV4MasqAddrForThisPeer?: string;
  readonly SelfNodeV6MasqAddrForThisPeer?: string;
  readonly IsWireGuardOnly?: boolean;
  readonly IsJailed?: boolean;
  readonly ExitNodeDNSResolvers?: readonly Resolver[];
}

/** A change of some fields of a known peer; absent fields are unchanged. */
export interface PeerChange {
  readonly NodeID: number;
  readonly DERPRegion?: number;
  readonly Cap?: number;
  readonly CapMap?: CapMap;
  readonly Endpoints?: readonly string[];
  readonly Key?: string;
  readonly KeySignature?: string;
  readonly DiscoKey?: string;
  readonly Online?: boolean;
  readonly LastSeen?: string;
  readonly KeyExpiry?: string;
}

/** How a user is shown. */
export interface UserProfile {
  readonly ID: number;
  readonly LoginName: string;
  readonly DisplayName: string;
  readonly ProfilePicURL?: string;
  readonly Groups?: readonly string[];
}

/** A user in a registration's answer. */
export interface User {
  readonly ID: number;
  readonly DisplayName: string;
  readonly ProfilePicURL?: string;
  readonly Created?: string;
}

/** A login in a registration's answer. */
export interface Login {
  readonly ID: number;
  readonly Provider: string;
  readonly LoginName: string;
  readonly DisplayName: string;
  readonly ProfilePicURL?: string;
}
