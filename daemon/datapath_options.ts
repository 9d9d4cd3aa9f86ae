/** What a data path is made of, is configured by, and tells. */
import type { NodePrivate, RandomBytes } from "../base/keys.ts";
import type { Scheduler } from "../base/clock.ts";
import type { NetInfo } from "../control/wire/tailcfg.ts";
import type { DerpPool, DerpPoolEvents } from "../derp/pool.ts";
import type { LocalEndpoint } from "../engine/config.ts";
import type { Engine } from "../engine/engine.ts";
import type { PortMapper } from "../engine/portmap/port_mapper.ts";
import type { NetcheckRunner } from "./endpoint_tracker.ts";
import type { InterfaceAddress } from "./endpoints.ts";
import type { LocalNetwork } from "./local_networks.ts";
import type { LockFilter } from "./lock_filter.ts";
import type { Log } from "./log.ts";
import type { Firewall } from "./netfilter/firewall.ts";
import type { LocalUse } from "./netfilter/local_use.ts";
import type { FirewallState } from "./netfilter/ruleset.ts";
import type { OsRouter } from "./os_router.ts";
import type { PeerRelay, PeerRelaySettings } from "./peer_relay.ts";
import type { RouterPolicy } from "./router.ts";

/** The relays as the data path uses them; `DerpPool`. */
export type Relays = Pick<
  DerpPool,
  "setMap" | "setHome" | "send" | "status" | "lastFrame" | "privateKeyChanged" | "rebind" | "close"
>;

/** What the backend hears. */
export interface DatapathEvents {
  /** A relay connected or a handshake with a peer succeeded. */
  live(): void;
  endpointsChanged(endpoints: readonly LocalEndpoint[]): void;
  netInfoChanged(netInfo: NetInfo): void;
  /** Relays or their health changed. */
  relaysChanged(): void;
  /** The engine died. */
  failed(error: Error): void;
}

/** What a data path is made of. */
export interface DatapathOptions {
  readonly engine: Engine;
  /** Makes the relays; called once. */
  readonly relays: (privateKey: () => NodePrivate | undefined, events: DerpPoolEvents) => Relays;
  readonly netcheck: NetcheckRunner;
  readonly portmap: Pick<PortMapper, "external" | "allowUpnp" | "update" | "networkChanged" | "release" | "close">;
  readonly routing: Pick<OsRouter, "set" | "repair" | "down">;
  readonly peerRelay: Pick<PeerRelay, "configure" | "allocate" | "status" | "port" | "networkChanged" | "close">;
  readonly lock: LockFilter;
  readonly interfaces: () => readonly InterfaceAddress[];
  /** `ip:port` at which the operator says this node can be reached. */
  readonly staticEndpoints?: readonly string[];
  readonly networks: () => readonly LocalNetwork[];
  readonly firewall: Pick<Firewall, "set" | "repair" | "close" | "state" | "backendName" | "settled">;
  readonly localUse: () => LocalUse;
  /** Whether answers to our own sockets are let in where reverse path filtering is strict. */
  readonly markedAnswers: (allowed: boolean) => void;
  /** Addresses of this machine alone, where DNS is answered; no peer can send to them. */
  readonly serviceAddresses: readonly string[];
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: Log;
  readonly events: DatapathEvents;
}

/** What the router's policy has besides what the data path itself knows. */
export interface DatapathPolicy extends Omit<RouterPolicy, "homeDerp" | "relayServer" | "offered" | "latency"> {
  /** The peer relay server wanted here, undefined for none. */
  readonly relayServer?: Pick<PeerRelaySettings, "port" | "staticEndpoints">;
  /** Reach the local network while an exit node is used. */
  readonly allowLan: boolean;
  /** Routes this node offers. */
  readonly advertised: readonly string[];
  readonly netfilter: Pick<FirewallState, "mode" | "snat" | "filtering">;
}
