/** Wakes the backend when the next key expires. Source: LocalBackend.setControlClientStatusLocked (nmExpiryTimer). */
import type { Scheduler, Timer } from "../base/clock.ts";

/** Clocks differ a little; a key is looked at this long after its time. */
const SLACK_MS = 10_000;
/** Longest single timer: `setTimeout` counts 31 bits, and wall clocks are set. A later expiry is reached in several. */
const LONGEST_MS = 24 * 3_600_000;

/** One timer, armed anew with every netmap. */
export class ExpiryTimer {
  readonly #scheduler: Scheduler;
  readonly #run: () => void;
  #timer: Timer | undefined;

  constructor(scheduler: Scheduler, run: () => void) {
    this.#scheduler = scheduler;
    this.#run = run;
  }

  /** @param inMs until the next expiry by control's clock, undefined for none. */
  arm(inMs: number | undefined): void {
    this.cancel();
    if (inMs === undefined) return;
    this.#timer = this.#scheduler.after(Math.min(Math.max(inMs, 0) + SLACK_MS, LONGEST_MS), this.#run);
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
