/**
 * ChaCha20-Poly1305 by the WebAssembly kernels: where there is no libcrypto, five times noble's speed and more.
 *
 * Keys lie in the arena, which belongs to the data plane alone. Source: RFC 8439 2.8.
 */

import { instantiateKernels, KERNEL_SCRATCH } from "../engine/dataplane/kernels/kernel_module.ts";
import type { KernelExports } from "../engine/dataplane/kernels/kernel_module.ts";
import type { AeadKey, AeadProvider } from "../engine/ports.ts";
import type { FfiArena } from "./arena.ts";

const KEY = 32;
/** Keys whose place is reserved at once. */
const KEYS_PER_BLOCK = 128;

/** @throws Error where WebAssembly, its SIMD or shared memory is refused. */
export function createWasm(arena: FfiArena): AeadProvider {
  return new Wasm(arena, instantiateKernels(arena.memory));
}

class Wasm implements AeadProvider {
  readonly name = "wasm";
  readonly #arena: FfiArena;
  readonly #kernels: KernelExports;
  readonly #scratch: number;
  /** Offset of each key, 0 when it was freed. */
  readonly #keys: number[] = [];
  readonly #free: AeadKey[] = [];
  readonly #places: number[] = [];

  constructor(arena: FfiArena, kernels: KernelExports) {
    this.#arena = arena;
    this.#kernels = kernels;
    this.#scratch = arena.reserve(KERNEL_SCRATCH);
  }

  createKey(key: Uint8Array, _use: "seal" | "open"): AeadKey {
    if (key.length !== KEY) throw new TypeError(`Cannot key ChaCha20-Poly1305 with ${key.length} bytes: want ${KEY}`);
    const id = this.#free.pop() ?? this.#keys.length;
    if (this.#places.length === 0) {
      const block = this.#arena.reserve(KEYS_PER_BLOCK * KEY);
      for (let i = KEYS_PER_BLOCK - 1; i >= 0; i--) this.#places.push(block + i * KEY);
    }
    this.#keys[id] = this.#places.pop()!;
    this.#arena.u8.set(key, this.#keys[id]);
    return id;
  }

  freeKey(key: AeadKey): void {
    const at = this.#key(key);
    this.#arena.u8.fill(0, at, at + KEY);
    this.#keys[key] = 0;
    this.#places.push(at);
    this.#free.push(key);
  }

  seal(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): void {
    this.#kernels.seal(this.#key(key), this.#scratch, offset, length, counterLow, counterHigh);
  }

  open(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): boolean {
    return this.#kernels.open(this.#key(key), this.#scratch, offset, length, counterLow, counterHigh) !== 0;
  }

  #key(key: AeadKey): number {
    const at = this.#keys[key];
    if (at === undefined || at === 0) throw new TypeError(`Cannot use AEAD key ${key}: it was freed`);
    return at;
  }
}
