/** The level of the log, which can be changed while the daemon runs, and for a time only. */
import type { Scheduler, Timer } from "../base/clock.ts";

/** From least to most important. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text);
}

/** What is written: lines of this level and above. */
export class LogThreshold {
  #level: LogLevel;
  #back: { readonly level: LogLevel; readonly at: number; readonly timer: Timer } | undefined;
  #recordings = 0;

  constructor(level: LogLevel) {
    this.#level = level;
  }

  /** What counts now. */
  get level(): LogLevel {
    return this.#recordings > 0 ? "debug" : this.#level;
  }

  /** Unix milliseconds at which the level that was set goes back, undefined for never. */
  get until(): number | undefined {
    return this.#recordings > 0 ? undefined : this.#back?.at;
  }

  passes(level: LogLevel): boolean {
    return this.#recordings > 0 || LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(this.#level);
  }

  /**
   * Writes everything, whatever is set, which counts again afterwards. @param mostMs milliseconds after which it ends by
   * itself. @returns the end of it
   */
  record(mostMs: number, scheduler: Scheduler): () => void {
    let ended = false;
    const end = () => {
      timer.cancel();
      if (!ended) this.#recordings--;
      ended = true;
    };
    const timer = scheduler.after(mostMs, end);
    this.#recordings++;
    return end;
  }

  /** Sets the level, for good. */
  set(level: LogLevel): void {
    this.#back?.timer.cancel();
    this.#back = undefined;
    this.#level = level;
  }

  /** Sets the level for a time, after which it is again what it last was for good. @param forMs milliseconds */
  setFor(level: LogLevel, forMs: number, scheduler: Scheduler): void {
    const before = this.#back?.level ?? this.#level;
    this.set(level);
    this.#back = {
      level: before,
      at: scheduler.wall() + forMs,
      timer: scheduler.after(forMs, () => this.set(before)),
    };
  }

  /** Ends a time that `setFor` began. */
  restore(): void {
    if (this.#back !== undefined) this.set(this.#back.level);
  }
}
