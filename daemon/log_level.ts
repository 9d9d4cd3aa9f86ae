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

  constructor(level: LogLevel) {
    this.#level = level;
  }

  get level(): LogLevel {
    return this.#level;
  }

  /** Unix milliseconds at which the level goes back, undefined for never. */
  get until(): number | undefined {
    return this.#back?.at;
  }

  passes(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(this.#level);
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
