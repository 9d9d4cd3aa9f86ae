/**
 * The main thread's end of the data plane: implements `Engine` over the two rings and a wake-up.
 *
 * Commands that find the ring full wait here in order; relayed packets that do are dropped, as a network would. Events
 * are read whenever the worker wrote some, in slices, so that a burst of relayed packets does not starve the daemon.
 */
import type {
  EngineConfig,
  EngineStatus,
  LocalEndpoint,
  PathReport,
  PeerStatus,
  PingOutcome,
  RelayRequest,
  RelaySessionConfig,
} from "../config.ts";
import { configCommands } from "../diff.ts";
import type { DerpPacket, Engine, EngineEvents, RefusedProvider } from "../engine.ts";
import type { WakePort } from "../ports.ts";
import { decodeDerp, decodeJson, encodeDerpHeader, encodeJson, keyBytes, RECORD_DERP, RECORD_JSON } from "./records.ts";
import type { Command, StatusTotals, WorkerEvent } from "./records.ts";
import type { Ring } from "./ring.ts";
import { fromHex, toHex } from "../../base/bytes.ts";

/** Records handled before other work of the main thread gets its turn. */
const EVENTS_PER_SLICE = 256;
/** How soon a full command ring is tried again, ms. */
const RETRY_MS = 2;

/** What the worker said when it was ready. */
export interface WorkerFacts {
  readonly discoKey: string;
  readonly tunName: string;
  readonly localPorts: { readonly udp4: number; readonly udp6: number };
  readonly cryptoProvider: string;
  readonly refusedProviders: readonly RefusedProvider[];
  readonly offloads: Readonly<Record<string, boolean>>;
}

/** What a host is made of. */
export interface HostOptions {
  readonly facts: WorkerFacts;
  readonly commands: Ring;
  readonly events: Ring;
  readonly wake: WakePort;
  readonly handlers: EngineEvents;
  /** Resolves when the worker ended after a stop command. */
  readonly stopped: Promise<void>;
}

/** The engine over a worker. */
export class EngineHost implements Engine {
  readonly discoKey: string;
  readonly tunName: string;
  readonly refusedProviders: readonly RefusedProvider[];
  readonly #options: HostOptions;
  readonly #backlog: Uint8Array[] = [];
  readonly #pings = new Map<number, (outcome: PingOutcome | undefined) => void>();
  readonly #reports = new Map<number, (report: PathReport | undefined) => void>();
  readonly #statuses = new Map<number, { peers: PeerStatus[]; resolve: (status: EngineStatus) => void }>();
  /** Answers come in the order asked. */
  readonly #heartbeats: (() => void)[] = [];
  #localPorts: { readonly udp4: number; readonly udp6: number };
  #config: EngineConfig | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #nextId = 1;
  #closed = false;
  readonly #reading: Promise<void>;
  /** `Atomics.waitAsync` alone does not keep the event loop alive, and the answer to a call would be lost with it. */
  readonly #alive = setInterval(() => {}, 60_000);

  constructor(options: HostOptions) {
    this.#options = options;
    this.discoKey = options.facts.discoKey;
    this.tunName = options.facts.tunName;
    this.refusedProviders = options.facts.refusedProviders;
    this.#localPorts = options.facts.localPorts;
    this.#reading = this.#readEvents();
  }

  get localPorts(): { readonly udp4: number; readonly udp6: number } {
    return this.#localPorts;
  }

  configure(config: EngineConfig): void {
    for (const command of configCommands(this.#config, config)) this.#queue(command);
    this.#config = config;
    this.#options.wake.wake();
  }

  setLocalEndpoints(endpoints: readonly LocalEndpoint[], fresh: boolean): void {
    this.#send({ kind: "endpoints", endpoints, fresh });
  }

  derpReceived({ region, peer, payload }: DerpPacket): void {
    // Behind waiting commands it would overtake them; a relay's packet may be lost.
    if (this.#backlog.length > 0) return;
    if (this.#options.commands.write(RECORD_DERP, encodeDerpHeader(region, keyBytes(peer)), payload)) {
      this.#options.wake.wake();
    }
  }

  derpPeerGone(region: number, peer: string): void {
    this.#send({ kind: "derp-peer-gone", region, key: peer });
  }

  sendStun(to: string, payload: Uint8Array): void {
    this.#send({ kind: "stun", to, payload: toHex(payload) });
  }

  relaySession(request: RelayRequest, session: RelaySessionConfig): void {
    this.#send({ kind: "relay-session", request, session });
  }

  ping(peer: string, size: number, timeoutMs: number): Promise<PingOutcome | undefined> {
    return this.#ping((id) => ({ kind: "ping", id, key: peer, size, timeoutMs }));
  }

  tsmpPing(address: string, timeoutMs: number): Promise<PingOutcome | undefined> {
    return this.#ping((id) => ({ kind: "tsmp-ping", id, address, timeoutMs }));
  }

  #ping(command: (id: number) => Command): Promise<PingOutcome | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#pings.set(id, resolve);
      this.#send(command(id));
    });
  }

  pathReport(peer: string): Promise<PathReport | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#reports.set(id, resolve);
      this.#send({ kind: "path-report", id, key: peer });
    });
  }

  status(): Promise<EngineStatus> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      if (this.#closed) return resolve(this.#statusOf([], this.#nothing));
      this.#statuses.set(id, { peers: [], resolve });
      this.#send({ kind: "status", id });
    });
  }

  heartbeat(): Promise<void> {
    return new Promise((resolve) => {
      this.#heartbeats.push(resolve);
      this.#send({ kind: "heartbeat" });
    });
  }

  rebind(): void {
    this.#send({ kind: "rebind" });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#send({ kind: "stop" });
    await this.#options.stopped;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#options.events.nudge();
    await this.#reading;
    clearInterval(this.#alive);
    for (const resolve of [...this.#pings.values(), ...this.#reports.values()]) resolve(undefined);
    for (const { resolve, peers } of this.#statuses.values()) resolve(this.#statusOf(peers, this.#nothing));
  }

  #send(command: Command): void {
    this.#queue(command);
    this.#options.wake.wake();
  }

  #queue(command: Command): void {
    this.#backlog.push(encodeJson(command));
    this.#drainBacklog();
  }

  #drainBacklog(): void {
    const { commands, wake } = this.#options;
    let sent = 0;
    while (sent < this.#backlog.length && commands.write(RECORD_JSON, this.#backlog[sent])) sent++;
    this.#backlog.splice(0, sent);
    if (this.#backlog.length === 0 || this.#retry !== undefined) return;
    wake.wake();
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#drainBacklog();
      wake.wake();
    }, RETRY_MS);
  }

  async #readEvents(): Promise<void> {
    const { events } = this.#options;
    while (!this.#closed) {
      const seen = events.signal;
      let count = 0;
      while (count < EVENTS_PER_SLICE && events.read((type, payload) => this.#event(type, payload))) count++;
      if (count === EVENTS_PER_SLICE) await new Promise((resolve) => setTimeout(resolve, 0));
      else if (count === 0) await events.written(seen);
    }
  }

  #event(type: number, payload: Uint8Array): void {
    const { handlers } = this.#options;
    if (type === RECORD_DERP) return handlers.derpSend(decodeDerp(payload));
    const event = decodeJson<WorkerEvent>(payload);
    switch (event.kind) {
      case "stun":
        return handlers.stunReceived(fromHex(event.payload)!, event.from);
      case "endpoints-wanted":
        return handlers.endpointsWanted(event.reason);
      case "relay-request":
        return handlers.relayRequested(event.request);
      case "path":
        return handlers.pathChanged(event.status);
      case "ping": {
        const resolve = this.#pings.get(event.id);
        this.#pings.delete(event.id);
        return resolve?.(event.outcome);
      }
      case "path-report": {
        const resolve = this.#reports.get(event.id);
        this.#reports.delete(event.id);
        return resolve?.(event.report);
      }
      case "status-peers":
        this.#statuses.get(event.id)?.peers.push(...event.peers);
        return;
      case "status": {
        const waiting = this.#statuses.get(event.id);
        this.#statuses.delete(event.id);
        return waiting?.resolve(this.#statusOf(waiting.peers, event.totals));
      }
      case "heartbeat":
        return this.#heartbeats.shift()?.();
      case "rebound":
        this.#localPorts = { udp4: event.udp4, udp6: event.udp6 };
        return;
    }
  }

  /** What a worker that is gone says. */
  get #nothing(): StatusTotals {
    const turns = { turns: 0, longByCpu: 0, longByWall: 0, longestCpuMs: 0, longestWallMs: 0 };
    return { drops: {}, paths: {}, offloads: this.#options.facts.offloads, turns };
  }

  #statusOf(peers: readonly PeerStatus[], totals: StatusTotals): EngineStatus {
    return { cryptoProvider: this.#options.facts.cryptoProvider, peers, ...totals };
  }
}
