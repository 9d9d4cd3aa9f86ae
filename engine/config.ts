/**
 * What the engine is told: plain data the daemon makes from a netmap (and the lock's verdict) and prefs.
 *
 * The daemon hands over whole configurations; `engine/diff.ts` turns two of them into small commands, so that a
 * 10,000-peer netmap reaches the data-plane worker in pieces and no packet waits for it.
 */

/** One peer the lock and the netmap allow. All addresses are text as `net/netip` prints them. */
export interface PeerConfig {
  /** 64 hex digits of the node key. */
  readonly key: string;
  /** 64 hex digits of the disco key, or "" for a peer that speaks WireGuard only. */
  readonly disco: string;
  /** Prefixes the peer may send from and is sent to. */
  readonly allowedIps: readonly string[];
  /** UDP endpoints control knows, `ip:port`. */
  readonly endpoints: readonly string[];
  /** Home DERP region, 0 for none. */
  readonly derp: number;
  /** May be spoken to but may open nothing towards us (`tailcfg.Node.IsJailed`). */
  readonly jailed: boolean;
  /** Addresses of the peer that answer a disco ping by address. */
  readonly addresses: readonly string[];
  /** `tailcfg.CapabilityVersion` of the peer, 0 unknown. */
  readonly cap: number;
  /** What the packet filter grants of peer relays; absent for nothing. */
  readonly relay?: PeerRelayGrants;
}

/** Capabilities of a peer towards this node (`tailscale.com/cap/relay-target`, `…/relay`). */
export interface PeerRelayGrants {
  /** Its relay server may be asked for sessions. */
  readonly serves: boolean;
  /** It may ask the relay server here. */
  readonly mayAsk: boolean;
}

/** A relay server's session for two nodes, as text and numbers: `magicsock/disco_relay.ts`. */
export interface RelaySessionConfig {
  /** 64 hex digits of disco keys. */
  readonly server: string;
  readonly clients: readonly [string, string];
  /** Decimal. */
  readonly lamportId: string;
  readonly vni: number;
  readonly bindLifetimeMs: number;
  readonly steadyLifetimeMs: number;
  /** `ip:port`. */
  readonly addrs: readonly string[];
}

/** A peer, or this node itself, wants a session of the relay server here. */
export interface RelayRequest {
  /** 64 hex digits of the asking peer's node key; "" for this node. */
  readonly peer: string;
  /** Disco key of the peer that asks. */
  readonly disco: string;
  readonly clients: readonly [string, string];
  readonly generation: number;
}

/** A port range of a filter rule's destination. */
export interface FilterDestination {
  readonly prefix: string;
  readonly first: number;
  readonly last: number;
}

/** One compiled-from-tailcfg rule: any source to any destination by any of the protocols. */
export interface FilterRuleConfig {
  /** Prefixes; ranges and `*` are already expanded. */
  readonly sources: readonly string[];
  /** Node capabilities that admit a source (`cap:…`), already resolved to the peers' prefixes in `sources`. */
  readonly destinations: readonly FilterDestination[];
  /** IP protocol numbers; empty means the default set TCP, UDP, ICMPv4, ICMPv6 (`tailcfg.FilterRule.IPProto`). */
  readonly protocols: readonly number[];
}

/** The packet filter as the engine compiles it. */
export interface FilterConfig {
  readonly rules: readonly FilterRuleConfig[];
  /** Prefixes packets may be addressed to: own addresses and advertised routes. */
  readonly local: readonly string[];
  /** Drop everything new that comes in. */
  readonly shieldsUp: boolean;
}

/** The whole configuration of the engine. */
export interface EngineConfig {
  /** 64 hex digits of the node private key. Crosses to the worker, never printed. */
  readonly privateKey: string;
  /** Own Tailscale addresses. */
  readonly addresses: readonly string[];
  readonly peers: readonly PeerConfig[];
  readonly filter: FilterConfig;
  /** Own home DERP region, 0 until netcheck found one. */
  readonly homeDerp: number;
  /** Use of peer relays: `client` false is never, `self` asks the relay server here too. Absent: those of peers. */
  readonly relay?: { readonly client: boolean; readonly self: boolean };
  /** What control asks of magicsock; absent: nothing. */
  readonly knobs?: EngineKnobs;
}

/** Node attributes that change how the engine behaves (tailscale.com/control/controlknobs). */
export interface EngineKnobs {
  /** `silent-disco`: no heartbeats; a direct path is trusted while data comes by it. */
  readonly silentDisco: boolean;
  /** `randomize-client-port`: whatever port the operator named, any is bound. */
  readonly randomizePort: boolean;
}

/** An own UDP endpoint as told to control and to peers. `type` is `tailcfg.EndpointType`. */
export interface LocalEndpoint {
  readonly addr: string;
  /** 1 local, 2 STUN, 3 port-mapped, 4 STUN with local port, 5 explicit. */
  readonly type: 1 | 2 | 3 | 4 | 5;
}

/** A peer as the engine sees it now; what `status` prints of paths. Times are Unix milliseconds, 0 for never. */
export interface PeerStatus {
  readonly key: string;
  /** `ip:port` in use, or "". */
  readonly currentAddress: string;
  /** `ip:port:vni:N` of the peer relay in use, absent for none. */
  readonly peerRelay?: string;
  /** Home region that relays when `currentAddress` is "", 0 for none. */
  readonly derp: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly lastHandshake: number;
  readonly lastSend: number;
  readonly lastReceive: number;
  /** Traffic within the last two minutes. */
  readonly active: boolean;
}

/** What an event on a path was. `path` is that the path in use became another. */
export type PathEventKind =
  | "ping"
  | "pong"
  | "lost"
  | "heard"
  | "call-me-maybe-sent"
  | "call-me-maybe-received"
  | RelayEventKind
  | "path";

/**
 * Of a peer relay: it was asked for a session, gave one or did not answer; the peer was told, or told us; binding to it
 * was asked for, the server answered, or the session led nowhere.
 */
export type RelayEventKind =
  | "relay-asked"
  | "relay-granted"
  | "relay-unanswered"
  | "relay-told"
  | "relay-heard"
  | "relay-bind"
  | "relay-challenge"
  | "relay-lost";

/** One event, or several alike. Times are milliseconds before the report. */
export interface PathEvent {
  readonly kind: PathEventKind;
  /**
   * `ip:port`, `ip:port:vni:N` at a peer relay, `derp-N`, or "" for none. Of a relay before it has an address: the node it
   * runs on (`nodekey:…`, or "this node"), `vni:N`, or both.
   */
  readonly path: string;
  readonly firstAgoMs: number;
  readonly lastAgoMs: number;
  readonly count: number;
  readonly latencyMs?: number;
}

/** An address a peer may have. */
export interface PathCandidate {
  readonly address: string;
  /** Who stands behind it: control's netmap, the peer's CallMeMaybe, a ping that came from it. */
  readonly sources: readonly ("configured" | "announced" | "heard")[];
  /** Of its last pong; absent when it never answered. */
  readonly latencyMs?: number;
  readonly pingedAgoMs?: number;
  readonly heardAgoMs?: number;
  readonly best: boolean;
  /** Why it is, or is not, the best: points by `betterAddr` for it and for the best. */
  readonly points?: { readonly own: number; readonly best: number };
}

/** All the engine knows of the way to one peer. */
export interface PathReport {
  /** The address or relay session that answered best, "" for none. */
  readonly best: string;
  /** How much longer it carries traffic without DERP's help; 0 when it is not trusted. */
  readonly trustedForMs: number;
  readonly latencyMs?: number;
  /** DERP region that relays to the peer, 0 for none. */
  readonly derp: number;
  /** Packets were sent within the last 45 s, so that the path is kept alive. */
  readonly active: boolean;
  readonly sentAgoMs?: number;
  readonly receivedAgoMs?: number;
  readonly candidates: readonly PathCandidate[];
  readonly events: readonly PathEvent[];
}

/** What a disco ping found. */
export interface PingOutcome {
  readonly latencyMs: number;
  /** `ip:port` the pong came from, or "" when by a relay. */
  readonly endpoint: string;
  /** `ip:port:vni:N` of the peer relay it came by. */
  readonly relay?: string;
  readonly derp: number;
}

/** How long the worker's turns took since it began (dataplane/turn_watch.ts). */
export interface TurnCounts {
  readonly turns: number;
  /** Turns of more than 5 ms of the worker's own CPU time, garbage collection included. */
  readonly longByCpu: number;
  /** Turns of more than 5 ms by the clock: those above, and those in which the machine did something else. */
  readonly longByWall: number;
  readonly longestCpuMs: number;
  readonly longestWallMs: number;
}

/** Counters and facts of the data plane. */
export interface EngineStatus {
  readonly cryptoProvider: string;
  /**
   * What the kernel does for us now: `csum`, `tso`, `uso` of the TUN, `gso`, `gro` of all UDP sockets; and `wasm`, that the
   * kernels are WebAssembly.
   */
  readonly offloads: Readonly<Record<string, boolean>>;
  readonly turns: TurnCounts;
  readonly drops: Readonly<Record<string, number>>;
  /** Packets and bytes by path: `direct_ipv4`, `direct_ipv6`, `peer_relay_ipv4`, `peer_relay_ipv6`, `derp`. */
  readonly paths: Readonly<Record<string, { rxPackets: number; rxBytes: number; txPackets: number; txBytes: number }>>;
  readonly peers: readonly PeerStatus[];
}
