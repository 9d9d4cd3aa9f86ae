/**
 * Watches how long the worker's turns take: what a turn of 5 ms costs is 5 ms of delay for every packet behind it.
 *
 * Two clocks tell a defect from a busy machine. CPU time of this thread is ours: the turn's own work, garbage collection
 * included. Wall time beyond it is what the machine gave to others, or its host to other machines.
 *
 * A turn that is short by the wall clock is short by the other, so the dearer CPU clock is read at the start of a turn now
 * and then, and at the end of long ones only. What is counted is therefore never too little, and at most `SAMPLE_MS` too much.
 */
import type { TurnCounts } from "../config.ts";

/** A turn of more than this is counted, ms. */
const LONG_MS = 5;
/** How old the CPU time at a turn's start may be, ms. */
const SAMPLE_MS = 0.5;

/** Counts long turns. */
export class TurnWatch {
  readonly #cpuTime: () => number;
  #turns = 0;
  #longByCpu = 0;
  #longByWall = 0;
  #longestCpuMs = 0;
  #longestWallMs = 0;
  #begunAt = 0;
  #sampledAt = -Infinity;
  #cpu = 0;

  /** @param cpuTime CPU time of this thread so far, ms. */
  constructor(cpuTime: () => number) {
    this.#cpuTime = cpuTime;
  }

  /** A turn begins at `now`: its waiting is over. */
  begin(now: number): void {
    this.#begunAt = now;
    this.#turns++;
    if (now - this.#sampledAt <= SAMPLE_MS) return;
    this.#sampledAt = now;
    this.#cpu = this.#cpuTime();
  }

  /** It ends at `now`. */
  end(now: number): void {
    const wall = now - this.#begunAt;
    if (wall > this.#longestWallMs) this.#longestWallMs = wall;
    if (wall <= LONG_MS && wall <= this.#longestCpuMs) return;
    const cpu = Math.min(wall, this.#cpuTime() - this.#cpu);
    this.#sampledAt = -Infinity;
    if (cpu > this.#longestCpuMs) this.#longestCpuMs = cpu;
    if (wall > LONG_MS) this.#longByWall++;
    if (cpu > LONG_MS) this.#longByCpu++;
  }

  snapshot(): TurnCounts {
    return {
      turns: this.#turns,
      longByCpu: this.#longByCpu,
      longByWall: this.#longByWall,
      longestCpuMs: this.#longestCpuMs,
      longestWallMs: this.#longestWallMs,
    };
  }
}
