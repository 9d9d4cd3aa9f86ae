/**
 * What is wrong, as it comes and goes, in the log: so that the journal tells afterwards what `status` told then. The words
 * are Tailscale's (ipnlocal.onHealthChange).
 */
import type { HealthState } from "./health.ts";
import type { Log } from "./log.ts";
import { shapeOf } from "./log_limit.ts";

/** Remembers what was written of each warning. */
export class HealthLog {
  readonly #log: Log;
  #written = new Map<string, string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Writes what differs from the last call. A duration or count that goes on is no difference. */
  note({ Warnings }: HealthState): void {
    const now = new Map<string, string>();
    for (const [code, { Severity, Text }] of Object.entries(Warnings ?? {})) {
      const shape = shapeOf(Text);
      now.set(code, shape);
      if (this.#written.get(code) === shape) continue;
      this.#log[Severity === "low" ? "info" : "warn"](`health(warnable=${code}): error: ${Text}`);
    }
    for (const code of this.#written.keys()) {
      if (!now.has(code)) this.#log.info(`health(warnable=${code}): ok`);
    }
    this.#written = now;
  }
}
