/** The machine's own time and randomness, for whoever puts a coordinator together. */
import type { Scheduler } from "../../base/clock.ts";
import type { RandomBytes } from "../../base/keys.ts";

/** Real clocks and timers. */
export const systemScheduler: Scheduler = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** The kernel's randomness. */
export const systemRandom: RandomBytes = (length) => crypto.getRandomValues(new Uint8Array(length));
