/**
 * ChaCha20-Poly1305 in plain JavaScript: the provider that is always there, and the slowest (0.07 GB/s).
 *
 * It works on private copies, because other threads see the arena. Source: RFC 8439 2.8.
 */

import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import type { AeadKey, AeadProvider, Arena } from "../engine/ports.ts";

const TAG = 16;

export function createNoble(arena: Arena): AeadProvider {
  return new Noble(arena);
}

class Noble implements AeadProvider {
  readonly name = "noble";
  readonly #arena: Arena;
  readonly #keys: (Uint8Array | undefined)[] = [];
  readonly #free: AeadKey[] = [];
  readonly #nonce = new Uint8Array(12);
  readonly #nonceView = new DataView(this.#nonce.buffer);

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  createKey(key: Uint8Array, _use: "seal" | "open"): AeadKey {
    if (key.length !== 32) throw new TypeError(`Cannot key ChaCha20-Poly1305 with ${key.length} bytes: want 32`);
    const id = this.#free.pop() ?? this.#keys.length;
    this.#keys[id] = key.slice();
    return id;
  }

  freeKey(key: AeadKey): void {
    this.#key(key).fill(0);
    this.#keys[key] = undefined;
    this.#free.push(key);
  }

  seal(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): void {
    const sealed = this.#cipher(key, counterLow, counterHigh).encrypt(this.#arena.u8.slice(offset, offset + length));
    this.#arena.u8.set(sealed, offset);
  }

  open(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): boolean {
    const cipher = this.#cipher(key, counterLow, counterHigh);
    let plain: Uint8Array;
    try {
      plain = cipher.decrypt(this.#arena.u8.slice(offset, offset + length + TAG));
    } catch {
      return false;
    }
    this.#arena.u8.set(plain, offset);
    return true;
  }

  #cipher(key: AeadKey, counterLow: number, counterHigh: number): ReturnType<typeof chacha20poly1305> {
    this.#nonceView.setUint32(4, counterLow, true);
    this.#nonceView.setUint32(8, counterHigh, true);
    return chacha20poly1305(this.#key(key), this.#nonce);
  }

  #key(key: AeadKey): Uint8Array {
    const bytes = this.#keys[key];
    if (bytes === undefined) throw new TypeError(`Cannot use AEAD key ${key}: it was freed`);
    return bytes;
  }
}
