/**
 * From the tailnet to the maps its nodes see. Pure: the same snapshot and time give the same map.
 *
 * Everyone sees everyone and the filter (packet_filter.ts) lets everything through; what a node may not see is left out
 * here and nowhere else: other nodes' machine keys, and whatever of a host's description peers have no use for.
 */
import { goTime } from "../wire/tailcfg.ts";
import type {
  CapMap,
  DERPMap,
  DNSConfig,
  MapResponse,
  Node,
  PeerChange,
  TKAInfo,
  UserProfile,
} from "../wire/tailcfg.ts";
import { isExpired } from "./node_record.ts";
import type { NodeView } from "./node_record.ts";
import { packetFilter, relayAddresses } from "./packet_filter.ts";
import { ASPECT } from "./peer_delta.ts";
import { peerHostinfo } from "./peer_hostinfo.ts";
import { EXIT_ROUTES, isExitRoute } from "./routes.ts";
import type { TailnetSnapshot } from "./tailnet.ts";
import { ownerProfile, shownUserId } from "./users.ts";

/** What is the same for all nodes. */
export interface MapSettings {
  /** Without dots at its ends; `Domain` and the suffix of all names. */
  readonly magicDnsDomain: string;
  readonly derpMap: DERPMap;
  /** `CapMap` of every node, as it sees itself. */
  readonly nodeCapabilities: CapMap;
  /** Tailnet Lock as a node is to be told of it; undefined while there never was one. */
  readonly lockInfo?: (nodeId: number) => TKAInfo | undefined;
}

/** Builds maps; keeps what it built of each node for as long as the node is unchanged. */
export class MapBuilder {
  readonly #settings: MapSettings;
  readonly #peers = new WeakMap<NodeView, Node>();

  constructor(settings: MapSettings) {
    this.#settings = settings;
  }

  /**
   * The whole map for one node: the first message of every poll. A node whose key has expired sees itself only, so that
   * it can tell its user, and no peer.
   *
   * @param now Unix milliseconds; also the map's ControlTime.
   */
  fullMap(snapshot: TailnetSnapshot, self: NodeView, now: number): MapResponse {
    const peers = isExpired(self.record, now) ? [] : this.#peersOf(snapshot, self);
    return {
      Node: this.selfNode(self, now),
      DERPMap: this.#settings.derpMap,
      Peers: peers.map((view) => this.peerNode(view, now)),
      DNSConfig: this.#dnsConfig(),
      Domain: this.#settings.magicDnsDomain,
      CollectServices: false,
      PacketFilter: packetFilter(self, relayAddresses(snapshot)),
      UserProfiles: this.userProfiles(snapshot, [self, ...peers]),
      ...this.lockInfo(self.record.id),
      ControlTime: goTime(now),
    };
  }

  /** The part of a map that says how the lock is; nothing while there never was one. */
  lockInfo(nodeId: number): Pick<MapResponse, "TKAInfo"> {
    const info = this.#settings.lockInfo?.(nodeId);
    return info === undefined ? {} : { TKAInfo: info };
  }

  /** A node as it sees itself: online, since it is asking. */
  selfNode(view: NodeView, now: number): Node {
    const { record } = view;
    return {
      ...this.#node(view, now),
      Online: true,
      Machine: record.machineKey,
      Hostinfo: record.hostinfo,
      CapMap: this.#settings.nodeCapabilities,
      Capabilities: Object.keys(this.#settings.nodeCapabilities),
    };
  }

  /** A node as its peers see it. */
  peerNode(view: NodeView, now: number): Node {
    const known = this.#peers.get(view);
    if (known !== undefined && (known.Expired === true) === isExpired(view.record, now)) return known;
    const { record } = view;
    const node: Node = {
      ...this.#node(view, now),
      Hostinfo: peerHostinfo(record.hostinfo),
      // Any exit node may be suggested; which is nearest each node measures itself.
      ...(EXIT_ROUTES.every((route) => view.carries?.includes(route)) && { CapMap: { "suggest-exit-node": [] } }),
      ...(record.lastSeen !== undefined && !view.online && { LastSeen: goTime(record.lastSeen) }),
    };
    this.#peers.set(view, node);
    return node;
  }

  /** The changed fields of a peer; only for aspects `isPatchable` said yes to. */
  peerPatch({ record, online }: NodeView, aspects: number): PeerChange {
    return {
      NodeID: record.id,
      ...(aspects & ASPECT.endpoints && { Endpoints: record.endpoints }),
      ...(aspects & ASPECT.homeDerp && { DERPRegion: record.homeDerp }),
      ...(aspects & ASPECT.discoKey && { DiscoKey: record.discoKey }),
      ...(aspects & ASPECT.signature && { KeySignature: record.keySignature }),
      ...(aspects & ASPECT.capability && { Cap: record.capabilityVersion }),
      ...(aspects & ASPECT.keyExpiry && { KeyExpiry: goTime(record.keyExpiry!) }),
      ...(aspects & ASPECT.online && {
        Online: online,
        ...(!online && record.lastSeen !== undefined && { LastSeen: goTime(record.lastSeen) }),
      }),
    };
  }

  /** The owners of the given nodes, each once, by ID. */
  userProfiles(snapshot: TailnetSnapshot, views: readonly NodeView[]): UserProfile[] {
    const profiles = new Map<number, UserProfile>();
    for (const { record } of views) {
      const profile = ownerProfile(record, snapshot.users);
      profiles.set(profile.ID, profile);
    }
    return [...profiles.values()].sort((a, b) => a.ID - b.ID);
  }

  #peersOf(snapshot: TailnetSnapshot, self: NodeView): NodeView[] {
    const peers: NodeView[] = [];
    for (const [id, view] of snapshot.nodes) if (id !== self.record.id) peers.push(view);
    return peers.sort((a, b) => a.record.id - b.record.id);
  }

  #node({ record, online, carries = [] }: NodeView, now: number): Node {
    const addresses = [`${record.ipv4}/32`, `${record.ipv6}/128`];
    const primary = carries.filter((route) => !isExitRoute(route));
    return {
      ID: record.id,
      StableID: record.stableId,
      Name: `${record.name}.${this.#settings.magicDnsDomain}.`,
      User: shownUserId(record),
      Key: record.nodeKey,
      ...(record.keyExpiry !== undefined && { KeyExpiry: goTime(record.keyExpiry) }),
      ...(record.keySignature !== "" && { KeySignature: record.keySignature }),
      ...(record.discoKey !== "" && { DiscoKey: record.discoKey }),
      Addresses: addresses,
      AllowedIPs: [...addresses, ...carries],
      ...(primary.length > 0 && { PrimaryRoutes: primary }),
      ...(record.endpoints.length > 0 && { Endpoints: record.endpoints }),
      // Clients before capability version 111 only know the old spelling.
      ...(record.homeDerp !== 0 && { DERP: `127.3.3.40:${record.homeDerp}`, HomeDERP: record.homeDerp }),
      Created: goTime(record.createdAt),
      Cap: record.capabilityVersion,
      ...(record.tags.length > 0 && { Tags: record.tags }),
      Online: online,
      MachineAuthorized: true,
      ...(isExpired(record, now) && { Expired: true }),
    };
  }

  #dnsConfig(): DNSConfig {
    return { Domains: [this.#settings.magicDnsDomain], Proxied: true };
  }
}
