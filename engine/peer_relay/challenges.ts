/**
 * What a client must repeat to show that it receives at the address it sends from: a MAC over that address and the
 * handshake, so that the server keeps nothing about addresses that never answer.
 *
 * Source: tailscale.com/net/udprelay `blakeMACFromBindMsg`, `maybeRotateMACSecretLocked`.
 */
import { keyedBlake2s } from "../../base/blake2s.ts";
import { concat, equalBytes } from "../../base/bytes.ts";
import type { RandomBytes } from "../../base/keys.ts";
import type { AddrId, AddrTable } from "../ports.ts";
import { CHALLENGE_LENGTH } from "../magicsock/disco_relay.ts";
import type { BindFields } from "../magicsock/disco_relay.ts";
import { SECRET_ROTATION_MS } from "./constants.ts";

const SECRET_LENGTH = 32;

/** Makes and checks challenges, under a secret that changes every two minutes. */
export class Challenges {
  readonly #random: RandomBytes;
  readonly #addrs: AddrTable;
  /** The present one first, at most two. */
  #secrets: readonly Uint8Array[] = [];
  #rotatedAt = -Infinity;

  constructor(random: RandomBytes, addrs: AddrTable) {
    this.#random = random;
    this.#addrs = addrs;
  }

  /** 32 bytes for a handshake with whoever is at `from`. */
  make(fields: Omit<BindFields, "challenge">, from: AddrId, now: number): Uint8Array {
    this.#rotate(now);
    return this.#mac(this.#secrets[0], fields, from);
  }

  /** True when `fields.challenge` was made for `from` and this handshake, at most four minutes ago. */
  check(fields: BindFields, from: AddrId, now: number): boolean {
    this.#rotate(now);
    // Who sends it is authenticated already: the time a comparison takes tells nothing worth knowing.
    return this.#secrets.some((secret) => equalBytes(this.#mac(secret, fields, from), fields.challenge));
  }

  #mac(secret: Uint8Array, { vni, generation, remote }: Omit<BindFields, "challenge">, from: AddrId): Uint8Array {
    const numbers = new Uint8Array(10);
    const view = new DataView(numbers.buffer);
    view.setUint32(0, vni);
    view.setUint32(4, generation);
    view.setUint16(8, this.#addrs.port(from));
    return keyedBlake2s(secret, concat(numbers, remote, this.#addrs.ip(from)), CHALLENGE_LENGTH);
  }

  #rotate(now: number): void {
    if (now - this.#rotatedAt < SECRET_ROTATION_MS) return;
    // After a long silence the last secret is old: what was made with it is not to be believed.
    const recent = now - this.#rotatedAt < 2 * SECRET_ROTATION_MS ? this.#secrets.slice(0, 1) : [];
    this.#secrets = [this.#random(SECRET_LENGTH), ...recent];
    this.#rotatedAt = now;
  }
}
