/** The machine's own time. */
import type { Scheduler } from "../../base/clock.ts";

/** Real clocks and timers. */
export const systemScheduler: Scheduler = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};
