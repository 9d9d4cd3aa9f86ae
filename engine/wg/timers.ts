/**
 * The five timers of a peer (whitepaper 6). Pure: `now` comes in, deadlines and names of what is due come out; who
 * holds the keys acts on them. Each hook is one event of a peer's life, each timer one sentence of the paper.
 *
 * ```
 *   timer                 set by                            to                       cancelled by
 *   retransmitHandshake   initiation sent                   REKEY_TIMEOUT + jitter   handshake complete
 *                         … with a new key of our own       NEW_KEY_RETRY
 *   newHandshake          data sent, if not set             KEEPALIVE_TIMEOUT +      anything authentic received
 *                                                           REKEY_TIMEOUT + jitter
 *   sendKeepalive         data received, if not set         KEEPALIVE_TIMEOUT        anything authentic sent
 *   zeroKeys              session derived                   ZERO_KEYS_AFTER_TIME     -
 *   persistentKeepalive   anything sent or received         its interval             -
 * ```
 * A timer that is off has the deadline Infinity.
 */
import type { RandomBytes } from "../../base/keys.ts";
import {
  KEEPALIVE_TIMEOUT,
  MAX_TIMER_HANDSHAKES,
  NEW_KEY_RETRIES,
  NEW_KEY_RETRY,
  REKEY_TIMEOUT,
  REKEY_TIMEOUT_JITTER_MAX,
  ZERO_KEYS_AFTER_TIME,
} from "./constants.ts";

/** What is due. */
export type TimerEvent =
  | "retransmit-handshake"
  | "give-up-handshake"
  | "new-handshake"
  | "send-keepalive"
  | "zero-keys"
  | "persistent-keepalive";

const JITTERS_AT_ONCE = 64;

/** Draws retransmission jitter: whole ms, uniform in [0, `REKEY_TIMEOUT_JITTER_MAX`). */
export function createJitter(random: RandomBytes): () => number {
  let drawn = new Uint8Array(0);
  let at = 0;
  return () => {
    if (at === drawn.length) {
      drawn = random(JITTERS_AT_ONCE * 2);
      at = 0;
    }
    const value = drawn[at] | (drawn[at + 1] << 8);
    at += 2;
    return Math.floor((value * REKEY_TIMEOUT_JITTER_MAX) / 65536);
  };
}

/** Deadlines of one peer, in ms of `now`. */
export class PeerTimers {
  readonly #jitter: () => number;
  #retransmitHandshake = Infinity;
  #newHandshake = Infinity;
  #sendKeepalive = Infinity;
  #zeroKeys = Infinity;
  #persistentKeepalive = Infinity;
  #persistentInterval = 0;
  #attempts = 0;
  /** Initiations that may follow each other quickly, because our key is new. */
  #quick = 0;
  #needAnotherKeepalive = false;

  constructor(jitter: () => number) {
    this.#jitter = jitter;
  }

  /** True while an initiation waits for its answer. */
  get handshakeUnderWay(): boolean {
    return this.#retransmitHandshake !== Infinity;
  }

  /** How long after one of our handshake messages the next may go. */
  get handshakeDistance(): number {
    return this.#quick > 0 ? NEW_KEY_RETRY : REKEY_TIMEOUT;
  }

  /** Our own key is another one, which the peer may not know yet. */
  localKeyChanged(): void {
    this.#quick = NEW_KEY_RETRIES;
  }

  /** The earliest deadline, Infinity when all are off. */
  deadline(): number {
    return Math.min(
      this.#retransmitHandshake,
      this.#newHandshake,
      this.#sendKeepalive,
      this.#zeroKeys,
      this.#persistentKeepalive,
    );
  }

  /** Interval of persistent keepalives in ms, 0 for none (6.5 end). The first one is due at once. */
  setPersistentKeepalive(interval: number, now: number): void {
    this.#persistentInterval = interval;
    this.#persistentKeepalive = interval > 0 ? now : Infinity;
  }

  /** 6.4: the count of attempts starts anew when somebody wants to send, as opposed to a retransmission. */
  handshakeWanted(): void {
    this.#attempts = 0;
  }

  /** 6.4: an initiation without an answer is sent again after REKEY_TIMEOUT, with a new ephemeral and jitter. */
  initiationSent(now: number): void {
    if (this.#quick > 0) {
      this.#quick--;
      this.#retransmitHandshake = now + NEW_KEY_RETRY;
      return;
    }
    this.#attempts++;
    this.#retransmitHandshake = now + REKEY_TIMEOUT + this.#jitter();
  }

  /** 6.4: an initiation that came too soon after another message of ours is put off until it may go. */
  initiationDeferred(until: number): void {
    this.#retransmitHandshake = until + this.#jitter();
  }

  /** A response was accepted, or the first packet confirmed the keypair of our own response. */
  handshakeComplete(): void {
    this.#retransmitHandshake = Infinity;
    this.#attempts = 0;
    this.#quick = 0;
  }

  /** 6.3: keys are wiped when no newer ones came in three times their life. */
  sessionDerived(now: number): void {
    this.#zeroKeys = now + ZERO_KEYS_AFTER_TIME;
  }

  /** 6.5: data sent and nothing at all back for KEEPALIVE_TIMEOUT + REKEY_TIMEOUT means the session is dead. */
  dataSent(now: number): void {
    if (this.#newHandshake !== Infinity) return;
    this.#newHandshake = now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + this.#jitter();
  }

  /** 6.5: data received and nothing sent back for KEEPALIVE_TIMEOUT is answered by an empty packet. */
  dataReceived(now: number): void {
    if (this.#sendKeepalive === Infinity) {
      this.#sendKeepalive = now + KEEPALIVE_TIMEOUT;
    } else {
      this.#needAnotherKeepalive = true;
    }
  }

  /** Before anything authentic goes out: handshake message, keepalive or data. */
  anySent(now: number): void {
    this.#sendKeepalive = Infinity;
    this.#traversed(now);
  }

  /** After anything authentic came in: handshake message, keepalive or data. */
  anyReceived(now: number): void {
    this.#newHandshake = Infinity;
    this.#traversed(now);
  }

  #traversed(now: number): void {
    if (this.#persistentInterval > 0) this.#persistentKeepalive = now + this.#persistentInterval;
  }

  /** Takes one event that is due. To be called until it returns undefined. */
  takeDue(now: number): TimerEvent | undefined {
    if (this.#retransmitHandshake <= now) return this.#retransmitDue(now);
    if (this.#newHandshake <= now) {
      this.#newHandshake = Infinity;
      return "new-handshake";
    }
    if (this.#sendKeepalive <= now) {
      this.#sendKeepalive = this.#needAnotherKeepalive ? now + KEEPALIVE_TIMEOUT : Infinity;
      this.#needAnotherKeepalive = false;
      return "send-keepalive";
    }
    if (this.#zeroKeys <= now) {
      this.#zeroKeys = Infinity;
      return "zero-keys";
    }
    if (this.#persistentKeepalive <= now) {
      this.#persistentKeepalive = now + this.#persistentInterval;
      return "persistent-keepalive";
    }
    return undefined;
  }

  /** 6.4: after REKEY_ATTEMPT_TIME of attempts it is given up, and what is left of the exchange is wiped later. */
  #retransmitDue(now: number): TimerEvent {
    this.#retransmitHandshake = Infinity;
    if (this.#attempts < MAX_TIMER_HANDSHAKES) return "retransmit-handshake";
    this.#sendKeepalive = Infinity;
    if (this.#zeroKeys === Infinity) this.#zeroKeys = now + ZERO_KEYS_AFTER_TIME;
    return "give-up-handshake";
  }
}
