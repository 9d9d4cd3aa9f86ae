/**
 * mac1, mac2 and cookies: what keeps strangers and floods away from the curve (whitepaper 5.3, 5.4.4, 5.4.7).
 *
 * ```
 *   initiator                                            responder, under load
 *     ── message, mac1 = MAC(Hash("mac1----" ‖ Spub_r), message) ──▶   mac1 good, mac2 missing
 *     ◀─ cookie reply: XAEAD(Hash("cookie--" ‖ Spub_r), nonce, cookie, mac1) ──
 *     ── message again, mac2 = MAC(cookie, message ‖ mac1) ───────▶   cookie = MAC(secret, source): source proven
 * ```
 * The cookie is bound to address and port of the source and to a secret that changes every 120 s, so the responder
 * keeps nothing about who it answered. Without load mac2 is not looked at.
 */
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { blake2s, keyedBlake2s } from "../../base/blake2s.ts";
import { Blake2sMac } from "../../base/blake2s_mac.ts";
import { equalBytes, utf8 } from "../../base/bytes.ts";
import type { NodePublic, RandomBytes } from "../../base/keys.ts";
import { COOKIE_REFRESH_TIME } from "./constants.ts";
import { decodeCookieReply, encodeCookieReply, MAC_LENGTH } from "./messages.ts";

const LABEL_MAC1 = utf8("mac1----");
const LABEL_COOKIE = utf8("cookie--");
const NONCE_LENGTH = 24;
const SECRET_LENGTH = 32;

function mac1Of(message: Uint8Array): Uint8Array {
  return message.subarray(-2 * MAC_LENGTH, -MAC_LENGTH);
}

function mac2Of(message: Uint8Array): Uint8Array {
  return message.subarray(-MAC_LENGTH);
}

/** What computes mac1 for messages to the holder of this key. */
function mac1For(receiver: NodePublic): Blake2sMac {
  return new Blake2sMac(blake2s(LABEL_MAC1, receiver.bytes), MAC_LENGTH);
}

function computeMac1(mac1: Blake2sMac, message: Uint8Array): Uint8Array {
  return mac1.compute(message.subarray(0, -2 * MAC_LENGTH));
}

function computeMac2(cookie: Uint8Array, message: Uint8Array): Uint8Array {
  return keyedBlake2s(cookie, message.subarray(0, -MAC_LENGTH), MAC_LENGTH);
}

/** The responder's side: judges the MACs of handshake messages sent to us. */
export class CookieChecker {
  readonly #random: RandomBytes;
  readonly #mac1: Blake2sMac;
  readonly #cookieKey: Uint8Array;
  #secret: Uint8Array = new Uint8Array(SECRET_LENGTH);
  #secretSet = -Infinity;

  /** @param local Our own public key. */
  constructor(local: NodePublic, random: RandomBytes) {
    this.#random = random;
    this.#mac1 = mac1For(local);
    this.#cookieKey = blake2s(LABEL_COOKIE, local.bytes);
  }

  /** Whether the sender knows our public key. @param message An initiation or response of the right length. */
  checkMac1(message: Uint8Array): boolean {
    return equalBytes(computeMac1(this.#mac1, message), mac1Of(message));
  }

  /** Whether the sender got a cookie of ours at `source` within the last `COOKIE_REFRESH_TIME`. */
  checkMac2(message: Uint8Array, source: Uint8Array, now: number): boolean {
    if (now - this.#secretSet > COOKIE_REFRESH_TIME) return false;
    return equalBytes(computeMac2(this.#cookieFor(source), message), mac2Of(message));
  }

  /** The cookie reply to a message that came from `source`. @param receiver The message's sender index. */
  createReply(message: Uint8Array, receiver: number, source: Uint8Array, now: number): Uint8Array<ArrayBuffer> {
    if (now - this.#secretSet > COOKIE_REFRESH_TIME) {
      this.#secret = this.#random(SECRET_LENGTH);
      this.#secretSet = now;
    }
    const nonce = this.#random(NONCE_LENGTH);
    const sealedCookie = xchacha20poly1305(this.#cookieKey, nonce, mac1Of(message)).encrypt(this.#cookieFor(source));
    return encodeCookieReply({ receiver, nonce, sealedCookie });
  }

  #cookieFor(source: Uint8Array): Uint8Array {
    return keyedBlake2s(this.#secret, source, MAC_LENGTH);
  }
}

/** The sender's side: puts the MACs on handshake messages to one peer and remembers its cookie. */
export class CookieGenerator {
  readonly #mac1: Blake2sMac;
  readonly #cookieKey: Uint8Array;
  #lastMac1: Uint8Array | undefined;
  #cookie: Uint8Array | undefined;
  #cookieSet = -Infinity;

  /** @param remote The peer's public key. */
  constructor(remote: NodePublic) {
    this.#mac1 = mac1For(remote);
    this.#cookieKey = blake2s(LABEL_COOKIE, remote.bytes);
  }

  /** Fills mac1, and mac2 when there is a cookie young enough. Changes `message`. */
  addMacs(message: Uint8Array, now: number): void {
    const mac1 = computeMac1(this.#mac1, message);
    mac1Of(message).set(mac1);
    this.#lastMac1 = mac1;
    if (this.#cookie === undefined || now - this.#cookieSet > COOKIE_REFRESH_TIME) return;
    mac2Of(message).set(computeMac2(this.#cookie, message));
  }

  /** Takes the cookie of a reply to the last message sent. False: forged, stale or not asked for. */
  consumeReply(message: Uint8Array, now: number): boolean {
    if (this.#lastMac1 === undefined) return false;
    const { nonce, sealedCookie } = decodeCookieReply(message);
    try {
      this.#cookie = xchacha20poly1305(this.#cookieKey, nonce, this.#lastMac1).decrypt(sealedCookie);
    } catch {
      return false;
    }
    this.#cookieSet = now;
    return true;
  }
}
