/** Growing, scattered pauses between tries. Source: util/backoff: n² × 10 ms, times 0.5 to 1.5, at most 30 s. */
import { sleep } from "../base/clock.ts";
import type { Scheduler } from "../base/clock.ts";
import type { RandomBytes } from "../base/keys.ts";

const MOST_MS = 30_000;

/** Counts failures in a row. */
export class BackOff {
  readonly #scheduler: Scheduler;
  readonly #random: RandomBytes;
  #failures = 0;

  constructor(scheduler: Scheduler, random: RandomBytes) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  reset(): void {
    this.#failures = 0;
  }

  /** Waits after one more failure, at least `leastMs`. Rejects with the signal's reason when aborted. */
  wait(signal: AbortSignal, leastMs = 0): Promise<void> {
    this.#failures++;
    const base = Math.min(this.#failures ** 2 * 10, MOST_MS);
    const scattered = Math.min(base * (0.5 + this.#random(1)[0] / 255), MOST_MS);
    return sleep(this.#scheduler, Math.max(scattered, leastMs), signal);
  }
}
