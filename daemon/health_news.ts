/**
 * What is wrong, told as it comes and goes: to watchers and in the log, at every turn of the backend, and at the moment
 * when time alone changes it.
 */
import type { Scheduler, Timer } from "../base/clock.ts";
import type { Bus } from "./bus.ts";
import type { Health } from "./health.ts";
import { HealthLog } from "./health_log.ts";
import type { BackendFacts, HealthWatch } from "./health_watch.ts";
import type { Log } from "./log.ts";

/** How often time alone is allowed to change the health. */
const INTERVAL_MS = 5_000;

/** What news are made from. */
export interface HealthNewsPorts {
  readonly health: Health;
  readonly watch: HealthWatch;
  readonly bus: Bus;
  readonly log: Log;
  readonly scheduler: Scheduler;
  /** What the backend knows now. */
  facts(): BackendFacts;
}

/** Begins with `begin`. */
export class HealthNews {
  readonly #ports: HealthNewsPorts;
  readonly #log: HealthLog;
  #timer: Timer | undefined;

  constructor(ports: HealthNewsPorts) {
    this.#ports = ports;
    this.#log = new HealthLog(ports.log);
  }

  get #now(): number {
    return this.#ports.scheduler.wall();
  }

  begin(): void {
    this.announce();
    const wait = Math.min(INTERVAL_MS, this.#ports.watch.untilChange(this.#now) ?? INTERVAL_MS);
    this.#timer = this.#ports.scheduler.after(wait, () => this.begin());
  }

  close(): void {
    this.#timer?.cancel();
    this.#ports.watch.close();
  }

  /** Sentences, brought up to date. */
  strings(): string[] {
    this.#look();
    return this.#ports.health.strings(this.#now);
  }

  /** Tells what has changed since the last time, if something has. */
  announce(): void {
    this.#look();
    const { health, bus } = this.#ports;
    const changed = health.changed(this.#now);
    if (changed === undefined) return;
    this.#log.note(changed);
    bus.send({ Health: changed });
  }

  #look(): void {
    this.#ports.watch.update(this.#ports.facts(), this.#now);
  }
}
