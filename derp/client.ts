/**
 * One connection to one DERP node, from the upgrade request to the last frame.
 *
 * ```
 *   upgrading ─ 101 ─▶ greeting ─ ServerKey / ClientInfo ─▶ authenticating ─ ServerInfo ─▶ ready
 *       │                  │                                      ▲                          │
 *       │                  │          server key known from TLS ──┘ (fast start)             │
 *       └──────────────────┴──────────────── error, time-out, close() ──────────────────────▶ closed
 * ```
 * Packets may be sent from `authenticating` on: the server reads them after our ClientInfo, so no round trip is lost.
 * A connection ends once; `closed` is its last event. Source: derp/derp_client.go, derp/derphttp/derphttp_client.go.
 */
import type { Duplex } from "node:stream";
import { BOX_NONCE_LENGTH } from "../base/box.ts";
import { equalBytes, fromHex, toHex } from "../base/bytes.ts";
import type { Scheduler, Timer } from "../base/clock.ts";
import type { Drop } from "../base/drops.ts";
import type { NodePrivate, NodePublic, RandomBytes } from "../base/keys.ts";
import { encodeFrame, FrameReader, FrameType, MAX_PACKET_LENGTH, PROTOCOL_VERSION } from "./frame.ts";
import type { Frame } from "./frame.ts";
import { encodeUpgradeRequest, UpgradeReader } from "./http_upgrade.ts";
import { decodeServerMessage, encodeClientInfo, parseServerInfo, parseServerKey } from "./messages.ts";
import { SendQueue } from "./send_queue.ts";
import { TokenBucket } from "./token_bucket.ts";

/** From the upgrade request to ServerInfo. */
const LOGIN_TIMEOUT_MS = 10_000;
/** A server sends something every 60 s; twice that without a byte means it is gone. */
const READ_TIMEOUT_MS = 120_000;
/** A write the kernel has not taken in this time means the path is gone; the queue behind it has been full for long. */
const WRITE_TIMEOUT_MS = 15_000;
const WATCH_INTERVAL_MS = 5_000;
const PING_TIMEOUT_MS = 5_000;
/** Bytes of packets that may wait for the stream: 80 ms at 100 Mbit/s, enough for one TCP flow's window growth. */
const QUEUE_BYTES = 1_048_576;
/** Peers we have talked to here and remember; the oldest is forgotten first. */
const MAX_PEERS = 16_384;
/** Answers to the server's pings that may wait before we take it for an attack. */
const MAX_QUEUED_CONTROL = 64;

/** What a connection tells its owner. Payloads are copies, the receiver's to keep. */
export interface DerpClientEvents {
  /** ServerInfo came: both sides know each other. */
  ready(serverKey: NodePublic): void;
  /** @param peer 64 hex digits of the sender's node key. */
  packet(peer: string, payload: Uint8Array<ArrayBuffer>): void;
  /** The relay does not have a peer we have talked to on this connection; said once until we talk to it again. */
  peerGone(peer: string, reason: number): void;
  /** The server's complaint about this connection; "" takes it back. */
  health(problem: string): void;
  /** The server is about to close and asks us to come back after `reconnectInMs`. */
  restarting(reconnectInMs: number, tryForMs: number): void;
  /** The connection is over; nothing follows. `reason` is for the operator. */
  closed(reason: string): void;
  dropped(reason: Drop, count: number): void;
}

/** What a connection needs. */
export interface DerpClientOptions {
  /** The stream, owned from now on: destroyed when the connection ends. */
  readonly duplex: Duplex;
  readonly host: string;
  readonly idealNode?: string;
  /** The stream is DERP's already; no upgrade is asked for. */
  readonly upgraded?: boolean;
  /** The server's key when TLS already told it; makes a fast start. */
  readonly serverKey?: NodePublic;
  readonly privateKey: NodePrivate;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly events: DerpClientEvents;
}

type State =
  | { readonly kind: "upgrading"; readonly answer: UpgradeReader }
  | { readonly kind: "greeting" }
  | { readonly kind: "authenticating"; readonly serverKey: NodePublic }
  | { readonly kind: "ready"; readonly serverKey: NodePublic }
  | { readonly kind: "closed"; readonly reason: string };

interface Ping {
  readonly data: Uint8Array;
  readonly sentAt: number;
  readonly timer: Timer;
  readonly settle: (latencyMs: number | undefined) => void;
}

/** A client connection. */
export class DerpClient {
  readonly #options: DerpClientOptions;
  readonly #duplex: Duplex;
  readonly #queue: SendQueue;
  readonly #reader = new FrameReader();
  /** Peers talked to on this connection: hex digits to bytes, in order of first use. */
  readonly #peers = new Map<string, Uint8Array>();
  #state: State;
  #watch: Timer;
  #startedAt: number;
  #lastReadAt: number;
  #limit: TokenBucket | undefined;
  #pings: Ping[] = [];
  rxPackets = 0;
  rxBytes = 0;
  txPackets = 0;
  txBytes = 0;
  /** Something answered the upgrade with another status: a relay behind a proxy that passes WebSockets alone may. */
  upgradeRefused = false;

  constructor(options: DerpClientOptions) {
    this.#options = options;
    this.#duplex = options.duplex;
    const { scheduler, duplex } = options;
    this.#startedAt = this.#lastReadAt = scheduler.monotonic();
    this.#queue = new SendQueue(duplex, {
      maxBytes: QUEUE_BYTES,
      overflow: "drop-newest",
      dropped: (count) => options.events.dropped("derp-queue", count),
      now: () => scheduler.monotonic(),
    });
    this.#state = options.upgraded ? { kind: "greeting" } : { kind: "upgrading", answer: new UpgradeReader() };
    this.#watch = scheduler.after(WATCH_INTERVAL_MS, () => this.#check());
  }

  /** Sends the upgrade request; events come from now on, `closed` perhaps before this returns. Call it once. */
  start(): void {
    const duplex = this.#duplex;
    duplex.on("data", (chunk: Uint8Array) => this.#received(chunk));
    duplex.on("error", (error: Error) => this.close(error.message));
    duplex.on("end", () => this.close("the server closed the connection"));
    duplex.on("close", () => this.close("the connection was closed"));
    const { host, idealNode, serverKey, upgraded } = this.#options;
    if (upgraded) return;
    const request = encodeUpgradeRequest({ host, idealNode, fastStart: serverKey !== undefined });
    if (request === undefined) return this.close(`the host name ${JSON.stringify(host)} cannot stand in a request`);
    this.#queue.control(request);
    if (serverKey !== undefined) this.#authenticate(serverKey);
  }

  /** Monotonic milliseconds of the last byte received. */
  get lastReadAt(): number {
    return this.#lastReadAt;
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  /** Sends a packet to a peer of this relay; false when it was dropped. @param payload kept. */
  send(peer: string, payload: Uint8Array): boolean {
    if (this.#state.kind !== "authenticating" && this.#state.kind !== "ready") return false;
    if (payload.length > MAX_PACKET_LENGTH) {
      this.#options.events.dropped("derp-too-large", 1);
      return false;
    }
    if (this.#limit !== undefined && !this.#limit.take(payload.length + 37, this.#options.scheduler.monotonic())) {
      this.#options.events.dropped("rate-limited", 1);
      return false;
    }
    const key = this.#remember(peer);
    if (key === undefined) throw new TypeError(`Cannot send to the DERP peer ${peer}, want 64 hex digits`);
    if (!this.#queue.packet(FrameType.sendPacket, key, payload)) return false;
    this.txPackets++;
    this.txBytes += payload.length;
    return true;
  }

  /** Tells the server whether it is our home; statistics on its side. */
  notePreferred(preferred: boolean): void {
    if (this.#state.kind !== "ready" && this.#state.kind !== "authenticating") return;
    this.#queue.control(encodeFrame(FrameType.notePreferred, Uint8Array.of(preferred ? 1 : 0)));
  }

  /** Milliseconds until the server's pong, or undefined after 5 s or when the connection ends before. */
  ping(): Promise<number | undefined> {
    const { scheduler, random } = this.#options;
    if (this.#state.kind !== "ready") return Promise.resolve(undefined);
    return new Promise((settle) => {
      const data = random(8);
      const timer = scheduler.after(PING_TIMEOUT_MS, () => this.#settlePing(data, undefined));
      this.#pings.push({ data, sentAt: scheduler.monotonic(), timer, settle });
      this.#queue.control(encodeFrame(FrameType.ping, data));
    });
  }

  /** Ends the connection, unless it has ended. */
  close(reason: string): void {
    if (this.#state.kind === "closed") return;
    this.#state = { kind: "closed", reason };
    this.#watch.cancel();
    this.#queue.close();
    this.#duplex.destroy();
    for (const ping of this.#pings.slice()) this.#settlePing(ping.data, undefined);
    this.#options.events.closed(reason);
  }

  #received(chunk: Uint8Array): void {
    this.#lastReadAt = this.#options.scheduler.monotonic();
    if (this.#state.kind === "upgrading") {
      const answer = this.#state.answer.push(chunk);
      if (answer.kind === "more") return;
      if (answer.kind === "refused") {
        this.upgradeRefused = true;
        return this.close(`the server answered the upgrade with ${answer.status}`);
      }
      this.#state = { kind: "greeting" };
      chunk = answer.rest;
    }
    if (this.#isOver()) return;
    this.#reader.push(chunk);
    for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
      this.#frame(frame);
      if (this.#isOver()) return;
    }
    if (this.#reader.failure !== undefined) {
      this.#options.events.dropped("derp-frame", 1);
      this.close(`the server broke the protocol: ${this.#reader.failure}`);
    }
  }

  /** As a method, because a callback may have closed the connection since the state was last looked at. */
  #isOver(): boolean {
    return this.#state.kind === "closed";
  }

  #frame(frame: Frame): void {
    const state = this.#state;
    switch (state.kind) {
      case "upgrading":
      case "closed":
        return;
      case "greeting": {
        const serverKey = parseServerKey(frame);
        if (serverKey === undefined) return this.close("the server's greeting is not DERP's");
        return this.#authenticate(serverKey);
      }
      case "authenticating":
        return this.#login(frame, state.serverKey);
      case "ready":
        return this.#message(frame);
    }
  }

  #authenticate(serverKey: NodePublic): void {
    const { privateKey, random } = this.#options;
    const info = { version: PROTOCOL_VERSION, canAckPings: true, isProber: false };
    const frame = encodeClientInfo(privateKey, serverKey, random(BOX_NONCE_LENGTH), info);
    if (frame === undefined) return this.close("the server's key is of low order");
    this.#state = { kind: "authenticating", serverKey };
    this.#queue.control(frame);
  }

  #login(frame: Frame, serverKey: NodePublic): void {
    if (frame.type === FrameType.serverKey) {
      // After a fast start the greeting comes all the same; it must say what the certificate said.
      if (parseServerKey(frame)?.equals(serverKey)) return;
      return this.close("the server's greeting has another key than its certificate");
    }
    if (frame.type !== FrameType.serverInfo) return this.#message(frame);
    const info = parseServerInfo(this.#options.privateKey, serverKey, frame);
    if (info === undefined) return this.close("the server cannot prove the key it announced");
    if (info.bytesPerSecond > 0) {
      const burst = Math.max(info.bytesBurst, MAX_PACKET_LENGTH);
      this.#limit = new TokenBucket(info.bytesPerSecond, burst, this.#options.scheduler.monotonic());
    }
    this.#state = { kind: "ready", serverKey };
    this.#options.events.ready(serverKey);
  }

  #message(frame: Frame): void {
    const { events } = this.#options;
    const message = decodeServerMessage(frame);
    switch (message.kind) {
      case "packet": {
        const peer = toHex(message.source);
        this.#note(peer, message.source);
        this.rxPackets++;
        this.rxBytes += message.payload.length;
        return events.packet(peer, new Uint8Array(message.payload));
      }
      case "peer-gone": {
        const peer = toHex(message.peer);
        if (this.#peers.delete(peer)) events.peerGone(peer, message.reason);
        return;
      }
      case "ping":
        if (this.#queue.queuedControl >= MAX_QUEUED_CONTROL) return this.close("the server sends pings without end");
        return this.#queue.control(encodeFrame(FrameType.pong, message.data));
      case "pong":
        return this.#settlePing(message.data, this.#options.scheduler.monotonic());
      case "health":
        return events.health(message.problem);
      case "restarting":
        return events.restarting(message.reconnectInMs, message.tryForMs);
      case "handshake":
        return this.close(`the server broke the protocol: a second login frame 0x${message.type.toString(16)}`);
      case "malformed":
        return events.dropped("derp-frame", 1);
      case "keep-alive":
      case "unknown":
        return;
    }
  }

  #remember(peer: string): Uint8Array | undefined {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    const key = fromHex(peer);
    if (key?.length !== 32) return undefined;
    this.#note(peer, key);
    return key;
  }

  #note(peer: string, key: Uint8Array): void {
    if (this.#peers.has(peer)) return;
    if (this.#peers.size >= MAX_PEERS) this.#peers.delete(this.#peers.keys().next().value!);
    this.#peers.set(peer, new Uint8Array(key));
  }

  #settlePing(data: Uint8Array, at: number | undefined): void {
    const index = this.#pings.findIndex((ping) => equalBytes(ping.data, data));
    if (index < 0) return;
    const [ping] = this.#pings.splice(index, 1);
    ping.timer.cancel();
    ping.settle(at === undefined ? undefined : at - ping.sentAt);
  }

  #check(): void {
    const { scheduler } = this.#options;
    const now = scheduler.monotonic();
    if (this.#state.kind !== "ready" && now - this.#startedAt >= LOGIN_TIMEOUT_MS) {
      return this.close(`the login took over ${LOGIN_TIMEOUT_MS / 1000} s`);
    }
    if (now - this.#lastReadAt >= READ_TIMEOUT_MS) {
      return this.close(`nothing came from the server for ${READ_TIMEOUT_MS / 1000} s`);
    }
    if (this.#queue.stalledMs() >= WRITE_TIMEOUT_MS) {
      return this.close(`the server took nothing for ${WRITE_TIMEOUT_MS / 1000} s`);
    }
    this.#watch = scheduler.after(WATCH_INTERVAL_MS, () => this.#check());
  }
}
