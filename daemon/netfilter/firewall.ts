/**
 * Keeps the kernel's packet filter as the node needs it, whoever else changes it.
 *
 * ```
 *   set(state) ─▶ ruleset changed? ─▶ list ─▶ script ─▶ apply, whole or not at all ─▶ list: remember what it became
 *   repair(), or every 10 s where the kernel does not tell of changes
 *              ─▶ list: as remembered? ── yes ─▶ nothing
 *                         └─ no: flushed, displaced ─▶ as after set(), at most once in 2 s
 * ```
 * Work is done one piece after another, and what is overtaken by a newer state is left out. A failure is told once, tried
 * again at the next change, and never stops the node.
 */
import type { Scheduler, Timer } from "../../base/clock.ts";
import type { Instance } from "../instance.ts";
import type { Log } from "../log.ts";
import { NO_RULES, rulesetOf } from "./ruleset.ts";
import type { FirewallState, Ruleset } from "./ruleset.ts";

/** What the kernel's filter is reached by: nft, or iptables. */
export interface FilterBackend {
  /** For `status`. */
  readonly name: string;
  /** The kernel does not tell when others change what this one reaches. */
  readonly silent: boolean;
  /** What the kernel holds of the instance, to compare with; a line on what cannot be done, "" when all can. */
  look(): Promise<{ readonly print: string; readonly limit: string }>;
  /** Makes it hold the ruleset. @throws Error with the program's own words. */
  apply(ruleset: Ruleset, tun: string): Promise<void>;
  /** Takes all of the instance away. @throws Error */
  remove(): Promise<void>;
}

/** What a firewall is made of. */
export interface FirewallOptions {
  readonly instance: Instance;
  /** @throws ProgramMissing */
  readonly backend: () => Promise<FilterBackend>;
  /** Families this machine has. */
  readonly families: () => readonly (4 | 6)[];
  readonly scheduler: Scheduler;
  readonly log: Log;
  /** Told of trouble, "" when it is over. */
  readonly problem: (text: string) => void;
}

/** Two programs that each want to be first must not keep each other busy. */
const REPAIR_EVERY_MS = 2_000;
/** How often is looked where nobody tells of changes. */
const LOOK_EVERY_MS = 10_000;

/** The packet filter of one node. */
export class Firewall {
  readonly #options: FirewallOptions;
  #state: FirewallState | undefined;
  #wanted = "";
  /** What was made the kernel's last, as `#wanted` has it, and what that looked like there; undefined after a failure. */
  #held: { readonly wanted: string; readonly print: string } | undefined;
  #work: Promise<void> = Promise.resolve();
  #queued = false;
  #repairedAt = -Infinity;
  #closed = false;
  #backend: FilterBackend | undefined;
  /** Ends the wait for the next look, where nobody tells. */
  #looking: Timer | undefined;

  constructor(options: FirewallOptions) {
    this.#options = options;
  }

  /** Name of the program in use, "" while there is none or nothing to do. */
  get backendName(): string {
    return this.#state === undefined || this.#state.mode === "off" ? "" : this.#backend?.name ?? "";
  }

  /** What is in force, or about to be. */
  get state(): FirewallState | undefined {
    return this.#state;
  }

  /** Makes the filter follow from this state. Undefined: nothing of ours. */
  set(state: FirewallState | undefined): void {
    this.#state = state;
    const wanted = JSON.stringify([state, this.#options.families()]);
    if (wanted === this.#wanted && this.#held?.wanted === wanted) return;
    this.#wanted = wanted;
    this.#enqueue();
  }

  /** Somebody changed the kernel's filter: puts back what is missing. */
  repair(): void {
    if (this.#state !== undefined && this.#state.mode !== "off") this.#enqueue();
  }

  /** Resolves when all that was asked for is done, or has failed. */
  get settled(): Promise<void> {
    return this.#work;
  }

  /** Takes everything away. @param held after a fault: everything stays, for the next start or `--cleanup`. */
  async close(held = false): Promise<void> {
    if (!held) this.set(undefined);
    this.#closed = true;
    this.#looking?.cancel();
    await this.#work;
  }

  #enqueue(): void {
    if (this.#queued || this.#closed) return;
    this.#queued = true;
    this.#work = this.#work.then(async () => {
      this.#queued = false;
      await this.#bring();
      this.#lookLater();
    });
  }

  #lookLater(): void {
    const idle = this.#closed || this.backendName === "" || this.#backend?.silent !== true;
    if (idle || this.#looking !== undefined) return;
    this.#looking = this.#options.scheduler.after(LOOK_EVERY_MS, () => {
      this.#looking = undefined;
      this.repair();
    });
  }

  async #bring(): Promise<void> {
    const { log, problem, families, instance, scheduler } = this.#options;
    const state = this.#state;
    const wanted = this.#wanted;
    const kept = this.#held?.wanted === wanted ? this.#held.print : undefined;
    const ruleset = state === undefined ? NO_RULES : rulesetOf(state, instance, families());
    try {
      const empty = ruleset.shared.length === 0;
      // Where nothing is wanted and nothing of ours was ever there, a missing program is nobody's trouble.
      const backend = this.#backend ??= await this.#options.backend();
      const now = await backend.look();
      if (now.print === kept) return problem(now.limit);
      if (kept !== undefined) {
        const wait = this.#repairedAt + REPAIR_EVERY_MS - scheduler.monotonic();
        if (wait > 0) return void scheduler.after(wait, () => this.repair());
        this.#repairedAt = scheduler.monotonic();
        log.info("the packet filter was changed by another program; ours is put back");
      }
      if (empty) await backend.remove();
      else await backend.apply(ruleset, state!.tun);
      const after = await backend.look();
      this.#held = { wanted, print: after.print };
      problem(after.limit);
    } catch (cause) {
      // Tried again at the next change, ours or another's.
      this.#held = undefined;
      if (ruleset.shared.length === 0) return problem("");
      problem(cause instanceof Error ? cause.message : String(cause));
    }
  }
}
