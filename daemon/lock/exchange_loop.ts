/**
 * When the lock speaks with control: one exchange at a time, again after what went wrong, and not again about what is
 * settled before something changes.
 *
 *          wake                    done: settled, until the situation is another
 *   idle ───────▶ exchange ──┬───▶ mendable: asked again in 5 minutes, as control may correct itself without saying so
 *     ▲                      └───▶ failed: asked again after a back-off that grows from 2 s to 5 minutes
 *     └── overtaken: what comes of an exchange of another session or profile is dropped
 */
import type { Scheduler, Timer } from "../../base/clock.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { Backoff } from "../../control/client/backoff.ts";

/** An exchange is no longer wanted: another session or profile took its place. */
class Overtaken extends Error {
  override readonly name = "Overtaken";
}

/** An exchange that could be begun now. */
export interface Task {
  /** All it depends on, as a text: what was settled in one situation is not asked again in it. */
  situation(): string;
  /** @param check throws when the exchange is overtaken; to be called after each wait. */
  run(check: () => void): Promise<"settled" | "mendable">;
}

export interface ExchangeLoopOptions {
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  /** What is to be done now; undefined for nothing. */
  readonly next: () => Task | undefined;
  /** Says why an exchange failed. Returns milliseconds to wait at least. */
  readonly failed: (cause: unknown) => number;
  /** Called after every exchange that was not overtaken. */
  readonly changed: () => void;
}

const RETRY_UNIT_MS = 2_000;
const RETRY_CAP_MS = 300_000;

/** Runs exchanges. */
export class ExchangeLoop {
  readonly #options: ExchangeLoopOptions;
  readonly #backoff: Backoff;
  #epoch = 0;
  #running: Promise<void> | undefined;
  #again = false;
  #settled = "";
  #retry: Timer | undefined;

  constructor(options: ExchangeLoopOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random, RETRY_UNIT_MS, RETRY_CAP_MS);
  }

  /** Something may have changed. */
  wake(): void {
    this.#again = true;
    this.#running ??= this.#run();
  }

  /** Forgets what was settled and what is waited for. */
  tryAgain(): void {
    this.#settled = "";
    this.#backoff.reset();
    this.#retry?.cancel();
    this.#retry = undefined;
    this.wake();
  }

  /** The exchange under way is no longer wanted. */
  overtake(): void {
    this.#epoch++;
  }

  /** Resolves when no exchange is under way. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** No timer is left behind. */
  close(): void {
    this.overtake();
    this.#retry?.cancel();
    this.#retry = undefined;
  }

  async #run(): Promise<void> {
    // Begins behind the assignment of this very promise.
    await Promise.resolve();
    try {
      while (this.#again) {
        this.#again = false;
        await this.#turn();
      }
    } finally {
      this.#running = undefined;
    }
  }

  /** One exchange, if one is wanted. Never rejects. */
  async #turn(): Promise<void> {
    const task = this.#options.next();
    if (task === undefined || this.#retry !== undefined || task.situation() === this.#settled) return;
    const epoch = this.#epoch;
    try {
      const end = await task.run(() => {
        if (epoch !== this.#epoch) throw new Overtaken();
      });
      // Overtaken behind its last wait: what it says of then settles nothing now.
      if (epoch !== this.#epoch) return;
      this.#backoff.reset();
      this.#settled = end === "settled" ? task.situation() : "";
      this.#again = true;
      if (end === "mendable") this.#retryIn(RETRY_CAP_MS);
    } catch (cause) {
      if (epoch !== this.#epoch) return;
      this.#retryIn(Math.max(this.#options.failed(cause), this.#backoff.next()));
    }
    this.#options.changed();
  }

  #retryIn(delayMs: number): void {
    this.#retry?.cancel();
    this.#retry = this.#options.scheduler.after(delayMs, () => {
      this.#retry = undefined;
      this.wake();
    });
  }
}
