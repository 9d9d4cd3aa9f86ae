/**
 * The relay server of this node over its life: on while a port is set and nothing forbids it, and told where clients may
 * reach it.
 *
 * ```
 *   prefs, netmap ──▶ configure ──▶ worker: started, stopped, started anew for another port
 *   engine ── a peer asks ──▶ allocate ──▶ worker ──▶ session ──▶ engine ──▶ the peer, by DERP
 *   interfaces, STUN by the worker's own sockets, static endpoints ──▶ addresses of its sessions
 * ```
 * Source: tailscale.com/feature/relayserver; net/udprelay `addrDiscoveryLoop`.
 */
import type { Scheduler, Timer } from "../base/clock.ts";
import type { RandomBytes } from "../base/keys.ts";
import type { DERPMap } from "../derp/derp_map.ts";
import type { LocalEndpoint, RelayRequest, RelaySessionConfig } from "../engine/config.ts";
import { Netcheck, type NetcheckPorts } from "../engine/netcheck/netcheck.ts";
import type { RelayHost } from "../engine/peer_relay/host.ts";
import type { RelayStatus } from "../engine/peer_relay/records.ts";
import { EndpointTracker } from "./endpoint_tracker.ts";
import type { InterfaceAddress } from "./endpoints.ts";
import type { Log } from "./log.ts";
import type { StartPeerRelayOptions } from "./peer_relay_host.ts";

/** How long after a failure to start it is tried again. */
const RETRY_MS = 30_000;

/** A running relay server as it is used here. */
export type Relay = Pick<RelayHost, "localPorts" | "allocate" | "setAddresses" | "sendStun" | "status" | "close">;

/** What is wanted of it. */
export interface PeerRelaySettings {
  /** 0 for any. */
  readonly port: number;
  /** `ip:port` to tell clients besides those that are found. */
  readonly staticEndpoints: readonly string[];
  /** Relays whose STUN servers are asked for own addresses. */
  readonly map: DERPMap;
}

export interface PeerRelayOptions {
  readonly start: (options: StartPeerRelayOptions) => Promise<Relay>;
  readonly interfaces: () => readonly InterfaceAddress[];
  readonly tunName: string;
  readonly resolve: NetcheckPorts["resolve"];
  readonly localFamilies: NetcheckPorts["localFamilies"];
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: Log;
  /** Why it does not run although it should, or "" when all is well again. */
  readonly problem: (text: string) => void;
}

interface Running {
  readonly port: number;
  readonly relay: Relay;
  readonly tracker: EndpointTracker;
}

/** Starts and stops the relay server. */
export class PeerRelay {
  readonly #options: PeerRelayOptions;
  #wanted: PeerRelaySettings | undefined;
  #running: Running | undefined;
  #changing: Promise<void> | undefined;
  #retry: Timer | undefined;
  /** That could not be had, until it is tried again. */
  #failedPort: number | undefined;
  #closed = false;

  constructor(options: PeerRelayOptions) {
    this.#options = options;
  }

  /** True once the server runs. */
  get running(): boolean {
    return this.#running !== undefined;
  }

  /** The port that is wanted, undefined for no server. */
  get port(): number | undefined {
    return this.#wanted?.port;
  }

  /** Undefined for no server. Cheap when nothing changed. */
  configure(wanted: PeerRelaySettings | undefined): void {
    if (this.#closed) return;
    const running = this.#running;
    this.#wanted = wanted;
    if (wanted !== undefined && wanted.port === this.#failedPort) return;
    if (wanted === undefined) this.#options.problem("");
    if (running?.port !== wanted?.port) this.#change();
    else if (running !== undefined && wanted !== undefined) this.#tell(running, wanted);
  }

  /** A session for who asks; undefined when there is no server, or it has none to give. */
  async allocate(request: RelayRequest): Promise<RelaySessionConfig | undefined> {
    return await this.#running?.relay.allocate(request);
  }

  /** Undefined while no server runs. */
  async status(): Promise<RelayStatus | undefined> {
    return await this.#running?.relay.status();
  }

  /** Links or addresses of the machine changed. The sockets are bound to none of them, and stay. */
  networkChanged(): void {
    this.#running?.tracker.refresh();
  }

  async close(): Promise<void> {
    this.configure(undefined);
    this.#closed = true;
    this.#retry?.cancel();
    await this.#changing;
  }

  /** Goes towards what is wanted, one step after another. */
  #change(): void {
    this.#retry?.cancel();
    this.#failedPort = undefined;
    this.#changing ??= (async () => {
      while (this.#running?.port !== this.#wanted?.port) {
        await this.#stop();
        if (this.#wanted !== undefined && !await this.#start(this.#wanted)) break;
      }
    })().finally(() => this.#changing = undefined);
  }

  async #stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.tracker.close();
    await running?.relay.close();
    if (running !== undefined) this.#options.log.info("peer relay server stopped");
  }

  async #start(settings: PeerRelaySettings): Promise<boolean> {
    const { log, start } = this.#options;
    const handlers = new Set<(payload: Uint8Array, from: string) => void>();
    try {
      const relay = await start({
        port: settings.port,
        stunReceived: (payload, from) => {
          for (const handler of handlers) handler(payload, from);
        },
        failed: (message) => {
          log.error(`the peer relay server failed: ${message}`);
          this.#running?.tracker.close();
          this.#running = undefined;
          this.#retryLater(settings.port, message);
        },
      });
      const { udp4, udp6 } = relay.localPorts;
      log.info(`peer relay server on UDP ports ${udp4} (IPv4) and ${udp6} (IPv6)`);
      const tracker = this.#tracker(relay, handlers);
      const running = { port: settings.port, relay, tracker };
      this.#options.problem("");
      this.#running = running;
      this.#tell(running, this.#wanted ?? settings);
      return true;
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      log.error(`Cannot start the peer relay server: ${text}; trying again in ${RETRY_MS / 1000} s`);
      this.#retryLater(settings.port, text);
      return false;
    }
  }

  #retryLater(port: number, problem: string): void {
    if (this.#closed) return;
    this.#options.problem(problem);
    this.#failedPort = port;
    this.#retry?.cancel();
    this.#retry = this.#options.scheduler.after(RETRY_MS, () => this.#change());
  }

  /** Finds where the server's own sockets are seen from. */
  #tracker(relay: Relay, handlers: Set<(payload: Uint8Array, from: string) => void>): EndpointTracker {
    const { interfaces, tunName, resolve, localFamilies, scheduler, random, log } = this.#options;
    const netcheck = new Netcheck({
      scheduler,
      random,
      resolve,
      localFamilies,
      sendStun: (to, payload) => relay.sendStun(to, payload),
      onStun: (handler) => {
        handlers.add(handler);
        return () => handlers.delete(handler);
      },
      httpsLatency: () => Promise.resolve(undefined),
    });
    const tracker: EndpointTracker = new EndpointTracker({
      netcheck,
      scheduler,
      random,
      interfaces,
      tunName,
      log: log.child("relay"),
      ports: () => relay.localPorts,
      mapped: () => "",
      lastDerpActivity: () => 0,
      endpointsFound: (_, { changed }) => {
        if (changed && this.#running?.tracker === tracker && this.#wanted !== undefined) {
          this.#tell(this.#running, this.#wanted);
        }
      },
      // Clients come at any time, and a NAT in front of the server has to know it by then: as if always talked to.
      reported: () => tracker.wantedByEngine("for clients to come"),
    });
    return tracker;
  }

  #tell({ relay, tracker }: Running, { staticEndpoints, map }: PeerRelaySettings): void {
    tracker.setMap(map);
    relay.setAddresses(allAddresses(staticEndpoints, tracker.endpoints));
  }
}

/** Static addresses first, each once. */
function allAddresses(statics: readonly string[], found: readonly LocalEndpoint[]): string[] {
  return [...new Set([...statics, ...found.map(({ addr }) => addr)])];
}
