/**
 * What is wrong, as it comes and goes, in the log: so that the journal tells afterwards what `status` told then. The words
 * are Tailscale's (ipnlocal.onHealthChange).
 */
import type { HealthState } from "./health.ts";
import type { Log } from "./log.ts";

/** A text without its counts and durations; names, addresses and times of day are what it is about. */
export function withoutCounts(text: string): string {
  return text.replace(/(?<![^\s(])(?:\d+(?:\.\d+)?[a-zµ%]+)*(?:\d+(?:\.\d+)?[a-zµ%]*)(?=[).,;:]*(?:\s|$))/g, "#");
}

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
      const said = withoutCounts(Text);
      now.set(code, said);
      if (this.#written.get(code) === said) continue;
      this.#log[Severity === "low" ? "info" : "warn"](`health(warnable=${code}): error: ${Text}`);
    }
    for (const code of this.#written.keys()) {
      if (!now.has(code)) this.#log.info(`health(warnable=${code}): ok`);
    }
    this.#written = now;
  }
}
