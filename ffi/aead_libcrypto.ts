/**
 * ChaCha20-Poly1305 by libcrypto as its manual has it, 1.1 or 3: one Init with the new nonce a packet.
 *
 *   seal   Init(nonce) → Update → Final → ctrl GET_TAG
 *   open   Init(nonce) → ctrl SET_TAG → Update → Final
 *
 * Source: EVP_EncryptInit(3), AEAD Interface.
 */

import type { AeadKey, AeadProvider } from "../engine/ports.ts";
import type { FfiArena } from "./arena.ts";
import { evp, evpFailure, keyedContext } from "./libcrypto.ts";

const CTRL_AEAD_GET_TAG = 0x10;
const CTRL_AEAD_SET_TAG = 0x11;
const TAG = 16;

/** @throws Error where libcrypto is missing. */
export function createLibcrypto(arena: FfiArena): AeadProvider {
  if (evp === undefined) throw new Error(evpFailure);
  return new Libcrypto(arena);
}

class Libcrypto implements AeadProvider {
  readonly name = "libcrypto";
  readonly #arena: FfiArena;
  readonly #contexts: Deno.PointerValue[] = [];
  readonly #free: AeadKey[] = [];
  readonly #nonce: number;
  readonly #noncePointer: Deno.PointerValue;
  readonly #outLength: Deno.PointerValue;

  constructor(arena: FfiArena) {
    this.#arena = arena;
    this.#nonce = arena.reserve(16);
    arena.u8.fill(0, this.#nonce, this.#nonce + 16);
    this.#noncePointer = arena.pointer(this.#nonce);
    this.#outLength = arena.pointer(arena.reserve(8));
  }

  createKey(key: Uint8Array, use: "seal" | "open"): AeadKey {
    const id = this.#free.pop() ?? this.#contexts.length;
    this.#contexts[id] = keyedContext(evp!, key, use);
    return id;
  }

  freeKey(key: AeadKey): void {
    evp!.EVP_CIPHER_CTX_free(this.#context(key));
    this.#contexts[key] = null;
    this.#free.push(key);
  }

  seal(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): void {
    const context = this.#context(key);
    this.#arena.u32[(this.#nonce >> 2) + 1] = counterLow;
    this.#arena.u32[(this.#nonce >> 2) + 2] = counterHigh;
    const data = this.#arena.pointer(offset);
    if (
      evp!.EVP_EncryptInit_ex(context, null, null, null, this.#noncePointer) !== 1 ||
      (length !== 0 && evp!.EVP_EncryptUpdate(context, data, this.#outLength, data, length) !== 1) ||
      evp!.EVP_EncryptFinal_ex(context, data, this.#outLength) !== 1 ||
      evp!.EVP_CIPHER_CTX_ctrl(context, CTRL_AEAD_GET_TAG, TAG, this.#arena.pointer(offset + length)) !== 1
    ) throw new Error(`Cannot seal ${length} bytes: libcrypto failed`);
  }

  open(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): boolean {
    const context = this.#context(key);
    this.#arena.u32[(this.#nonce >> 2) + 1] = counterLow;
    this.#arena.u32[(this.#nonce >> 2) + 2] = counterHigh;
    const data = this.#arena.pointer(offset);
    return evp!.EVP_DecryptInit_ex(context, null, null, null, this.#noncePointer) === 1 &&
      evp!.EVP_CIPHER_CTX_ctrl(context, CTRL_AEAD_SET_TAG, TAG, this.#arena.pointer(offset + length)) === 1 &&
      (length === 0 || evp!.EVP_DecryptUpdate(context, data, this.#outLength, data, length) === 1) &&
      evp!.EVP_DecryptFinal_ex(context, data, this.#outLength) === 1;
  }

  #context(key: AeadKey): Deno.PointerValue {
    const context = this.#contexts[key];
    if (context === null || context === undefined) throw new TypeError(`Cannot use AEAD key ${key}: it was freed`);
    return context;
  }
}
