/**
 * Tells the server what changed here: endpoints, Hostinfo, the lock's head. Source: controlclient/auto.go updateRoutine.
 *
 * ```
 *   touch ──50 ms──▶ sending ──200──▶ idle            a touch while waiting or sending is one more send, not many
 *                       └──failed──▶ waiting (back-off) ──▶ sending
 * ```
 * Only the status of the answer counts. A streaming poll cannot carry this: servers take it as read-only since
 * capability version 68.
 */
import { type Scheduler, sleep } from "../../base/clock.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { Backoff } from "./backoff.ts";
import type { Request, Transport } from "./connection.ts";
import type { ControlError } from "./errors.ts";
import { statusError } from "./register.ts";

/** Ms in which changes are gathered into one update: endpoints and netcheck change together. */
export const GATHER_DELAY = 50;

export interface LiteUpdateOptions {
  readonly transport: Transport;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: (level: "debug" | "warn", text: string) => void;
  /** The newest state as a request, asked for at each send. */
  readonly call: () => Request;
  /** Each attempt's end. */
  readonly sent: (ok: boolean) => void;
}

/** Sends updates while a poll runs. */
export class LiteUpdate {
  readonly #options: LiteUpdateOptions;
  readonly #backoff: Backoff;
  #stop: AbortController | undefined;
  #dirty = false;
  #running = false;

  constructor(options: LiteUpdateOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
  }

  /** Something changed. Sent soon when started, else at the start. */
  touch(): void {
    this.#dirty = true;
    this.#kick();
  }

  /** Sends from now on; what was touched before too. */
  start(): void {
    if (this.#stop !== undefined) return;
    this.#stop = new AbortController();
    this.#kick();
  }

  /** Sends no more and drops what is under way. */
  stop(): void {
    this.#stop?.abort();
    this.#stop = undefined;
  }

  #kick(): void {
    if (this.#running || !this.#dirty || this.#stop === undefined) return;
    this.#running = true;
    this.#run(this.#stop.signal).catch(() => {}).finally(() => {
      this.#running = false;
      this.#kick();
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { scheduler, log, sent } = this.#options;
    await sleep(scheduler, GATHER_DELAY, signal);
    while (this.#dirty) {
      this.#dirty = false;
      try {
        await this.#send(signal);
        this.#backoff.reset();
        sent(true);
      } catch (error) {
        this.#dirty = true;
        signal.throwIfAborted();
        sent(false);
        const delay = (error as ControlError).retryAfterMs ?? this.#backoff.next();
        log("debug", `lite map update failed, trying again in ${delay} ms: ${(error as Error).message}`);
        await sleep(scheduler, delay, signal);
      }
    }
  }

  async #send(signal: AbortSignal): Promise<void> {
    const { transport, scheduler, random, call } = this.#options;
    // The answer to a lite request may be a whole map frame from an old server; only its status is looked at.
    const answer = await transport.request({ ...call(), limit: 16 << 20 }, signal);
    if (answer.status !== 200) throw statusError("update the map", answer, scheduler.wall(), random);
  }
}
