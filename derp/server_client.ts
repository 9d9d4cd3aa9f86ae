/**
 * The server's side of one connection.
 *
 * ```
 *   login ── ClientInfo opens ──▶ verifying ── admitted ──▶ serving
 *     │                              │ refused                │
 *     └──── time-out, bad frame ─────┴──── error, close ──────┴──▶ closed
 * ```
 * A client is believed nothing before its ClientInfo opens: until then frames are limited to 16 KiB and ten seconds.
 * Source: derp/derpserver/derpserver.go (accept, sclient).
 */
import type { Duplex } from "node:stream";
import { BOX_NONCE_LENGTH } from "../base/box.ts";
import { toHex } from "../base/bytes.ts";
import type { Timer } from "../base/clock.ts";
import type { NodePublic } from "../base/keys.ts";
import { encodeFrame, FrameReader, FrameType, KEY_LENGTH, MAX_BODY_LENGTH, MAX_PACKET_LENGTH } from "./frame.ts";
import type { Frame } from "./frame.ts";
import { encodeServerInfo, encodeServerKey, looksLikeDisco, parseClientInfo, PeerGoneReason } from "./messages.ts";
import { SendQueue } from "./send_queue.ts";
import type { DerpServerContext } from "./server.ts";
import { TokenBucket } from "./token_bucket.ts";

const LOGIN_TIMEOUT_MS = 10_000;
const MAX_LOGIN_BODY = 16_384;
const KEEP_ALIVE_MS = 60_000;
const KEEP_ALIVE_JITTER_MS = 5_000;
/** Bytes a client may send ahead while it is being verified. */
const MAX_AHEAD = 262_144;
/** A client that takes nothing for this long is gone; its queue has been dropping since long before. */
const WRITE_TIMEOUT_MS = 30_000;
/** Bytes that may wait for a client. */
const QUEUE_BYTES = 1_048_576;
/** Most bytes of a ping; more than eight are for later versions. */
const MAX_PING_BODY = 1000;
/** Pongs that may wait; further pings get none. */
const MAX_QUEUED_PONGS = 16;
/** Frames of the protocol that may wait before a client that does not read is closed. */
const MAX_QUEUED_CONTROL = 4096;
/** "Not here" answers to one client: three at once, then one a second. */
const NOT_HERE_PER_SECOND = 1;
const NOT_HERE_BURST = 3;

type State =
  | { readonly kind: "login" | "closed" }
  | { readonly kind: "verifying"; readonly ahead: Uint8Array[]; aheadBytes: number }
  | { readonly kind: "serving"; readonly key: NodePublic };

/** One client connection. */
export class ServerClient {
  readonly #context: DerpServerContext;
  readonly #duplex: Duplex;
  readonly #queue: SendQueue;
  readonly #reader = new FrameReader(MAX_LOGIN_BODY);
  readonly #notHere: TokenBucket;
  readonly remote: string;
  #state: State = { kind: "login" };
  #timer: Timer;
  /** Keys whose packets were delivered here, to be told about when they go; kept by the server. */
  readonly heardFrom = new Set<string>();
  preferred = false;

  /** @param duplex owned from now on. @param remote address of the client, for the log and for verification. */
  constructor(context: DerpServerContext, duplex: Duplex, remote: string) {
    this.#context = context;
    this.#duplex = duplex;
    this.remote = remote;
    const { scheduler, counters } = context;
    this.#notHere = new TokenBucket(NOT_HERE_PER_SECOND, NOT_HERE_BURST, scheduler.monotonic());
    this.#queue = new SendQueue(duplex, {
      maxBytes: QUEUE_BYTES,
      overflow: "drop-oldest",
      dropped: (count) => counters.droppedQueue += count,
      now: () => scheduler.monotonic(),
    });
    this.#timer = scheduler.after(LOGIN_TIMEOUT_MS, () => this.close("the login took too long"));
  }

  /** The client's key once it is served. */
  get key(): NodePublic | undefined {
    return this.#state.kind === "serving" ? this.#state.key : undefined;
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  /** Greets, and reads from now on. @param preface bytes to send before the greeting. @param head bytes already read. */
  start(preface: Uint8Array, head: Uint8Array): void {
    const duplex = this.#duplex;
    duplex.on("data", (chunk: Uint8Array) => this.#received(chunk));
    duplex.on("error", (error: Error) => this.close(error.message));
    duplex.on("end", () => this.close(""));
    duplex.on("close", () => this.close(""));
    if (preface.length > 0) this.#queue.control(preface);
    this.#queue.control(encodeServerKey(this.#context.privateKey.public));
    if (head.length > 0) this.#received(head);
  }

  /** Queues a packet from another client. @param payload kept. */
  deliver(source: NodePublic, payload: Uint8Array): boolean {
    return this.#queue.packet(FrameType.recvPacket, source.bytes, payload);
  }

  peerGone(peer: NodePublic, reason: number): void {
    this.#control(encodeFrame(FrameType.peerGone, peer.bytes, Uint8Array.of(reason)));
  }

  /** Tells the client what is wrong with its connection; "" takes it back. */
  health(problem: string): void {
    this.#control(encodeFrame(FrameType.health, new TextEncoder().encode(problem)));
  }

  /** Ends the connection at once. @param reason for the log; "" for a client that just left. */
  close(reason: string): void {
    if (!this.#end(reason)) return;
    this.#duplex.destroy();
  }

  /** Says when to come back, then ends the connection once that is sent. */
  restart(reconnectInMs: number, tryForMs: number): void {
    const waits = new Uint8Array(8);
    new DataView(waits.buffer).setUint32(0, reconnectInMs);
    new DataView(waits.buffer).setUint32(4, tryForMs);
    if (this.#end("")) this.#duplex.end(encodeFrame(FrameType.restarting, waits));
  }

  #end(reason: string): boolean {
    if (this.#state.kind === "closed") return false;
    const served = this.key;
    this.#state = { kind: "closed" };
    this.#timer.cancel();
    this.#queue.close();
    this.#context.closed(this, served, reason);
    return true;
  }

  #control(frame: Uint8Array): void {
    if (this.#queue.queuedControl >= MAX_QUEUED_CONTROL) return this.close("the client does not read");
    this.#queue.control(frame);
  }

  #received(chunk: Uint8Array): void {
    if (this.#state.kind === "closed") return;
    if (this.#state.kind === "verifying") return this.#keepAhead(this.#state, chunk);
    this.#reader.push(chunk);
    this.#drain();
  }

  /** Keeps what comes before the verdict. Deno reads a paused TLS socket all the same, so the bound must be here. */
  #keepAhead(state: Extract<State, { kind: "verifying" }>, chunk: Uint8Array): void {
    state.aheadBytes += chunk.length;
    if (state.aheadBytes > MAX_AHEAD) return this.#violation(`it sent over ${MAX_AHEAD} bytes before it was admitted`);
    state.ahead.push(new Uint8Array(chunk));
  }

  #drain(): void {
    while (this.#isReading()) {
      const frame = this.#reader.next();
      if (frame === undefined) break;
      this.#frame(frame);
    }
    if (this.#reader.failure !== undefined) this.#violation(this.#reader.failure);
  }

  /** As a method, because handling a frame changes the state. */
  #isReading(): boolean {
    return this.#state.kind === "login" || this.#state.kind === "serving";
  }

  #violation(what: string): void {
    if (this.#state.kind === "closed") return;
    this.#context.counters.protocolErrors++;
    this.close(what);
  }

  #frame(frame: Frame): void {
    if (this.#state.kind === "serving") return this.#serve(frame, this.#state.key);
    const login = parseClientInfo(this.#context.privateKey, frame);
    if (login === undefined) return this.#violation("its login is not a ClientInfo frame that opens");
    void this.#verify(login.key);
  }

  /** Asks whether to let the client in; handles none of its frames meanwhile. */
  async #verify(key: NodePublic): Promise<void> {
    const ahead: Uint8Array[] = [];
    this.#state = { kind: "verifying", ahead, aheadBytes: 0 };
    let admitted = false;
    try {
      admitted = await this.#context.verify(key, this.remote);
    } catch (error) {
      this.#context.log(`derp: Cannot verify ${key.shortString()}: ${error instanceof Error ? error.message : error}`);
    }
    if (this.#isClosed()) return;
    if (!admitted) {
      this.#context.counters.refused++;
      return this.close(`the key ${key.shortString()} is not admitted`);
    }
    const { privateKey, random } = this.#context;
    const info = encodeServerInfo(privateKey, key, random(BOX_NONCE_LENGTH));
    if (info === undefined) return this.#violation("its key is of low order");
    this.#state = { kind: "serving", key };
    this.#reader.limit = MAX_BODY_LENGTH;
    this.#timer.cancel();
    this.#keepAliveLater();
    this.#context.serving(this, key);
    this.#queue.control(info);
    this.#drain();
    for (const chunk of ahead) this.#received(chunk);
  }

  #isClosed(): boolean {
    return this.#state.kind === "closed";
  }

  #keepAliveLater(): void {
    const { scheduler, random } = this.#context;
    const jitter = (random(1)[0] / 256) * KEEP_ALIVE_JITTER_MS;
    this.#timer = scheduler.after(KEEP_ALIVE_MS + jitter, () => {
      if (this.#queue.stalledMs() >= WRITE_TIMEOUT_MS) return this.close("the client takes nothing");
      this.#control(encodeFrame(FrameType.keepAlive));
      if (!this.#isClosed()) this.#keepAliveLater();
    });
  }

  #serve({ type, body }: Frame, key: NodePublic): void {
    const { counters } = this.#context;
    this.#context.active(this, key);
    switch (type) {
      case FrameType.sendPacket: {
        const length = body.length - KEY_LENGTH;
        if (length < 0 || length > MAX_PACKET_LENGTH) return this.#violation(`it sent a packet of ${length} bytes`);
        counters.packetsIn++;
        counters.bytesIn += length;
        return this.#relay(key, body);
      }
      case FrameType.ping:
        if (body.length < 8 || body.length > MAX_PING_BODY) return this.#violation(`its ping has ${body.length} bytes`);
        counters.pings++;
        if (this.#queue.queuedControl < MAX_QUEUED_PONGS) {
          this.#control(encodeFrame(FrameType.pong, body.subarray(0, 8)));
        }
        return;
      case FrameType.notePreferred:
        if (body.length !== 1) return this.#violation(`its NotePreferred has ${body.length} bytes`);
        this.preferred = body[0] !== 0;
        return;
      case FrameType.watchConns:
      case FrameType.closePeer:
      case FrameType.forwardPacket:
        return this.#violation(`it is no mesh member and sent frame type 0x${type.toString(16)}`);
      case FrameType.clientInfo:
        return this.#violation("it logged in twice");
      default:
        counters.unknownFrames++;
    }
  }

  #relay(key: NodePublic, body: Uint8Array): void {
    const destination = body.subarray(0, KEY_LENGTH);
    const payload = new Uint8Array(body.subarray(KEY_LENGTH));
    if (this.#context.relay(key, toHex(destination), payload)) return;
    // Only disco asks who is there, and only so often: this must not help anyone to list keys.
    if (!looksLikeDisco(payload) || !this.#notHere.take(1, this.#context.scheduler.monotonic())) return;
    this.#context.counters.peerGoneNotHere++;
    this.#control(encodeFrame(FrameType.peerGone, destination, Uint8Array.of(PeerGoneReason.notHere)));
  }
}
