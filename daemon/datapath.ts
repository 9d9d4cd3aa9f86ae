/**
 * All that moves packets, as one thing the backend configures, and switches on and off: engine, relays, own endpoints,
 * system routes.
 *
 * ```
 *   netmap ──▶ router ──▶ engine.configure          engine ──derpSend──▶ relays ──▶ DERP
 *                 └─────▶ system routes             engine ◀──received── relays
 *   engine, links ──▶ netcheck ──▶ endpoints ──▶ engine, control;  home region ──▶ relays, engine, control
 * ```
 * Nothing here waits for control: while that is away, everything goes on as last configured.
 */
import type { NodePrivate, RandomBytes } from "../base/keys.ts";
import type { Scheduler } from "../base/clock.ts";
import type { Netmap } from "../control/client/netmap.ts";
import type { NetInfo, Node } from "../control/wire/tailcfg.ts";
import { EMPTY_DERP_MAP, regionIds, regionOf } from "../derp/derp_map.ts";
import type { DERPMap } from "../derp/derp_map.ts";
import type { DerpPool, DerpPoolEvents, RegionState } from "../derp/pool.ts";
import type { LocalEndpoint, PeerStatus, RelayRequest } from "../engine/config.ts";
import type { DerpPacket, Engine, EngineEvents } from "../engine/engine.ts";
import type { Report } from "../engine/netcheck/report.ts";
import type { RelayStatus } from "../engine/peer_relay/records.ts";
import type { PortMapper } from "../engine/portmap/port_mapper.ts";
import { EndpointTracker } from "./endpoint_tracker.ts";
import type { NetcheckRunner } from "./endpoint_tracker.ts";
import { netInfoOf, sameNetInfo } from "./endpoints.ts";
import type { InterfaceAddress } from "./endpoints.ts";
import { isExitRoute } from "./exit_node.ts";
import type { RegionLatency } from "./exit_node.ts";
import { localRoutes, offeredAddresses } from "./local_networks.ts";
import type { LocalNetwork } from "./local_networks.ts";
import type { LockFilter } from "./lock_filter.ts";
import { hasCapability } from "./node_view.ts";
import type { Log } from "./log.ts";
import type { Firewall } from "./netfilter/firewall.ts";
import { NO_LOCAL_USE } from "./netfilter/local_use.ts";
import type { LocalUse } from "./netfilter/local_use.ts";
import type { FirewallState } from "./netfilter/ruleset.ts";
import { HELD_ROUTES, NO_ROUTING } from "./os_router.ts";
import type { OsRouter } from "./os_router.ts";
import type { PeerRelay, PeerRelaySettings } from "./peer_relay.ts";
import { DOWN, Router } from "./router.ts";
import type { Routed, RouterPolicy } from "./router.ts";

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

/** The data path; down until configured. Its `engineEvents` are to be given to the engine. */
export class Datapath {
  readonly engine: Engine;
  readonly #options: DatapathOptions;
  readonly #relays: Relays;
  readonly #router: Router;
  readonly #tracker: EndpointTracker;
  readonly #stunHandlers = new Set<(payload: Uint8Array, from: string) => void>();
  readonly #regionHealth = new Map<number, string>();
  #key: NodePrivate | undefined;
  #map: DERPMap = EMPTY_DERP_MAP;
  #home = 0;
  #netInfo: NetInfo | undefined;
  #controlOnline = false;
  #last: { readonly netmap: Netmap; readonly policy: DatapathPolicy } | undefined;
  #problems = "";

  constructor(options: DatapathOptions) {
    this.#options = options;
    this.engine = options.engine;
    this.#router = new Router(options.lock);
    this.#relays = options.relays(() => this.#key, this.#poolEvents());
    const { netcheck, portmap, scheduler, random, interfaces, log, engine } = options;
    this.#tracker = new EndpointTracker({
      netcheck,
      scheduler,
      random,
      interfaces,
      log,
      ports: () => engine.localPorts,
      mapped: () => portmap.external,
      staticEndpoints: options.staticEndpoints ?? [],
      tunName: engine.tunName,
      lastDerpActivity: (region) => this.#relays.lastFrame(region),
      endpointsFound: (endpoints, { changed, fresh }) => {
        engine.setLocalEndpoints(endpoints, fresh);
        if (changed) options.events.endpointsChanged(endpoints);
      },
      reported: (report) => this.#reported(report),
    });
  }

  get homeDerp(): number {
    return this.#home;
  }

  get endpoints(): readonly LocalEndpoint[] {
    return this.#tracker.endpoints;
  }

  /** `ip:port` at which the operator says this node can be reached, from now on. */
  setStaticEndpoints(endpoints: readonly string[]): void {
    this.#tracker.setStatic(endpoints);
  }

  /** Round trips to relay regions, as last measured. */
  get latency(): RegionLatency {
    return (region) => this.#tracker.report?.regionLatency.get(region);
  }

  get netInfo(): NetInfo | undefined {
    return this.#netInfo;
  }

  /** The relay server here: the port wanted, and how it does; undefined while there is none. */
  async peerRelay(): Promise<{ readonly port: number; readonly status: RelayStatus } | undefined> {
    const { peerRelay } = this.#options;
    const status = await peerRelay.status();
    return status === undefined || peerRelay.port === undefined ? undefined : { port: peerRelay.port, status };
  }

  /** States of the regions in use, and what regions complain about. */
  relayStatus(): { readonly regions: ReturnType<Relays["status"]>; readonly complaints: ReadonlyMap<number, string> } {
    return { regions: this.#relays.status(), complaints: this.#regionHealth };
  }

  /** A relay is connected. */
  get relayed(): boolean {
    return this.#relays.status().some((region) => region.kind === "connected");
  }

  /** Configures everything for a netmap. Cheap when little changed. */
  configure(netmap: Netmap, policy: DatapathPolicy): Routed {
    this.#last = { netmap, policy };
    if (policy.privateKey !== this.#key) {
      const changed = this.#key?.public.equals(policy.privateKey.public) === false;
      this.#key = policy.privateKey;
      if (changed) this.#relays.privateKeyChanged();
    }
    const map = sameMap(netmap.derpMap, this.#map) ? this.#map : netmap.derpMap ?? EMPTY_DERP_MAP;
    if (map !== this.#map) {
      this.#map = map;
      this.#relays.setMap(map);
      if (this.#home !== 0 && regionOf(map, this.#home) === undefined) this.#setHome(0);
    }
    const routed = this.#apply(netmap, policy);
    this.#options.peerRelay.configure(relayServerOf(netmap, policy, map));
    this.#options.portmap.allowUpnp(!hasCapability(netmap.self, DISABLE_UPNP));
    this.#tracker.setMap(map);
    return routed;
  }

  /** The peers the lock accepts, without configuring anything. */
  accepted(netmap: Netmap): Iterable<Node> {
    return this.#options.lock.filter(netmap).accepted;
  }

  /**
   * No addresses, no routes, no peers, no relays. Sockets and TUN device stay. @param held an exit node is set, and the
   * user did not disconnect: nothing leaves by another way meanwhile; how the packet filter is to be.
   */
  down(held: DatapathPolicy["netfilter"] | undefined): void {
    this.#last = undefined;
    this.#options.engine.configure(DOWN);
    this.hold(held);
    this.#tracker.setMap(undefined);
    this.#options.peerRelay.configure(undefined);
    void this.#options.portmap.release();
    this.#home = 0;
    this.#relays.setHome(0);
    this.#relays.setMap(EMPTY_DERP_MAP);
    this.#map = EMPTY_DERP_MAP;
  }

  /** Before there is anything to configure: what an exit node that is set asks for. @param held as of `down` */
  hold(held: DatapathPolicy["netfilter"] | undefined): void {
    if (this.#last !== undefined) return;
    const { routing, firewall, engine, markedAnswers } = this.#options;
    if (held === undefined) {
      routing.set(NO_ROUTING);
      firewall.set(undefined);
      markedAnswers(false);
      return;
    }
    // The filter first: with strict reverse path filtering no answer would come in without its marks.
    const { localPorts: { udp4, udp6 }, tunName: tun } = engine;
    const empty = { addresses: [], offered: [], guestDevices: [], localUse: NO_LOCAL_USE, acceptCgnat: true };
    firewall.set({ ...held, ...empty, tun, udpPort: { 4: udp4, 6: udp6 } });
    routing.set({ addresses: [], routes: this.#heldRoutes(false) });
  }

  /** The map poll came up or broke: without control a home region is not given up for another. */
  setControlOnline(online: boolean): void {
    this.#controlOnline = online;
  }

  /** Links, addresses or rules of the machine changed. */
  networkChanged(addressesChanged: boolean): void {
    this.#options.routing.repair();
    if (this.#last !== undefined) this.#setFirewall(this.#last);
    this.#options.firewall.repair();
    if (!addressesChanged) return;
    // Networks this machine is in are other ones now.
    if (this.#last !== undefined) this.#apply(this.#last.netmap, this.#last.policy);
    this.#options.log.info("the machine's addresses changed");
    this.#options.engine.rebind();
    this.#options.portmap.networkChanged();
    this.#options.peerRelay.networkChanged();
    this.#relays.rebind();
    this.#tracker.refresh();
  }

  /** The router maps another port to us, or none any more. */
  portMapChanged(): void {
    if (this.#last === undefined) return;
    this.#tracker.refreshLocal();
    if (this.#tracker.report !== undefined) this.#tellNetInfo(this.#tracker.report);
  }

  /** New UDP sockets, and all paths found anew over them, as if the addresses had changed. Relays stay connected. */
  rebind(): void {
    this.#options.engine.rebind();
    this.#tracker.refresh();
  }

  /** Looks for own endpoints again, as soon as can be. */
  restun(reason: string): void {
    this.#tracker.want(reason);
  }

  /** Closes all connections to relays; those in use are made anew. */
  breakRelays(): void {
    this.#relays.rebind();
  }

  /** A netcheck of all regions, now. */
  netcheck(map: DERPMap): Promise<Report> {
    return this.#tracker.measure(map);
  }

  /** Netcheck's subscription to STUN answers; the result unsubscribes. */
  onStun(handler: (payload: Uint8Array, from: string) => void): () => void {
    this.#stunHandlers.add(handler);
    return () => this.#stunHandlers.delete(handler);
  }

  /** What the engine is to be given. */
  engineEvents(): EngineEvents {
    const { log, events } = this.#options;
    return {
      derpSend: ({ region, peer, payload }: DerpPacket) => void this.#relays.send(region, peer, payload),
      stunReceived: (payload, from) => {
        for (const handler of this.#stunHandlers) handler(payload, from);
      },
      endpointsWanted: (reason) => this.#tracker.wantedByEngine(reason),
      relayRequested: (request) => void this.#answerRelayRequest(request),
      pathChanged: (status: PeerStatus) => {
        const path = status.currentAddress !== ""
          ? `direct ${status.currentAddress}`
          : status.peerRelay !== undefined
          ? `peer relay ${status.peerRelay}`
          : `relay ${status.derp}`;
        log.debug(`peer ${status.key.slice(0, 8)}: ${path}`);
        if (status.lastHandshake !== 0) events.live();
      },
      failed: (error) => events.failed(error),
    };
  }

  /** Takes everything down for good and closes the engine. @param held as of `OsRouter.down`. */
  async close(held = false): Promise<void> {
    this.#tracker.close();
    this.#relays.close();
    this.#options.routing.down(held);
    if (!held) this.#options.markedAnswers(false);
    await Promise.all([
      this.#options.firewall.close(held),
      this.#options.portmap.close(),
      this.#options.peerRelay.close(),
    ]);
    await this.#options.engine.close();
  }

  #apply(netmap: Netmap, policy: DatapathPolicy): Routed {
    const relayServer = relayServerOf(netmap, policy, this.#map) !== undefined;
    const routed = this.#router.route(netmap, {
      ...policy,
      offered: offeredAddresses(policy.advertised, this.#options.networks()),
      latency: this.latency,
      homeDerp: this.#home,
      relayServer,
    });
    this.#options.engine.configure(routed.config);
    const addresses = [...routed.config.addresses, ...this.#options.serviceAddresses];
    this.#options.routing.set({
      addresses: addresses.map((address) => `${address}/${address.includes(":") ? 128 : 32}`),
      routes: routed.exitNode === undefined ? routed.routes : [...this.#heldRoutes(policy.allowLan), ...routed.routes],
    });
    if (routed.exitNode === undefined) this.#options.markedAnswers(false);
    this.#setFirewall({ netmap, policy });
    const problems = routed.problems.join("; ");
    if (problems !== "" && problems !== this.#problems) this.#options.log.warn(`netmap: ${problems}`);
    this.#problems = problems;
    return routed;
  }

  /** What the packet filter is, for `status`. */
  get netfilter(): { readonly backend: string; readonly state: FirewallState | undefined } {
    const { firewall } = this.#options;
    return { backend: firewall.backendName, state: firewall.state };
  }

  /** Resolves when the kernel's packet filter is what was asked for, or could not be made so. */
  get filterSettled(): Promise<void> {
    return this.#options.firewall.settled;
  }

  /** Somebody changed the kernel's packet filter. */
  filterChanged(): void {
    this.#options.firewall.repair();
  }

  #setFirewall({ netmap, policy }: { readonly netmap: Netmap; readonly policy: DatapathPolicy }): void {
    const { firewall, engine, networks, localUse } = this.#options;
    firewall.set({
      ...policy.netfilter,
      tun: engine.tunName,
      addresses: (netmap.self.Addresses ?? []).map((prefix) => prefix.split("/")[0]),
      udpPort: { 4: engine.localPorts.udp4, 6: engine.localPorts.udp6 },
      offered: policy.advertised.filter((route) => !isExitRoute(route)),
      guestDevices: [...new Set(networks().filter(({ kind }) => kind === "guests").map(({ device }) => device))],
      localUse: localUse(),
      acceptCgnat: hasCapability(netmap.self, NO_CGNAT_RULE),
    });
  }

  /** What stands in our table, besides the ways into the tunnel, while an exit node is set. */
  #heldRoutes(allowLan: boolean): string[] {
    this.#options.markedAnswers(true);
    return [...HELD_ROUTES, ...localRoutes(this.#options.networks(), allowLan)];
  }

  async #answerRelayRequest(request: RelayRequest): Promise<void> {
    const session = await this.#options.peerRelay.allocate(request);
    if (session === undefined) return this.#options.log.debug("peer relay: no session for who asked");
    this.#options.engine.relaySession(request, session);
  }

  #poolEvents(): DerpPoolEvents {
    const { engine, log, events } = this.#options;
    return {
      received: (region, peer, payload) => engine.derpReceived({ region, peer, payload }),
      peerGone: (region, peer) => engine.derpPeerGone(region, peer),
      stateChanged: (region, state: RegionState) => {
        log.debug(`derp: region ${region} ${state.kind}${state.error ? `: ${state.error}` : ""}`);
        if (state.kind === "connected") events.live();
        events.relaysChanged();
      },
      health: (region, text) => {
        if (text === "") this.#regionHealth.delete(region);
        else this.#regionHealth.set(region, text);
        events.relaysChanged();
      },
    };
  }

  #reported(report: Report): void {
    // A netcheck somebody asked for while the node is down chooses nothing.
    if (this.#last === undefined) return;
    this.#setHome(this.#chooseHome(report.preferredDerp));
    this.#tellNetInfo(report);
    // The run has just asked the router what it can do.
    void this.#options.portmap.update();
  }

  #tellNetInfo(report: Report): void {
    const netInfo = netInfoOf(report, this.#home, this.#options.portmap.external !== "");
    if (sameNetInfo(this.#netInfo, netInfo)) return;
    this.#netInfo = netInfo;
    this.#options.events.netInfoChanged(netInfo);
  }

  /** The region netcheck prefers; without one the region there is, or any (magicsock.maybeSetNearestDERP). */
  #chooseHome(preferred: number): number {
    if (this.#home !== 0 && (preferred === 0 || !this.#controlOnline)) return this.#home;
    if (preferred !== 0) return preferred;
    const usable = regionIds(this.#map).filter((id) => {
      const region = regionOf(this.#map, id)!;
      return region.Avoid !== true && region.NoMeasureNoHome !== true;
    });
    return usable.length === 0 ? 0 : usable[this.#options.random(1)[0] % usable.length];
  }

  #setHome(region: number): void {
    if (region === this.#home) return;
    this.#home = region;
    this.#options.log.info(region === 0 ? "no home relay" : `home relay is region ${region}`);
    this.#relays.setHome(region);
    if (this.#last !== undefined) this.#apply(this.#last.netmap, this.#last.policy);
    this.#options.events.relaysChanged();
  }
}

/** tailcfg.NodeAttrDisableUPnP. */
const DISABLE_UPNP = "debug-disable-upnp";
/** tailcfg.NodeAttrDisableLinuxCGNATDropRule. */
const NO_CGNAT_RULE = "disable-linux-cgnat-drop-rule";
/** tailcfg.NodeAttrDisableRelayServer. */
const DISABLE_RELAY_SERVER = "disable-relay-server";

/** The relay server that preferences want, unless control forbids it. */
function relayServerOf(netmap: Netmap, policy: DatapathPolicy, map: DERPMap): PeerRelaySettings | undefined {
  if (policy.relayServer === undefined || hasCapability(netmap.self, DISABLE_RELAY_SERVER)) return undefined;
  return { ...policy.relayServer, map };
}

/** Some servers send the relay map with every message, though nothing in it changed. */
function sameMap(next: DERPMap | undefined, current: DERPMap): boolean {
  return next === current || JSON.stringify(next) === JSON.stringify(current);
}
