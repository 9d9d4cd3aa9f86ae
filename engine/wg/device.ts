/**
 * A WireGuard device without sockets, buffers or clock: handshakes, keypairs, timers, cookies. The data plane seals and
 * opens data packets with the keypairs it finds here, and carries out the effects.
 *
 * ```
 *   datagram, type 1 to 3 ─▶ handleHandshake: size, reserved bytes ─▶ mac1 ─▶ under load? mac2, rate ─▶ curve ─▶ peer
 *   datagram, type 4 ──────▶ keypairByIndex ─▶ replay.check, open, replay.accept (data plane) ─▶ peer.received
 *   packet from inside ────▶ peer.keypairForSend ─▶ seal (data plane) ─▶ peer.sent, or peer.wantHandshake
 *   nextDeadline, advance ─▶ timers of all peers
 * ```
 * Nothing here throws on bytes from the network; each refusal has a `Drop` reason. `now` is ms of one monotonic clock.
 */
import { equalBytes, isZero, toHex } from "../../base/bytes.ts";
import type { Drop } from "../../base/drops.ts";
import type { NodePrivate, NodePublic, RandomBytes } from "../../base/keys.ts";
import { CookieChecker } from "./cookie.ts";
import { Deadlines } from "./deadlines.ts";
import type { HandshakeSource, WgEffects } from "./effects.ts";
import { openInitiation, verifyInitiation } from "./handshake.ts";
import { IndexTable } from "./index_table.ts";
import type { Keypair } from "./keypair.ts";
import { HandshakeLoad } from "./load.ts";
import {
  decodeCookieReply,
  decodeResponse,
  handshakeType,
  MAC_LENGTH,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  senderIndex,
} from "./messages.ts";
import type { IndexEntry, PeerContext } from "./peer.ts";
import { Peer } from "./peer.ts";
import { RateLimit } from "./rate_limit.ts";
import { createJitter } from "./timers.ts";

export type { HandshakeSource, WgEffects } from "./effects.ts";

/** What a device is made of. */
export interface WgDeviceOptions {
  readonly effects: WgEffects;
  readonly random: RandomBytes;
  /** TAI64N, 12 bytes, each greater than the last: `createTimestamps`. */
  readonly timestamp: () => Uint8Array;
  /** Peers whose owner knows them but has not added them. */
  readonly sleepers?: Sleepers;
}

/** Peers that are added when they first prove who they are: of thousands most never do. @param key 64 hex digits */
export interface Sleepers {
  has(key: string): boolean;
  wake(key: string): Peer | undefined;
}

/** What became of a handshake message. */
export interface HandshakeResult {
  /**
   * Whose message it was, proven: its source may become the peer's path. Undefined for a cookie reply, which proves
   * nothing about who sent it.
   */
  readonly peer: Peer | undefined;
  /** Why it was refused; undefined when it was not. */
  readonly drop: Drop | undefined;
}

/** The WireGuard identity of this node and its peers. */
export class WgDevice {
  readonly #options: WgDeviceOptions;
  readonly #context: PeerContext;
  readonly #indices: IndexTable<IndexEntry>;
  readonly #peers = new Map<string, Peer>();
  readonly #deadlines = new Deadlines<Peer>();
  readonly #load = new HandshakeLoad();
  readonly #rate = new RateLimit();
  #local: NodePrivate | undefined;
  /** Another than this device began with: peers added from now on may not know it yet, as those there when it changed. */
  #keyIsNew = false;
  #checker: CookieChecker | undefined;

  constructor(options: WgDeviceOptions) {
    this.#options = options;
    this.#indices = new IndexTable(options.random);
    const local = () => this.#local;
    this.#context = {
      effects: options.effects,
      random: options.random,
      timestamp: options.timestamp,
      jitter: createJitter(options.random),
      indices: this.#indices,
      get local() {
        return local();
      },
      timersChanged: (peer) => this.#deadlines.update(peer),
    };
  }

  /** Receiver indices in use: handshakes under way and keypairs. */
  get indexCount(): number {
    return this.#indices.size;
  }

  /** Sets our identity. When it changes all handshakes and keypairs are dropped; a peer that is ourselves is removed. */
  setPrivateKey(key: NodePrivate): void {
    if (this.#local?.public.equals(key.public)) return;
    this.#keyIsNew = this.#local !== undefined;
    this.#local = key;
    this.#checker = new CookieChecker(key.public, this.#options.random);
    const ourselves = this.#peers.get(key.public.hex);
    if (ourselves !== undefined) this.removePeer(ourselves);
    for (const peer of this.#peers.values()) peer.localKeyChanged();
  }

  /** The peer with this key, made when there is none. */
  addPeer(publicKey: NodePublic): Peer {
    const known = this.#peers.get(publicKey.hex);
    if (known !== undefined) return known;
    const peer = new Peer(this.#context, publicKey);
    if (this.#keyIsNew) peer.localKeyChanged();
    this.#peers.set(publicKey.hex, peer);
    return peer;
  }

  /** Frees the peer's keys, indices and timers; what still holds it finds it inert. */
  removePeer(peer: Peer): void {
    if (this.#peers.get(peer.publicKey.hex) !== peer) return;
    this.#peers.delete(peer.publicKey.hex);
    this.#deadlines.remove(peer);
    peer.remove();
  }

  /** @param hex `NodePublic.hex`. */
  peer(hex: string): Peer | undefined {
    return this.#peers.get(hex);
  }

  /** Every peer, in the order they were added. */
  peers(): IterableIterator<Peer> {
    return this.#peers.values();
  }

  /** The keypair a data packet names. It may be older than it may be: ask `Keypair.expired`. */
  keypairByIndex(index: number): Keypair | undefined {
    return this.#indices.get(index)?.keypair;
  }

  /**
   * Handles a message of type 1, 2 or 3.
   * @param message Borrowed for the call.
   * @param load True when the caller is under load by its own measure; the device's own counter is asked as well.
   */
  handleHandshake(message: Uint8Array, source: HandshakeSource, now: number, load = false): HandshakeResult {
    const type = handshakeType(message);
    if (typeof type === "string") return dropped(type);
    const local = this.#local;
    const checker = this.#checker;
    if (local === undefined || checker === undefined) return dropped("handshake-state");
    if (type === MESSAGE_COOKIE_REPLY) return this.#cookieReply(message, now);
    if (!checker.checkMac1(message)) return dropped("mac1");
    const loaded = this.#load.arrived(now) || load;
    const refused = loaded ? this.#admitUnderLoad(checker, message, source, now) : undefined;
    if (refused !== undefined) return dropped(refused);
    switch (type) {
      case MESSAGE_INITIATION:
        return this.#initiation(local, message, source, now);
      case MESSAGE_RESPONSE:
        return this.#response(message, now);
    }
  }

  /** ms of the earliest timer, Infinity when there is none. */
  nextDeadline(): number {
    return this.#deadlines.next();
  }

  /** Runs all timers that are due. */
  advance(now: number): void {
    for (let peer = this.#deadlines.takeDue(now); peer !== undefined; peer = this.#deadlines.takeDue(now)) {
      peer.runTimers(now);
    }
  }

  /** 5.3: under load only sources with a cookie are served, and each only so often. Costs hashes, no curve. */
  #admitUnderLoad(checker: CookieChecker, message: Uint8Array, source: HandshakeSource, now: number): Drop | undefined {
    if (!checker.checkMac2(message, source.bytes, now)) {
      const reply = checker.createReply(message, senderIndex(message), source.bytes, now);
      this.#options.effects.sendCookieReply(reply, source);
      return isZero(message.subarray(-MAC_LENGTH)) ? "under-load" : "mac2";
    }
    return this.#rate.allow(source.rateKey, now) ? undefined : "rate-limited";
  }

  #initiation(local: NodePrivate, message: Uint8Array, source: HandshakeSource, now: number): HandshakeResult {
    const opened = openInitiation(local, message);
    if (typeof opened === "string") return dropped(opened);
    const key = toHex(opened.remoteStatic);
    const { sleepers } = this.#options;
    const awake = this.#peers.get(key);
    if (awake === undefined && sleepers?.has(key) !== true) return dropped("unknown-peer");
    if (equalBytes(opened.remoteStatic, local.public.bytes)) return dropped("unknown-peer");
    const timestamp = awake === undefined
      // Whoever knows our key can name anybody in the first half: the second is to prove it before somebody wakes for it.
      ? verifyInitiation(opened, local.sharedSecret(opened.remoteStatic))
      : awake.verifyInitiation(opened);
    if (typeof timestamp === "string") return dropped(timestamp);
    const peer = awake ?? sleepers?.wake(key);
    if (peer === undefined) return dropped("unknown-peer");
    const drop = peer.consumeInitiation(opened, timestamp, source, now);
    return drop === undefined ? { peer, drop } : dropped(drop);
  }

  #response(message: Uint8Array, now: number): HandshakeResult {
    const entry = this.#indices.get(decodeResponse(message).receiver);
    if (entry === undefined) return dropped("unknown-index");
    if (entry.keypair !== undefined) return dropped("handshake-state");
    const drop = entry.peer.consumeResponse(entry, message, now);
    return drop === undefined ? { peer: entry.peer, drop } : dropped(drop);
  }

  #cookieReply(message: Uint8Array, now: number): HandshakeResult {
    const entry = this.#indices.get(decodeCookieReply(message).receiver);
    if (entry === undefined) return dropped("unknown-index");
    return { peer: undefined, drop: entry.peer.consumeCookieReply(message, now) };
  }
}

function dropped(drop: Drop): HandshakeResult {
  return { peer: undefined, drop };
}
