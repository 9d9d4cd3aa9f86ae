/** A rate with a burst: tokens flow in at a steady rate up to a depth, and each use takes some out. */

/** Counts tokens against the caller's clock. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #depth: number;
  #tokens: number;
  #filledAt: number;

  /** @param perSecond tokens a second. @param depth most tokens, and those at the start. @param now milliseconds. */
  constructor(perSecond: number, depth: number, now: number) {
    this.#perMs = perSecond / 1000;
    this.#depth = this.#tokens = depth;
    this.#filledAt = now;
  }

  /** Takes `count` tokens if there are as many. */
  take(count: number, now: number): boolean {
    this.#tokens = Math.min(this.#depth, this.#tokens + Math.max(0, now - this.#filledAt) * this.#perMs);
    this.#filledAt = now;
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }
}
