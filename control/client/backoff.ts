/** Delays between tries, and how long a server that says 429 is left alone. Pure. Source: util/backoff, direct.go. */
import type { RandomBytes } from "../../base/keys.ts";

/** A number in [0, 1) with 32 bits of randomness. */
export function unitRandom(random: RandomBytes): number {
  return new DataView(random(4).buffer).getUint32(0) / 0x1_0000_0000;
}

/** Growing delays: the square of the failures so far, capped, times 0.5 to 1.5 so that a herd spreads out. */
export class Backoff {
  readonly #random: RandomBytes;
  readonly #unitMs: number;
  readonly #capMs: number;
  #failures = 0;

  /** @param unitMs mean delay after the first failure. */
  constructor(random: RandomBytes, unitMs = 100, capMs = 30_000) {
    this.#random = random;
    this.#unitMs = unitMs;
    this.#capMs = capMs;
  }

  /** Ms to wait after one more failure; never more than 1.5 times the cap. */
  next(): number {
    this.#failures++;
    const mean = Math.min(this.#failures * this.#failures * this.#unitMs, this.#capMs);
    return Math.round(mean * (0.5 + unitRandom(this.#random)));
  }

  /** After a success. */
  reset(): void {
    this.#failures = 0;
  }
}

const HOUR = 3_600_000;

/**
 * Ms to wait after a 429. Seconds or an HTTP date are obeyed; a value that is absent, malformed, not in the future or
 * beyond an hour is replaced by 5 to 10 seconds: neither a mistake nor malice of a server may stop a node for good.
 * @param now Unix ms.
 */
export function retryAfter(header: string | undefined, now: number, random: RandomBytes): number {
  const text = header?.trim() ?? "";
  const wait = /^[0-9]+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  if (wait > 0 && wait <= HOUR) return wait;
  return 5000 + Math.floor(unitRandom(random) * 5000);
}
