/**
 * The connection to one region: which of its nodes, when to try again, when to let go.
 *
 * ```
 *             want()                    ready                      idle 60 s, not home
 *   closed ───────────▶ connecting ───────────▶ connected ───────────────────────────▶ closed
 *                        ▲      │                   │
 *              back-off  │      │ all nodes failed  │ connection lost
 *                        │      ▼                   ▼
 *                        └──── failed ◀─────────────┘
 * ```
 * `failed` is the wait before the next try, and is kept only while the region is wanted: it is home, or something was
 * sent to it within 60 s. Waits double from 100 ms to 5 s, with jitter, and start over after a connection that lasted.
 * Source: wgengine/magicsock/derp.go (runDerpReader, cleanStaleDerp), derp/derphttp (dialRegion).
 */
import type { Scheduler, Timer } from "../base/clock.ts";
import type { DropCounters } from "../base/drops.ts";
import type { NodePrivate, RandomBytes } from "../base/keys.ts";
import { DerpClient } from "./client.ts";
import type { DERPNode, DERPRegion } from "./derp_map.ts";
import type { DerpDial } from "./stream.ts";

const FIRST_BACK_OFF_MS = 100;
const MAX_BACK_OFF_MS = 5_000;
/** A connection that lived this long makes the next back-off start over. */
const LASTED_MS = 10_000;
/** Longest pause a server may ask for before we come back. */
const MAX_RESTART_WAIT_MS = 30_000;
/** Packets kept while the connection is being made; WireGuard repeats what is lost beyond that. */
const MAX_WAITING_PACKETS = 64;
/** A region neither home nor used for this long is let go. */
export const IDLE_MS = 60_000;

/** What a region's connection is doing. `since` is Unix milliseconds. */
export interface RegionState {
  readonly kind: "connecting" | "connected" | "failed" | "closed";
  readonly since: number;
  /** Why it failed, for the operator. */
  readonly error?: string;
}

/** What the pool tells its owner. Calls that follow from a call of the owner come before that call returns. */
export interface DerpPoolEvents {
  /** A packet from a peer. `peer` is 64 hex digits; the payload is the receiver's to keep. */
  received(region: number, peer: string, payload: Uint8Array<ArrayBuffer>): void;
  /** The relay no longer has, or never had, this peer. */
  peerGone(region: number, peer: string): void;
  stateChanged(region: number, state: RegionState): void;
  /** The relay's complaint about our connection; "" takes it back. */
  health(region: number, text: string): void;
}

/** What a pool needs. */
export interface DerpPoolOptions {
  /** The current node key; undefined while there is none, and then nothing connects. */
  readonly privateKey: () => NodePrivate | undefined;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly dial: DerpDial;
  readonly events: DerpPoolEvents;
  /** Counts packets refused as `derp-queue`, `derp-too-large`, `rate-limited` and `no-path`. */
  readonly drops?: DropCounters;
  readonly log: (line: string) => void;
}

/** One region in `DerpPool.status()`. */
export interface RegionStatus extends RegionState {
  readonly region: number;
  readonly home: boolean;
  /** Name of the node connected to, "" when none. */
  readonly node: string;
  /** Unix milliseconds of the last byte received, 0 for never. Netcheck's home choice wants it. */
  readonly lastFrame: number;
  readonly queuedBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
}

interface Waiting {
  readonly peer: string;
  readonly payload: Uint8Array;
}

/** A region of the pool. */
export class RegionConnection {
  readonly #options: DerpPoolOptions;
  #region: DERPRegion;
  #state: RegionState;
  #home = false;
  #usedAt: number;
  #client: DerpClient | undefined;
  #node: DERPNode | undefined;
  #dialling: AbortController | undefined;
  #retry: Timer | undefined;
  #backOff = FIRST_BACK_OFF_MS;
  #restartIn: number | undefined;
  #connectedAt = 0;
  #lastFrame = 0;
  #serverKeys = new Map<string, string>();
  /** Where the next try begins: behind a node that took our connection but not our login. */
  #firstNode = 0;
  /** Names of nodes that refused the upgrade and are tried by WebSocket next. */
  readonly #byWebSocket = new Set<string>();
  #unhealthy = false;
  #waiting: Waiting[] = [];
  #closed = false;
  #totals = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };

  constructor(region: DERPRegion, options: DerpPoolOptions) {
    this.#region = region;
    this.#options = options;
    this.#usedAt = options.scheduler.monotonic();
    this.#state = { kind: "closed", since: options.scheduler.wall() };
  }

  get id(): number {
    return this.#region.RegionID;
  }

  /** True when nothing needs this region any more. */
  get idle(): boolean {
    return !this.#home && this.#options.scheduler.monotonic() - this.#usedAt >= IDLE_MS;
  }

  /** Takes over a new description; a connection to a node that changed or went is made anew. */
  update(region: DERPRegion): void {
    this.#region = region;
    if (this.#node === undefined && this.#dialling === undefined) return;
    const same = region.Nodes.find((node) => node.Name === this.#node?.Name);
    if (this.#node !== undefined && JSON.stringify(same) === JSON.stringify(this.#node)) return;
    this.reconnect("the DERP map changed");
  }

  /** Home regions are kept connected and told so. */
  setHome(home: boolean): void {
    if (this.#home === home) return;
    this.#home = home;
    this.#usedAt = this.#options.scheduler.monotonic();
    this.#client?.notePreferred(home);
    if (home) this.want();
  }

  /** Connects unless connected or about to. */
  want(): void {
    this.#usedAt = this.#options.scheduler.monotonic();
    if (this.#closed || this.#client !== undefined || this.#dialling !== undefined || this.#retry !== undefined) return;
    void this.#connect();
  }

  /** Sends, or keeps for when the connection is there; false when dropped. @param payload kept. */
  send(peer: string, payload: Uint8Array): boolean {
    this.want();
    if (this.#client !== undefined && this.#state.kind === "connected") return this.#client.send(peer, payload);
    if (this.#state.kind === "failed" || this.#waiting.length >= MAX_WAITING_PACKETS) {
      this.#options.drops?.count(this.#state.kind === "failed" ? "no-path" : "derp-queue");
      return false;
    }
    this.#waiting.push({ peer, payload });
    return true;
  }

  /** Milliseconds to the relay and back, undefined when not connected or not answered. */
  ping(): Promise<number | undefined> {
    return this.#client?.ping() ?? Promise.resolve(undefined);
  }

  /** Drops the connection and, when wanted, makes a new one at once. */
  reconnect(reason: string): void {
    this.#drop(reason);
    this.#backOff = FIRST_BACK_OFF_MS;
    if (this.#home || !this.idle) void this.#connect();
    else this.#setState("closed");
  }

  /** Ends it for good. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#drop("closing");
    if (this.#state.kind !== "closed") this.#setState("closed");
  }

  status(): RegionStatus {
    const { rxPackets, rxBytes, txPackets, txBytes } = this.#totals;
    const live = this.#client;
    return {
      ...this.#state,
      region: this.id,
      home: this.#home,
      node: live === undefined ? "" : this.#node?.Name ?? "",
      lastFrame: this.#lastFrameWall(),
      queuedBytes: live?.queuedBytes ?? 0,
      rxPackets: rxPackets + (live?.rxPackets ?? 0),
      rxBytes: rxBytes + (live?.rxBytes ?? 0),
      txPackets: txPackets + (live?.txPackets ?? 0),
      txBytes: txBytes + (live?.txBytes ?? 0),
    };
  }

  #lastFrameWall(): number {
    const { scheduler } = this.#options;
    if (this.#client === undefined || this.#state.kind !== "connected") return this.#lastFrame;
    return scheduler.wall() - (scheduler.monotonic() - this.#client.lastReadAt);
  }

  #setState(kind: RegionState["kind"], error?: string): void {
    this.#state = { kind, since: this.#options.scheduler.wall(), ...(error !== undefined && { error }) };
    this.#options.events.stateChanged(this.id, this.#state);
  }

  /** Ends whatever is going on, without a word to the owner. */
  #drop(reason: string): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#dialling?.abort(new Error(reason));
    this.#dialling = undefined;
    const client = this.#client;
    this.#forgetClient();
    client?.close(reason);
    for (const _ of this.#waiting) this.#options.drops?.count("no-path");
    this.#waiting = [];
  }

  #forgetClient(): void {
    const client = this.#client;
    if (client === undefined) return;
    this.#lastFrame = this.#lastFrameWall();
    this.#totals.rxPackets += client.rxPackets;
    this.#totals.rxBytes += client.rxBytes;
    this.#totals.txPackets += client.txPackets;
    this.#totals.txBytes += client.txBytes;
    this.#client = undefined;
    this.#node = undefined;
    this.#health("");
  }

  #health(problem: string): void {
    if (problem === "" && !this.#unhealthy) return;
    this.#unhealthy = problem !== "";
    this.#options.events.health(this.id, problem);
  }

  async #connect(): Promise<void> {
    if (this.#closed) return;
    const privateKey = this.#options.privateKey();
    if (privateKey === undefined) {
      if (this.#state.kind !== "closed") this.#setState("closed");
      return;
    }
    const dialling = this.#dialling = new AbortController();
    this.#setState("connecting");
    let failure: string | undefined;
    const nodes = this.#region.Nodes;
    for (let i = 0; i < nodes.length; i++) {
      const index = (this.#firstNode + i) % nodes.length;
      const node = nodes[index];
      if (node.STUNOnly) {
        failure ??= "the region has no node that relays";
        continue;
      }
      try {
        const stream = await this.#options.dial(node, dialling.signal, this.#byWebSocket.has(node.Name));
        if (dialling.signal.aborted) {
          stream.duplex.destroy();
          return;
        }
        this.#dialling = undefined;
        return this.#start(node, index, stream, privateKey);
      } catch (error) {
        if (dialling.signal.aborted) return;
        this.#byWebSocket.delete(node.Name);
        failure ??= error instanceof Error ? error.message : String(error);
      }
    }
    this.#dialling = undefined;
    this.#failed(failure ?? "the region has no nodes");
  }

  #start(node: DERPNode, index: number, stream: Awaited<ReturnType<DerpDial>>, privateKey: NodePrivate): void {
    const { scheduler, random, events, drops } = this.#options;
    const region = this.id;
    const isCurrent = () => this.#client === client;
    const client: DerpClient = new DerpClient({
      duplex: stream.duplex,
      host: stream.host,
      serverKey: stream.serverKey,
      upgraded: stream.upgraded,
      idealNode: index === 0 ? undefined : this.#region.Nodes[0].Name,
      privateKey,
      scheduler,
      random,
      events: {
        ready: (serverKey) => isCurrent() && this.#ready(serverKey.hex),
        packet: (peer, payload) => isCurrent() && events.received(region, peer, payload),
        peerGone: (peer) => isCurrent() && events.peerGone(region, peer),
        health: (problem) => isCurrent() && this.#health(problem),
        restarting: (reconnectInMs) => {
          this.#restartIn = Math.min(reconnectInMs, MAX_RESTART_WAIT_MS);
        },
        closed: (reason) => {
          if (!isCurrent()) return;
          // A refusal may have been a passing one, so that after a WebSocket the upgrade is tried again.
          if (client.upgradeRefused) this.#byWebSocket.add(node.Name);
          else this.#byWebSocket.delete(node.Name);
          this.#lost(reason, index);
        },
        dropped: (reason, count) => {
          for (let i = 0; i < count; i++) drops?.count(reason);
        },
      },
    });
    this.#client = client;
    this.#node = node;
    client.start();
  }

  #ready(serverKey: string): void {
    const { scheduler, log } = this.#options;
    const name = this.#node!.Name;
    const before = this.#serverKeys.get(name);
    if (before !== undefined && before !== serverKey) {
      log(`derp-${this.id}: node ${name} has a new key ${serverKey.slice(0, 16)}, had ${before.slice(0, 16)}`);
    }
    this.#serverKeys.set(name, serverKey);
    this.#connectedAt = scheduler.monotonic();
    if (this.#home) this.#client!.notePreferred(true);
    this.#setState("connected");
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { peer, payload } of waiting) this.#client?.send(peer, payload);
  }

  #lost(reason: string, index: number): void {
    const connected = this.#state.kind === "connected";
    this.#forgetClient();
    this.#firstNode = connected ? 0 : index + 1;
    if (connected && this.#options.scheduler.monotonic() - this.#connectedAt >= LASTED_MS) {
      this.#backOff = FIRST_BACK_OFF_MS;
    }
    this.#failed(reason);
  }

  #failed(error: string): void {
    const { scheduler, random, log, drops } = this.#options;
    for (const _ of this.#waiting) drops?.count("no-path");
    this.#waiting = [];
    if (this.#closed) return;
    log(`derp-${this.id}: ${error}`);
    if (this.idle) return this.#setState("closed");
    // Half to all of the doubling wait, so that the clients of a relay that restarts do not return in step.
    const jittered = this.#backOff * (0.5 + random(1)[0] / 512);
    const wait = this.#restartIn ?? jittered;
    this.#restartIn = undefined;
    this.#backOff = Math.min(this.#backOff * 2, MAX_BACK_OFF_MS);
    this.#retry = scheduler.after(wait, () => {
      this.#retry = undefined;
      if (this.idle) this.#setState("closed");
      else void this.#connect();
    });
    this.#setState("failed", error);
  }
}
