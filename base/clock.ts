/** Time as a port: what waits takes a scheduler, so that tests run hours in milliseconds. */

/** Milliseconds. `wall` is Unix time and may jump; `monotonic` never goes back and means nothing by itself. */
export interface Clock {
  wall(): number;
  monotonic(): number;
}

/** A pending call. */
export interface Timer {
  cancel(): void;
}

/** A clock that can also wait. */
export interface Scheduler extends Clock {
  /** Calls `run` once after `delayMs`. */
  after(delayMs: number, run: () => void): Timer;
}

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(scheduler: Scheduler, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      timer.cancel();
      reject(signal!.reason);
    };
    const timer = scheduler.after(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
