/**
 * A loop that does nothing but read the CPU time of its thread: what passes between two readings is not the loop's.
 * A host that takes a CPU away without saying so puts that time on the account of whoever ran, and this shows how much.
 *
 *   clock_program.ts SECONDS    prints one line, a `ClockSample` as JSON
 */
import { createArena } from "../../ffi/arena.ts";
import { createCpuClock } from "../../ffi/cpu_clock.ts";

/** What a loop without work was charged. */
export interface ClockSample {
  /** CPU time it had, s. */
  readonly cpuSeconds: number;
  /** Steps of more than 1, 2 and 5 ms between two readings. */
  readonly steps: readonly [over1: number, over2: number, over5: number];
  readonly longestMs: number;
}

if (import.meta.main) {
  const cpu = createCpuClock(createArena(1 << 16));
  const end = performance.now() + Number(Deno.args[0]) * 1000;
  const steps: [number, number, number] = [0, 0, 0];
  let longestMs = 0;
  // The first readings compile the loop.
  for (let i = 0; i < 100_000; i++) cpu();
  const begun = cpu();
  for (let last = begun, readings = 1; readings % 1024 !== 0 || performance.now() < end; readings++) {
    const now = cpu();
    const step = now - last;
    last = now;
    if (step < 1) continue;
    for (const [i, limit] of [1, 2, 5].entries()) if (step > limit) steps[i]++;
    longestMs = Math.max(longestMs, step);
  }
  console.log(JSON.stringify({ cpuSeconds: (cpu() - begun) / 1000, steps, longestMs } satisfies ClockSample));
}
