/** The machine's clock, for tests over real sockets. */
import type { Scheduler } from "../../base/clock.ts";

export const realScheduler: Scheduler = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, run) {
    const id = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(id) };
  },
};
