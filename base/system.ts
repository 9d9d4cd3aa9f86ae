/** The machine's own time and randomness, for whoever puts a daemon, a coordinator or a tool together. Nothing pure imports this. */
import type { Scheduler } from "./clock.ts";
import type { RandomBytes } from "./keys.ts";

/** Real clocks and timers. A timer keeps the process alive until it is cancelled. */
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
