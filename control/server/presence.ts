/**
 * Who is online: a node with a map poll open.
 *
 * ```
 *   offline ── poll opens ──▶ online ── last poll ends ──▶ leaving ── graceMs ──▶ offline, last seen stored
 *                               ▲                             │
 *                               └──────── poll opens ─────────┘
 * ```
 * Clients close and reopen their poll now and then; the grace keeps their peers from hearing of it.
 */
import type { Scheduler, Timer } from "../../base/clock.ts";
import type { Tailnet } from "./tailnet.ts";

/** Counts polls and tells the tailnet. */
export class Presence {
  readonly #tailnet: Tailnet;
  readonly #scheduler: Scheduler;
  readonly #graceMs: number;
  readonly #polls = new Map<number, number>();
  readonly #leaving = new Map<number, Timer>();

  constructor(tailnet: Tailnet, scheduler: Scheduler, graceMs: number) {
    this.#tailnet = tailnet;
    this.#scheduler = scheduler;
    this.#graceMs = graceMs;
  }

  /** A poll of the node opened. @returns to be called once, when it ended. */
  enter(nodeId: number): () => void {
    this.#polls.set(nodeId, (this.#polls.get(nodeId) ?? 0) + 1);
    this.#leaving.get(nodeId)?.cancel();
    this.#leaving.delete(nodeId);
    this.#set(nodeId, true);
    return () => this.#leave(nodeId);
  }

  /** Forgets pending departures; what is online stays so for whoever reads it. */
  close(): void {
    for (const timer of this.#leaving.values()) timer.cancel();
    this.#leaving.clear();
  }

  #leave(nodeId: number): void {
    const polls = this.#polls.get(nodeId)! - 1;
    if (polls > 0) return void this.#polls.set(nodeId, polls);
    this.#polls.delete(nodeId);
    const timer = this.#scheduler.after(this.#graceMs, () => {
      this.#leaving.delete(nodeId);
      this.#set(nodeId, false);
    });
    this.#leaving.set(nodeId, timer);
  }

  #set(nodeId: number, online: boolean): void {
    // A store that fails here costs a "last seen" only; it will be heard of at the next registration.
    this.#tailnet.setOnline(nodeId, online, this.#scheduler.wall()).catch(() => {});
  }
}
