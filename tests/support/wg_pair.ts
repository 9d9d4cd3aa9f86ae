/**
 * Two WireGuard devices on a fake clock, joined by an in-memory link that can lose, delay, change and repeat messages.
 *
 * ```ts
 * const t = new WgPair();
 * t.a.send("ping");
 * t.at(125);                     // runs everything up to 125 s after the start
 * t.wire(120)                    // ["125.000 a initiation", …]: what was on the wire from 120 s on
 * ```
 * The data plane here is the smallest that is right: it seals with base/aead.ts, pads, stages, and moves a peer to a new
 * source only after something authentic came from there.
 */
import { open, seal, TAG_LENGTH } from "../../base/aead.ts";
import { fromUtf8, utf8 } from "../../base/bytes.ts";
import type { Drop } from "../../base/drops.ts";
import { DropCounters } from "../../base/drops.ts";
import { NodePrivate } from "../../base/keys.ts";
import { PADDING_MULTIPLE } from "../../engine/wg/constants.ts";
import type { HandshakeSource, WgEffects } from "../../engine/wg/device.ts";
import { WgDevice } from "../../engine/wg/device.ts";
import type { Keypair } from "../../engine/wg/keypair.ts";
import { DATA_HEADER_LENGTH, KEEPALIVE_LENGTH, MESSAGE_DATA, writeDataHeader } from "../../engine/wg/messages.ts";
import type { Peer } from "../../engine/wg/peer.ts";
import { createTimestamps } from "../../engine/wg/tai64n.ts";
import { SeededRandom } from "./random.ts";

/** `now` at the start, ms: not zero, so that nothing takes zero for "never". */
const EPOCH = 7_000_000;

function nonceOf(counter: number): Uint8Array<ArrayBuffer> {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, BigInt(counter), true);
  return nonce;
}

/** What kind of message a datagram is, as the scripts print it. */
export function kindOf(message: Uint8Array): string {
  switch (message[0]) {
    case 1:
      return "initiation";
    case 2:
      return "response";
    case 3:
      return "cookie";
    default:
      return message.length === KEEPALIVE_LENGTH ? "keepalive" : "data";
  }
}

/** A source as the engine would give it. */
export function sourceNamed(name: string, port = 41641): HandshakeSource {
  const bytes = new Uint8Array(18);
  bytes.set(utf8(name.padEnd(16).slice(0, 16)));
  new DataView(bytes.buffer).setUint16(16, port);
  return { id: name.length, bytes, rateKey: name };
}

/** One device and the least data plane around it. */
export class WgNode implements WgEffects {
  readonly device: WgDevice;
  readonly key: NodePrivate;
  readonly drops = new DropCounters();
  /** Texts received from the peer, in order. */
  readonly inbox: string[] = [];
  /** Texts that wait for a keypair. */
  staged: string[] = [];
  failures = 0;
  /** Where the peer was last heard of. */
  path: HandshakeSource | undefined;
  /** True: the caller's view that it is under load. */
  load = false;
  readonly #keys = new Map<number, Uint8Array>();
  readonly #transmit: (message: Uint8Array) => void;
  readonly #now: () => number;
  #nextHandle = 1;
  #peer: Peer | undefined;

  constructor(random: SeededRandom, now: () => number, transmit: (message: Uint8Array) => void) {
    this.#now = now;
    this.#transmit = transmit;
    this.key = NodePrivate.generate(random.bytes);
    this.device = new WgDevice({ effects: this, random: random.bytes, timestamp: createTimestamps(now) });
    this.device.setPrivateKey(this.key);
  }

  get peer(): Peer {
    return this.#peer!;
  }

  set peer(peer: Peer) {
    this.#peer = peer;
  }

  /** AEAD contexts made and not freed. */
  get liveKeys(): number {
    return this.#keys.size;
  }

  send(text: string): void {
    this.staged.push(text);
    this.#flush();
  }

  #flush(): void {
    const keypair = this.peer.keypairForSend(this.#now());
    if (keypair === undefined) {
      this.peer.wantHandshake(this.#now());
      return;
    }
    const texts = this.staged;
    this.staged = [];
    for (const text of texts) this.#seal(keypair, utf8(text));
    if (texts.length > 0) this.peer.sent(keypair, this.#now(), true);
  }

  #seal(keypair: Keypair, packet: Uint8Array): void {
    const padded = new Uint8Array(Math.ceil(packet.length / PADDING_MULTIPLE) * PADDING_MULTIPLE);
    padded.set(packet);
    const counter = keypair.nextCounter++;
    const message = new Uint8Array(DATA_HEADER_LENGTH + padded.length + TAG_LENGTH);
    writeDataHeader(new DataView(message.buffer), 0, keypair.remoteIndex, counter);
    const sealed = seal(this.#keys.get(keypair.sendKey)!, nonceOf(counter), padded, new Uint8Array(0));
    message.set(sealed, DATA_HEADER_LENGTH);
    this.#transmit(message);
  }

  receive(message: Uint8Array, source: HandshakeSource): Drop | undefined {
    const drop = message[0] === MESSAGE_DATA ? this.#receiveData(message, source) : this.#receiveOther(message, source);
    if (drop !== undefined) this.drops.count(drop);
    return drop;
  }

  #receiveOther(message: Uint8Array, source: HandshakeSource): Drop | undefined {
    const { peer, drop } = this.device.handleHandshake(message, source, this.#now(), this.load);
    if (peer !== undefined) this.path = source;
    return drop;
  }

  #receiveData(message: Uint8Array, source: HandshakeSource): Drop | undefined {
    if (message.length < KEEPALIVE_LENGTH) return "too-short";
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const keypair = this.device.keypairByIndex(view.getUint32(4, true));
    if (keypair === undefined) return "unknown-index";
    if (keypair.expired(this.#now())) return "keypair-expired";
    const [low, high] = [view.getUint32(8, true), view.getUint32(12, true)];
    const refused = keypair.replay.check(low, high);
    if (refused !== undefined) return refused;
    const key = this.#keys.get(keypair.receiveKey)!;
    const packet = open(key, nonceOf(high * 2 ** 32 + low), message.subarray(DATA_HEADER_LENGTH), new Uint8Array(0));
    if (packet === undefined) return "decrypt";
    if (!keypair.replay.accept(low, high)) return "counter-replay";
    this.path = source;
    if (packet.length > 0) this.inbox.push(fromUtf8(packet)!.replace(/\0+$/, ""));
    keypair.peer.received(keypair, this.#now(), packet.length > 0);
    return undefined;
  }

  sendHandshake(_peer: Peer, message: Uint8Array): void {
    this.#transmit(message);
  }

  sendCookieReply(message: Uint8Array): void {
    this.#transmit(message);
  }

  sendKeepalive(peer: Peer): void {
    const keypair = peer.keypairForSend(this.#now());
    if (keypair === undefined) return;
    this.#seal(keypair, new Uint8Array(0));
    peer.sent(keypair, this.#now(), false);
  }

  keypairReady(): void {
    if (this.staged.length > 0) this.#flush();
  }

  handshakeFailed(): void {
    this.failures++;
    this.staged = [];
  }

  createKey(key: Uint8Array): number {
    this.#keys.set(this.#nextHandle, key.slice());
    return this.#nextHandle++;
  }

  freeKey(handle: number): void {
    if (!this.#keys.delete(handle)) throw new RangeError(`Cannot free AEAD key ${handle}: it is not live`);
  }
}

/** A message that was put on the wire. */
export interface WireEvent {
  /** Seconds since the start. */
  readonly at: number;
  readonly from: "a" | "b";
  readonly kind: string;
  readonly message: Uint8Array;
  readonly lost: boolean;
}

interface Flight {
  readonly arrives: number;
  readonly to: "a" | "b";
  readonly message: Uint8Array;
}

/** The pair, the link and the clock. */
export class WgPair {
  readonly a: WgNode;
  readonly b: WgNode;
  readonly events: WireEvent[] = [];
  /** One-way delay in ms. */
  delay: number;
  /** Messages for which this is true are lost. */
  lose: (event: Omit<WireEvent, "lost">) => boolean = () => false;
  #now = EPOCH;
  #flights: Flight[] = [];

  constructor(seed = 1, delay = 10) {
    this.delay = delay;
    const random = new SeededRandom(seed);
    const node = (name: "a" | "b") =>
      new WgNode(new SeededRandom(random.u32()), () => this.#now, (message) => this.#transmit(name, message));
    this.a = node("a");
    this.b = node("b");
    this.a.peer = this.a.device.addPeer(this.b.key.public);
    this.b.peer = this.b.device.addPeer(this.a.key.public);
  }

  /** ms, as the devices see it. */
  get now(): number {
    return this.#now;
  }

  /** Seconds since the start. */
  get seconds(): number {
    return (this.#now - EPOCH) / 1000;
  }

  /** Runs deliveries and timers in order until `seconds` after the start. */
  at(seconds: number): this {
    const until = EPOCH + seconds * 1000;
    for (;;) {
      const flight = this.#flights[0];
      const timers = Math.min(this.a.device.nextDeadline(), this.b.device.nextDeadline());
      const next = Math.min(flight?.arrives ?? Infinity, timers);
      if (next > until) break;
      this.#now = Math.max(this.#now, next);
      if (flight !== undefined && flight.arrives <= this.#now) {
        this.#flights.shift();
        this.#deliver(flight);
      } else {
        this.a.device.advance(this.#now);
        this.b.device.advance(this.#now);
      }
    }
    this.#now = Math.max(this.#now, until);
    return this;
  }

  /** Calls `act` every `step` seconds from now until `seconds`. */
  every(step: number, seconds: number, act: () => void): this {
    for (let at = this.seconds; at < seconds; at += step) {
      this.at(at);
      act();
    }
    return this.at(seconds);
  }

  /** "1.234 a initiation" for each message from `from` seconds on. */
  wire(from = 0): string[] {
    return this.events.filter((event) => event.at >= from)
      .map((event) => `${event.at.toFixed(3)} ${event.from} ${event.kind}${event.lost ? " lost" : ""}`);
  }

  /** The kinds alone: "a initiation". */
  kinds(from = 0): string[] {
    return this.events.filter((event) => event.at >= from).map((event) => `${event.from} ${event.kind}`);
  }

  /** Puts a message of anybody's making on the wire to a node, at once. */
  inject(to: "a" | "b", message: Uint8Array, source: HandshakeSource = sourceNamed("stranger")): Drop | undefined {
    return this[to].receive(message, source);
  }

  #transmit(from: "a" | "b", message: Uint8Array): void {
    const event = { at: this.seconds, from, kind: kindOf(message), message: message.slice() };
    const lost = this.lose(event);
    this.events.push({ ...event, lost });
    if (lost) return;
    this.#flights.push({ arrives: this.#now + this.delay, to: from === "a" ? "b" : "a", message: event.message });
    this.#flights.sort((x, y) => x.arrives - y.arrives);
  }

  #deliver({ to, message }: Flight): void {
    this[to].receive(message, sourceNamed(to === "a" ? "b" : "a"));
  }
}
