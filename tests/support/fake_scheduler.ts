/** Time that only moves when a test says so. */
import type { Scheduler, Timer } from "../../base/clock.ts";

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** A scheduler whose clock stands still between calls of `advance`. */
export class FakeScheduler implements Scheduler {
  #now = 0;
  #order = 0;
  #pending: Pending[] = [];
  readonly #startWall: number;

  /** @param startWall Unix milliseconds at the start. */
  constructor(startWall = Date.UTC(2026, 0, 1)) {
    this.#startWall = startWall;
  }

  wall(): number {
    return this.#startWall + this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  /** Timers that would still fire. */
  get pending(): number {
    return this.#pending.length;
  }

  after(delayMs: number, run: () => void): Timer {
    const entry = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    this.#pending.push(entry);
    return { cancel: () => this.#pending = this.#pending.filter((other) => other !== entry) };
  }

  /** Lets all that is ready run: promises, and the callbacks of in-memory streams. */
  settle(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** Moves on by `ms`, running what becomes due in order; promises settle before, between and after. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (let next = this.#due(end); next !== undefined; next = this.#due(end)) {
      this.#now = next.at;
      next.run();
      await this.settle();
    }
    this.#now = end;
  }

  /** As `advance`, without waiting for promises: for code that has none, hours in microseconds. */
  advanceSync(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#due(end); next !== undefined; next = this.#due(end)) {
      this.#now = next.at;
      next.run();
    }
    this.#now = end;
  }

  #due(end: number): Pending | undefined {
    let first: Pending | undefined;
    for (const entry of this.#pending) {
      if (entry.at > end) continue;
      if (first === undefined || entry.at < first.at || (entry.at === first.at && entry.order < first.order)) {
        first = entry;
      }
    }
    if (first !== undefined) this.#pending = this.#pending.filter((entry) => entry !== first);
    return first;
  }
}
