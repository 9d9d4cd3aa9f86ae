/**
 * One peer: its handshake, keypairs and timers.
 *
 * ```
 *                    wantHandshake, rekey, retransmission: new ephemeral, new index
 *                      ┌───────┐
 *                      ▼       │
 *   no initiation ──▶ initiation sent ──response consumed──▶ no initiation, keypair is current
 *         ▲                │
 *         └────────────────┘  a keypair of the other direction was confirmed; keys wiped; our key changed
 *
 *   initiation consumed (in either state) ──▶ response sent, keypair is next
 * ```
 * An initiation of ours that is under way survives an initiation of the peer, so when both start at once neither waits
 * for a retransmission. A forged or failed message changes nothing.
 */
import { compareBytes } from "../../base/bytes.ts";
import type { Drop } from "../../base/drops.ts";
import type { NodePrivate, NodePublic, RandomBytes } from "../../base/keys.ts";
import { assertNever } from "../../base/assert_never.ts";
import {
  COUNTER_LIMIT,
  HANDSHAKE_INITIATION_RATE,
  REKEY_AFTER_COUNTER,
  REKEY_AFTER_TIME,
  REKEY_ON_RECEIVE_AFTER_TIME,
} from "./constants.ts";
import { CookieGenerator } from "./cookie.ts";
import type { HandshakeSource, WgEffects } from "./effects.ts";
import type { OpenedInitiation, SentInitiation, SessionKeys } from "./handshake.ts";
import { consumeResponse, createInitiation, createResponse, verifyInitiation } from "./handshake.ts";
import type { IndexTable } from "./index_table.ts";
import { Keypair } from "./keypair.ts";
import { Keypairs } from "./keypairs.ts";
import { TIMESTAMP_LENGTH } from "./tai64n.ts";
import { PeerTimers } from "./timers.ts";

/** What a receiver index stands for: a keypair, or the peer's initiation under way. */
export interface IndexEntry {
  readonly peer: Peer;
  keypair: Keypair | undefined;
}

/** What a peer needs of its device. */
export interface PeerContext {
  readonly effects: WgEffects;
  readonly random: RandomBytes;
  readonly timestamp: () => Uint8Array;
  readonly jitter: () => number;
  readonly indices: IndexTable<IndexEntry>;
  readonly local: NodePrivate | undefined;
  /** The peer's earliest deadline may have become earlier. */
  timersChanged(peer: Peer): void;
}

interface InitiationUnderWay {
  readonly sent: SentInitiation;
  readonly index: number;
}

/** A peer of a `WgDevice`, made by `addPeer`. */
export class Peer {
  readonly publicKey: NodePublic;
  /** Free for the data plane to hang its own state on. */
  data: unknown = undefined;
  /** ms of `now` of the last completed handshake, 0 when there was none. */
  lastHandshake = 0;
  /** Belongs to the device's `Deadlines`. */
  queuedAt = Infinity;
  /** Belongs to the device's `Deadlines`. */
  place = -1;

  readonly #context: PeerContext;
  readonly #timers: PeerTimers;
  readonly #keypairs: Keypairs;
  readonly #cookies: CookieGenerator;
  #staticStatic: Uint8Array | undefined;
  #initiation: InitiationUnderWay | undefined;
  #lastTimestamp: Uint8Array = new Uint8Array(TIMESTAMP_LENGTH);
  #lastInitiationConsumed = -Infinity;
  #lastHandshakeSent = -Infinity;
  #renewedOnReceive = false;
  #removed = false;

  /** To be called by `WgDevice` only. */
  constructor(context: PeerContext, publicKey: NodePublic) {
    this.#context = context;
    this.publicKey = publicKey;
    this.#timers = new PeerTimers(context.jitter);
    this.#cookies = new CookieGenerator(publicKey);
    this.#keypairs = new Keypairs((keypair) => {
      keypair.dropped = true;
      context.indices.release(keypair.localIndex);
      context.effects.freeKey(keypair.sendKey);
      context.effects.freeKey(keypair.receiveKey);
    });
  }

  /** The keypair to seal with: the current one, young enough and with counters left. */
  keypairForSend(now: number): Keypair | undefined {
    const current = this.#keypairs.current;
    if (current === undefined || current.expired(now) || current.nextCounter >= COUNTER_LIMIT) return undefined;
    return current;
  }

  /**
   * A packet waits and there is no keypair to send with: initiates, unless an initiation or response went out less than
   * `REKEY_TIMEOUT` ago. Retries then go on by themselves until `REKEY_ATTEMPT_TIME` after the last such call.
   */
  wantHandshake(now: number): void {
    this.#timers.handshakeWanted();
    this.#initiate(now);
  }

  /**
   * After one packet or a batch was sealed with `keypair` and sent. Runs the timers and renews a keypair that is old.
   * @param isData False when all were keepalives.
   */
  sent(_keypair: Keypair, now: number, isData: boolean): void {
    this.#timers.anySent(now);
    if (isData) this.#timers.dataSent(now);
    this.#timersChanged();
    const current = this.#keypairs.current;
    if (current === undefined) return;
    const old = current.isInitiator && now - current.created > REKEY_AFTER_TIME;
    if (old || current.nextCounter > REKEY_AFTER_COUNTER) this.wantHandshake(now);
  }

  /**
   * After one packet or a batch opened with `keypair` and was no replay. Confirms a keypair that waited for it, runs the
   * timers and renews a keypair that is about to expire.
   * @param isData False when all were keepalives.
   */
  received(keypair: Keypair, now: number, isData: boolean): void {
    if (this.#removed) return;
    const confirmed = this.#keypairs.received(keypair);
    if (confirmed) {
      this.#abandonInitiation();
      this.#completed(now);
    }
    this.#timers.anyReceived(now);
    if (isData) this.#timers.dataReceived(now);
    this.#timersChanged();
    if (confirmed) this.#context.effects.keypairReady(this);
    this.#renewOnReceive(now);
  }

  /** Sends an empty packet whenever nothing was sent or received for `interval` ms; 0 for never, the default. */
  setPersistentKeepalive(interval: number, now: number): void {
    this.#timers.setPersistentKeepalive(interval, now);
    this.#timersChanged();
  }

  /** The earliest timer in ms, Infinity when none is set. */
  deadline(): number {
    return this.#timers.deadline();
  }

  /** For `WgDevice`: runs what is due. */
  runTimers(now: number): void {
    for (let event = this.#timers.takeDue(now); event !== undefined; event = this.#timers.takeDue(now)) {
      switch (event) {
        case "retransmit-handshake":
          this.#initiate(now);
          break;
        case "give-up-handshake":
          this.#context.effects.handshakeFailed(this);
          break;
        case "new-handshake":
          this.wantHandshake(now);
          break;
        case "send-keepalive":
        case "persistent-keepalive":
          this.#keepalive(now);
          break;
        case "zero-keys":
          this.#zeroKeys();
          break;
        default:
          assertNever(event);
      }
    }
    this.#timersChanged();
  }

  /** For `WgDevice`: the timestamp of an initiation that names this peer, or why it is not this peer's. */
  verifyInitiation(opened: OpenedInitiation): Uint8Array | Drop {
    return verifyInitiation(opened, this.#sharedSecret());
  }

  /** For `WgDevice`: answers an initiation that was verified to be this peer's. Returns why it was refused. */
  consumeInitiation(
    opened: OpenedInitiation,
    timestamp: Uint8Array,
    source: HandshakeSource,
    now: number,
  ): Drop | undefined {
    const { indices, random, effects } = this.#context;
    if (compareBytes(timestamp, this.#lastTimestamp) <= 0) return "timestamp-replay";
    if (now - this.#lastInitiationConsumed <= HANDSHAKE_INITIATION_RATE) return "rate-limited";
    this.#lastTimestamp = timestamp;
    this.#lastInitiationConsumed = now;

    const entry: IndexEntry = { peer: this, keypair: undefined };
    const index = indices.allocate(entry);
    const response = createResponse(opened, random(32), index);
    if (typeof response === "string") {
      indices.release(index);
      return response;
    }
    this.#cookies.addMacs(response.message, now);
    entry.keypair = this.#keypair(response.keys, index, opened.sender, false, now);
    this.#keypairs.addResponded(entry.keypair);
    this.#lastHandshakeSent = now;
    this.#timers.anyReceived(now);
    this.#timers.anySent(now);
    this.#timers.sessionDerived(now);
    this.#timersChanged();
    effects.sendHandshake(this, response.message, source);
    return undefined;
  }

  /** For `WgDevice`: takes the response to our initiation. Returns why it was refused. */
  consumeResponse(entry: IndexEntry, message: Uint8Array, now: number): Drop | undefined {
    const { local, effects } = this.#context;
    const initiation = this.#initiation;
    if (initiation === undefined || local === undefined) return "handshake-state";
    const consumed = consumeResponse(local, initiation.sent, message);
    if (typeof consumed === "string") return consumed;
    this.#initiation = undefined;
    const keypair = this.#keypair(consumed.keys, initiation.index, consumed.sender, true, now);
    entry.keypair = keypair;
    this.#keypairs.addInitiated(keypair, compareBytes(local.public.bytes, this.publicKey.bytes) < 0);
    this.#timers.anyReceived(now);
    this.#timers.sessionDerived(now);
    this.#completed(now);
    this.#timersChanged();
    effects.keypairReady(this);
    // Key confirmation (5): the responder may not send before it has heard from us, so with nothing staged it gets an empty packet.
    if (keypair.nextCounter === 0) effects.sendKeepalive(this);
    return undefined;
  }

  /** For `WgDevice`: takes a cookie for the next initiation or response. */
  consumeCookieReply(message: Uint8Array, now: number): Drop | undefined {
    return this.#cookies.consumeReply(message, now) ? undefined : "cookie";
  }

  /** For `WgDevice`: our private key changed, so nothing agreed so far holds. */
  localKeyChanged(): void {
    this.#staticStatic?.fill(0);
    this.#staticStatic = undefined;
    this.#zeroKeys();
    this.#abandonInitiation();
    this.#lastHandshakeSent = -Infinity;
    this.#timers.localKeyChanged();
  }

  /** For `WgDevice`: frees everything; the peer is inert from here on. */
  remove(): void {
    this.#removed = true;
    this.localKeyChanged();
  }

  #initiate(now: number): void {
    const { local, indices, random, timestamp, effects } = this.#context;
    if (this.#removed || local === undefined || local.public.equals(this.publicKey)) return;
    const mayFrom = this.#lastHandshakeSent + this.#timers.handshakeDistance;
    if (now < mayFrom) {
      if (!this.#timers.handshakeUnderWay) this.#timers.initiationDeferred(mayFrom);
      return this.#timersChanged();
    }
    this.#abandonInitiation();
    const staticStatic = this.#sharedSecret();
    if (staticStatic === undefined) return effects.handshakeFailed(this);
    const index = indices.allocate({ peer: this, keypair: undefined });
    const initiation = createInitiation(local, this.publicKey, staticStatic, random(32), timestamp(), index);
    if (typeof initiation === "string") {
      indices.release(index);
      return effects.handshakeFailed(this);
    }
    this.#initiation = { sent: initiation.sent, index };
    this.#cookies.addMacs(initiation.message, now);
    this.#lastHandshakeSent = now;
    this.#timers.anySent(now);
    this.#timers.initiationSent(now);
    this.#timersChanged();
    effects.sendHandshake(this, initiation.message);
  }

  #abandonInitiation(): void {
    if (this.#initiation === undefined) return;
    this.#context.indices.release(this.#initiation.index);
    this.#initiation.sent.noise.wipe();
    this.#initiation = undefined;
  }

  /** X25519 of both static keys, computed when first needed: a device may have thousands of silent peers. */
  #sharedSecret(): Uint8Array | undefined {
    return this.#staticStatic ??= this.#context.local?.sharedSecret(this.publicKey.bytes);
  }

  #keypair(keys: SessionKeys, localIndex: number, remoteIndex: number, isInitiator: boolean, now: number): Keypair {
    const { effects } = this.#context;
    const sendKey = effects.createKey(keys.send, "seal");
    const receiveKey = effects.createKey(keys.receive, "open");
    keys.send.fill(0);
    keys.receive.fill(0);
    return new Keypair({ peer: this, localIndex, remoteIndex, sendKey, receiveKey, created: now, isInitiator });
  }

  #completed(now: number): void {
    this.#timers.handshakeComplete();
    this.#renewedOnReceive = false;
    this.lastHandshake = now;
  }

  #renewOnReceive(now: number): void {
    const current = this.#keypairs.current;
    if (this.#renewedOnReceive || current === undefined || !current.isInitiator) return;
    if (now - current.created <= REKEY_ON_RECEIVE_AFTER_TIME) return;
    this.#renewedOnReceive = true;
    this.wantHandshake(now);
  }

  #keepalive(now: number): void {
    if (this.keypairForSend(now) === undefined) this.wantHandshake(now);
    else this.#context.effects.sendKeepalive(this);
  }

  #zeroKeys(): void {
    this.#keypairs.clear();
    if (!this.#timers.handshakeUnderWay) this.#abandonInitiation();
  }

  #timersChanged(): void {
    if (!this.#removed) this.#context.timersChanged(this);
  }
}
