// The byte stream both ends of a transfer know from its seed; stream.go is the Go twin.

import { createHash } from "node:crypto";

/**
 * An endless stream of bytes: successive states of Marsaglia's xorshift32 (13, 17, 5), each written as four bytes,
 * little end first. Seed 0 stands for 1. Source: G. Marsaglia, "Xorshift RNGs" (2003).
 */
export class SeededBytes {
  #x: number;
  readonly #word = new Uint8Array(4);
  #left = 0;

  constructor(seed: number) {
    this.#x = (seed >>> 0) || 1;
  }

  /** Overwrites all of `out` with the next bytes of the stream. */
  fill(out: Uint8Array): void {
    let at = 0;
    while (this.#left > 0 && at < out.length) out[at++] = this.#word[4 - this.#left--];
    for (; out.length - at >= 4; at += 4) this.#step(out, at);
    if (at < out.length) {
      this.#step(this.#word, 0);
      const rest = out.length - at;
      out.set(this.#word.subarray(0, rest), at);
      this.#left = 4 - rest;
    }
  }

  #step(out: Uint8Array, at: number): void {
    let x = this.#x;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#x = x;
    out[at] = x;
    out[at + 1] = x >>> 8;
    out[at + 2] = x >>> 16;
    out[at + 3] = x >>> 24;
  }
}

/** The SHA-256, in hex, of the first `length` bytes of the stream of `seed`. */
export function seededSha256(seed: number, length: number): string {
  const stream = new SeededBytes(seed);
  const hash = createHash("sha256");
  const chunk = new Uint8Array(1 << 16);
  for (let left = length; left > 0; left -= chunk.length) {
    const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
    stream.fill(part);
    hash.update(part);
  }
  return hash.digest("hex");
}
