/** Seeded randomness for property tests: a failing run names its seed and can be repeated. */
import type { RandomBytes } from "../../base/keys.ts";

/** xoshiro128** (Blackman and Vigna), seeded by splitmix32. Not for secrets. */
export class SeededRandom {
  readonly seed: number;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    this.seed = seed;
    let state = seed >>> 0;
    const next = () => {
      state = (state + 0x9e3779b9) >>> 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next();
  }

  /** Uniform in [0, 2^32). */
  u32(): number {
    const scrambled = Math.imul(this.#b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** Uniform in [0, 1). */
  float(): number {
    return this.u32() / 2 ** 32;
  }

  /** Uniform in [0, below). */
  int(below: number): number {
    return Math.floor(this.float() * below);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)];
  }

  /** As the product takes its randomness: `random.bytes` is a `RandomBytes`. */
  readonly bytes: RandomBytes = (length) => {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = this.u32() >>> 24;
    return out;
  };
}

/** A copy of `bytes` with one to three mutations: bits flipped, bytes set, cut or lengthened. */
export function mutate(random: SeededRandom, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  let out = new Uint8Array(bytes);
  for (let left = 1 + random.int(3); left > 0; left--) {
    const at = random.int(out.length);
    switch (random.int(4)) {
      case 0:
        if (out.length > 0) out[at] ^= 1 << random.int(8);
        break;
      case 1:
        if (out.length > 0) out[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.int(256)]);
        break;
      case 2:
        out = out.slice(0, at);
        break;
      default: {
        const longer = new Uint8Array(out.length + 1 + random.int(16));
        longer.set(out);
        longer.set(random.bytes(longer.length - out.length), out.length);
        out = longer;
      }
    }
  }
  return out;
}
