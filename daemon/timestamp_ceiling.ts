/**
 * Timestamps of handshake initiations over restarts: a peer refuses one that is not above the last it saw, for as long as
 * it lives (whitepaper 5.1), so a clock that was set back, or that begins at 1970, must not be what they come from.
 *
 * ```
 *   stored ceiling ──▶ floor of this run         the worker takes each from the clock, above the last, at most the ceiling
 *                      │
 *   clock above it:  ceiling = clock + 5 min     stored anew while handshakes go on and 2 min or less are left
 *   clock below it:  ceiling = floor + 1 s       room for 10^9 of them: a crash an hour moves it by a second an hour
 *   end in order:    stored = the last one used  so that another program can go on with this node at once
 * ```
 * In the state store under `_agent-timestamp-ceiling`: nanoseconds since 1970 in decimal.
 */
import { fromUtf8, utf8 } from "../base/bytes.ts";
import type { Scheduler, Timer } from "../base/clock.ts";
import { StateFileError } from "./state_file.ts";
import type { StateStore } from "./state_file.ts";

const KEY = "_agent-timestamp-ceiling";
const SECOND = 1_000_000_000n;
const AHEAD = 300n * SECOND;
const LEFT = 120n * SECOND;
const BEHIND_CLOCK = SECOND;
/** The year 2255. */
const LATEST = 9_000_000_000n * SECOND;
const LOOK_MS = 10_000;

/** Cells of the memory shared with the worker. */
const FLOOR = 0;
const CEILING = 1;
const LAST = 2;

/** The worker's side of it: `TimestampBounds`. */
export function timestampBounds(
  shared: SharedArrayBuffer,
): { floor: bigint; ceiling(): bigint; used(nanos: bigint): void } {
  const cells = new BigInt64Array(shared);
  return {
    floor: Atomics.load(cells, FLOOR),
    ceiling: () => Atomics.load(cells, CEILING),
    used: (nanos) => void Atomics.store(cells, LAST, nanos),
  };
}

/** What it needs. */
export interface TimestampCeilingOptions {
  readonly store: StateStore;
  readonly scheduler: Scheduler;
  readonly warn: (text: string) => void;
}

/** The main thread's side. */
export class TimestampCeiling {
  /** For the worker. */
  readonly shared = new SharedArrayBuffer(3 * 8);
  readonly #cells = new BigInt64Array(this.shared);
  readonly #options: TimestampCeilingOptions;
  #timer: Timer | undefined;
  #failed = false;

  /** Writes nothing yet, for the rest of the state may be unusable. @throws StateFileError when what is stored is damaged. */
  constructor(options: TimestampCeilingOptions) {
    this.#options = options;
    const bytes = options.store.read(KEY);
    const text = bytes === undefined ? "0" : fromUtf8(bytes) ?? "";
    if (!/^[0-9]{1,19}$/.test(text) || BigInt(text) > LATEST) {
      throw new StateFileError(`Cannot use the saved state: the value of ${JSON.stringify(KEY)} is damaged`);
    }
    const floor = BigInt(text);
    this.#cells[FLOOR] = floor;
    this.#cells[LAST] = floor;
    this.#cells[CEILING] = floor;
  }

  /** Before the first handshake. A store that fails is a warning: the node works, and only a crash could do harm. */
  begin(): void {
    const floor = this.#cells[FLOOR];
    const now = this.#now();
    const ceiling = now > floor ? now + AHEAD : floor + BEHIND_CLOCK;
    try {
      this.#raise(ceiling);
    } catch (cause) {
      this.#warn(cause);
      Atomics.store(this.#cells, CEILING, ceiling);
    }
    this.#look();
  }

  /** The engine has ended: nothing more is sent. */
  close(): void {
    if (this.#timer === undefined) return;
    this.#timer.cancel();
    try {
      this.#options.store.write(KEY, utf8(String(Atomics.load(this.#cells, LAST))));
    } catch {
      // The ceiling that is stored is above it.
    }
  }

  #now(): bigint {
    return BigInt(Math.floor(this.#options.scheduler.wall())) * 1_000_000n;
  }

  #look(): void {
    this.#timer = this.#options.scheduler.after(LOOK_MS, () => {
      const last = Atomics.load(this.#cells, LAST);
      const ceiling = this.#cells[CEILING];
      const now = this.#now();
      // Only while handshakes go on: an idle node writes nothing.
      const busy = last > ceiling - LEFT && last > this.#cells[FLOOR];
      try {
        if (busy && now > ceiling - LEFT) this.#raise(now + AHEAD);
        else if (busy && now <= last && last > ceiling - BEHIND_CLOCK / 4n) this.#raise(last + BEHIND_CLOCK);
        this.#failed = false;
      } catch (cause) {
        // What is sent meanwhile stays below the old ceiling.
        this.#warn(cause);
      }
      this.#look();
    });
  }

  /** Once, until the store works again. */
  #warn(cause: unknown): void {
    if (!this.#failed) this.#options.warn(cause instanceof Error ? cause.message : String(cause));
    this.#failed = true;
  }

  /** Stored first, used then. */
  #raise(ceiling: bigint): void {
    this.#options.store.write(KEY, utf8(String(ceiling)));
    Atomics.store(this.#cells, CEILING, ceiling);
  }
}
