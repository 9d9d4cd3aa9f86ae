/**
 * The one memory of the data plane, and pointers into it.
 *
 * A shared `WebAssembly.Memory` that is never grown, so that JavaScript, WebAssembly, every worker and the kernel see the
 * same bytes at addresses that never move. `postMessage` its `memory` to a worker and call `attachArena` there.
 *
 *   offset 0   u32  next free offset; reservations by any thread are one compare-and-swap
 *   offset 64  ...  reservations, each 64-byte aligned, never given back
 */

import type { Arena } from "../engine/ports.ts";

const PAGE = 65536;
const ALIGN = 64;

/** An arena that system calls can be pointed at. */
export interface FfiArena extends Arena {
  readonly memory: WebAssembly.Memory;
  /** The address of `offset`, from a bounded cache. */
  pointer(offset: number): Deno.PointerValue;
  /** Stores the 64-bit address of `offset` at `at` (8-byte aligned), as C structures hold it. */
  writePointer(at: number, offset: number): void;
}

class SharedArena implements FfiArena {
  readonly memory: WebAssembly.Memory;
  readonly buffer: SharedArrayBuffer;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly view: DataView;
  readonly #base: bigint;
  readonly #baseLow: number;
  readonly #baseHigh: number;
  // A direct-mapped cache, one line per 16 bytes: packets begin at few places, and an attacker who chooses datagram
  // lengths can only make it miss (53 ns), never make it grow.
  readonly #lines: Deno.PointerValue[];
  readonly #tags: Int32Array;
  readonly #mask: number;

  constructor(memory: WebAssembly.Memory) {
    const buffer: unknown = memory.buffer;
    if (!(buffer instanceof SharedArrayBuffer)) throw new TypeError("Cannot attach arena: its memory is not shared");
    this.memory = memory;
    this.buffer = buffer;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.view = new DataView(buffer);
    this.#base = Deno.UnsafePointer.value(Deno.UnsafePointer.of(this.u8 as Uint8Array<ArrayBuffer>));
    this.#baseLow = Number(this.#base & 0xffffffffn);
    this.#baseHigh = Number(this.#base >> 32n);
    let lines = 1 << 10;
    while (lines < 1 << 18 && lines * 16 < buffer.byteLength) lines *= 2;
    this.#mask = lines - 1;
    this.#tags = new Int32Array(lines).fill(-1);
    this.#lines = new Array(lines).fill(null);
  }

  reserve(bytes: number): number {
    if (!Number.isInteger(bytes) || bytes < 0) throw new RangeError(`Cannot reserve ${bytes} bytes of the arena`);
    const size = Math.ceil(bytes / ALIGN) * ALIGN;
    for (;;) {
      const at = Atomics.load(this.u32, 0);
      if (at + size > this.buffer.byteLength) {
        throw new RangeError(
          `Cannot reserve ${bytes} bytes of the arena: ${
            this.buffer.byteLength - at
          } of ${this.buffer.byteLength} are left`,
        );
      }
      if (Atomics.compareExchange(this.u32, 0, at, at + size) === at) return at;
    }
  }

  pointer(offset: number): Deno.PointerValue {
    const line = (offset >>> 4) & this.#mask;
    if (this.#tags[line] === offset) return this.#lines[line];
    const pointer = Deno.UnsafePointer.create(this.#base + BigInt(offset));
    this.#tags[line] = offset;
    this.#lines[line] = pointer;
    return pointer;
  }

  writePointer(at: number, offset: number): void {
    const low = this.#baseLow + offset;
    const word = at >>> 2;
    this.u32[word] = low;
    this.u32[word + 1] = this.#baseHigh + (low > 0xffffffff ? 1 : 0);
  }
}

/** A new arena of at least `bytes`. Pages are the kernel's to give when first touched, so a generous size costs nothing. */
export function createArena(bytes: number): FfiArena {
  const pages = Math.ceil(bytes / PAGE);
  const arena = new SharedArena(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }));
  Atomics.store(arena.u32, 0, ALIGN);
  return arena;
}

/** The same arena, seen from another thread. */
export function attachArena(memory: WebAssembly.Memory): FfiArena {
  return new SharedArena(memory);
}
