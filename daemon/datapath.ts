/**
 * All that moves packets, as one thing the backend configures, and switches on and off: engine, relays, own endpoints,
 * system routes.
 *
 * ```
 *   netmap ──▶ router ──▶ engine.configure          engine ──derpSend──▶ relays ──▶ DERP
 *                 └─────▶ system routes             engine ◀──received── relays
 *   engine, links ──▶ netcheck ──▶ endpoints ──▶ engine, control;  home region ──▶ relays, engine, control
 * ```
 * Nothing here waits for control: while that is away, everything goes on as last configured. The relays and their home
 * region are in `home_relay.ts`, routes and packet filter of the machine in `host_network.ts`.
 */
import type { NodePrivate } from "../base/keys.ts";
import type { Netmap } from "../control/client/netmap.ts";
import type { NetInfo, Node } from "../control/wire/tailcfg.ts";
import type { DERPMap } from "../derp/derp_map.ts";
import type { LocalEndpoint, PeerStatus, RelayRequest } from "../engine/config.ts";
import type { DerpPacket, Engine, EngineEvents } from "../engine/engine.ts";
import type { Report } from "../engine/netcheck/report.ts";
import type { RelayStatus } from "../engine/peer_relay/records.ts";
import type { DatapathOptions, DatapathPolicy } from "./datapath_options.ts";
import { EndpointTracker } from "./endpoint_tracker.ts";
import type { RegionLatency } from "./exit_node.ts";
import { HomeRelay } from "./home_relay.ts";
import { HostNetwork } from "./host_network.ts";
import { offeredAddresses } from "./local_networks.ts";
import type { FirewallState } from "./netfilter/ruleset.ts";
import { hasCapability } from "./node_view.ts";
import type { PeerRelaySettings } from "./peer_relay.ts";
import { DOWN, Router } from "./router.ts";
import type { Routed } from "./router.ts";

/** The data path; down until configured. Its `engineEvents` are to be given to the engine. */
export class Datapath {
  readonly engine: Engine;
  readonly #options: DatapathOptions;
  readonly #home: HomeRelay;
  readonly #host: HostNetwork;
  readonly #router: Router;
  readonly #tracker: EndpointTracker;
  readonly #stunHandlers = new Set<(payload: Uint8Array, from: string) => void>();
  #key: NodePrivate | undefined;
  #last: { readonly netmap: Netmap; readonly policy: DatapathPolicy } | undefined;
  #problems = "";

  constructor(options: DatapathOptions) {
    this.#options = options;
    this.engine = options.engine;
    this.#router = new Router(options.lock);
    this.#host = new HostNetwork(options);
    this.#home = new HomeRelay({
      ...options,
      key: () => this.#key,
      portMapped: () => options.portmap.external !== "",
      homeChanged: () => this.#applyAgain(),
    });
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
      lastDerpActivity: (region) => this.#home.relays.lastFrame(region),
      endpointsFound: (endpoints, { changed, fresh }) => {
        engine.setLocalEndpoints(endpoints, fresh);
        if (changed) options.events.endpointsChanged(endpoints);
      },
      reported: (report) => this.#reported(report),
    });
  }

  get homeDerp(): number {
    return this.#home.region;
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
    return this.#home.netInfo;
  }

  /** The relay server here: the port wanted, and how it does; undefined while there is none. */
  async peerRelay(): Promise<{ readonly port: number; readonly status: RelayStatus } | undefined> {
    const { peerRelay } = this.#options;
    const status = await peerRelay.status();
    return status === undefined || peerRelay.port === undefined ? undefined : { port: peerRelay.port, status };
  }

  /** States of the regions in use, and what regions complain about. */
  relayStatus(): ReturnType<HomeRelay["status"]> {
    return this.#home.status();
  }

  /** A relay is connected. */
  get relayed(): boolean {
    return this.#home.connected;
  }

  /** Configures everything for a netmap. Cheap when little changed. */
  configure(netmap: Netmap, policy: DatapathPolicy): Routed {
    this.#last = { netmap, policy };
    if (policy.privateKey !== this.#key) {
      const changed = this.#key?.public.equals(policy.privateKey.public) === false;
      this.#key = policy.privateKey;
      if (changed) this.#home.relays.privateKeyChanged();
    }
    this.#home.setMap(netmap.derpMap);
    const { map } = this.#home;
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
    this.#home.clear();
  }

  /** Before there is anything to configure: what an exit node that is set asks for. @param held as of `down` */
  hold(held: DatapathPolicy["netfilter"] | undefined): void {
    if (this.#last === undefined) this.#host.hold(held);
  }

  /** The map poll came up or broke: without control a home region is not given up for another. */
  setControlOnline(online: boolean): void {
    this.#home.setControlOnline(online);
  }

  /** Links, addresses or rules of the machine changed. */
  networkChanged(addressesChanged: boolean): void {
    this.#options.routing.repair();
    if (this.#last !== undefined) this.#host.setFirewall(this.#last.netmap, this.#last.policy);
    this.#options.firewall.repair();
    if (!addressesChanged) return;
    // Networks this machine is in are other ones now.
    this.#applyAgain();
    this.#options.log.info("the machine's addresses changed");
    this.#options.engine.rebind();
    this.#options.portmap.networkChanged();
    this.#options.peerRelay.networkChanged();
    this.#home.relays.rebind();
    this.#tracker.refresh();
  }

  /** The router maps another port to us, or none any more. */
  portMapChanged(): void {
    if (this.#last === undefined) return;
    this.#tracker.refreshLocal();
    if (this.#tracker.report !== undefined) this.#home.tellNetInfo(this.#tracker.report);
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
    this.#home.relays.rebind();
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
      derpSend: ({ region, peer, payload }: DerpPacket) => void this.#home.relays.send(region, peer, payload),
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
    this.#home.relays.close();
    await Promise.all([
      this.#host.close(held),
      this.#options.portmap.close(),
      this.#options.peerRelay.close(),
    ]);
    await this.#options.engine.close();
  }

  #apply(netmap: Netmap, policy: DatapathPolicy): Routed {
    const relayServer = relayServerOf(netmap, policy, this.#home.map) !== undefined;
    const routed = this.#router.route(netmap, {
      ...policy,
      offered: offeredAddresses(policy.advertised, this.#options.networks()),
      latency: this.latency,
      homeDerp: this.#home.region,
      relayServer,
    });
    this.#options.engine.configure(routed.config);
    this.#host.set(routed, netmap, policy);
    const problems = routed.problems.join("; ");
    if (problems !== "" && problems !== this.#problems) this.#options.log.warn(`netmap: ${problems}`);
    this.#problems = problems;
    return routed;
  }

  #applyAgain(): void {
    if (this.#last !== undefined) this.#apply(this.#last.netmap, this.#last.policy);
  }

  /** What the packet filter is, for `status`. */
  get netfilter(): { readonly backend: string; readonly state: FirewallState | undefined } {
    return this.#host.netfilter;
  }

  /** Resolves when the kernel's packet filter is what was asked for, or could not be made so. */
  get filterSettled(): Promise<void> {
    return this.#options.firewall.settled;
  }

  /** Somebody changed the kernel's packet filter. */
  filterChanged(): void {
    this.#options.firewall.repair();
  }

  async #answerRelayRequest(request: RelayRequest): Promise<void> {
    const session = await this.#options.peerRelay.allocate(request);
    if (session === undefined) return this.#options.log.debug("peer relay: no session for who asked");
    this.#options.engine.relaySession(request, session);
  }

  #reported(report: Report): void {
    // A netcheck somebody asked for while the node is down chooses nothing.
    if (this.#last === undefined) return;
    this.#home.reported(report);
    // The run has just asked the router what it can do.
    void this.#options.portmap.update();
  }
}

/** tailcfg.NodeAttrDisableUPnP. */
const DISABLE_UPNP = "debug-disable-upnp";
/** tailcfg.NodeAttrDisableRelayServer. */
const DISABLE_RELAY_SERVER = "disable-relay-server";

/** The relay server that preferences want, unless control forbids it. */
function relayServerOf(netmap: Netmap, policy: DatapathPolicy, map: DERPMap): PeerRelaySettings | undefined {
  if (policy.relayServer === undefined || hasCapability(netmap.self, DISABLE_RELAY_SERVER)) return undefined;
  return { ...policy.relayServer, map };
}
