/** A limit of so many at once and one more per interval. */
export class TokenBucket {
  readonly #burst: number;
  readonly #intervalMs: number;
  #tokens: number;
  #at = -Infinity;

  constructor(burst: number, intervalMs: number) {
    this.#burst = burst;
    this.#intervalMs = intervalMs;
    this.#tokens = burst;
  }

  /** True when one more is within the limit. */
  take(now: number): boolean {
    const gained = Math.floor((now - this.#at) / this.#intervalMs);
    if (gained > 0) {
      this.#tokens = Math.min(this.#burst, this.#tokens + gained);
      this.#at = this.#tokens === this.#burst ? now : this.#at + gained * this.#intervalMs;
    }
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }
}
