/** The reports of the last minutes, for latencies that one slow answer does not change. */
import type { RegionLatency, Report } from "./report.ts";

/** The interval of full runs and the length of one, so that a full one is always in it. */
const MAX_AGE_MS = 305_000;

/** Reports with the monotonic time they were made at. */
export class ReportHistory {
  #entries: { readonly at: number; readonly report: Report }[] = [];
  #last: Report | undefined;

  get last(): Report | undefined {
    return this.#last;
  }

  add(now: number, report: Report): void {
    this.#entries = this.#entries.filter(({ at }) => now - at <= MAX_AGE_MS);
    this.#entries.push({ at: now, report });
    this.#last = report;
  }

  /** The best latency of each region, of the reports kept and of one about to be added. */
  bestLatencies(now: number, current: RegionLatency): RegionLatency {
    const best = new Map(current);
    for (const { at, report } of this.#entries) {
      if (now - at > MAX_AGE_MS) continue;
      for (const [region, ms] of report.regionLatency) best.set(region, Math.min(ms, best.get(region) ?? Infinity));
    }
    return best;
  }

  /** Drops all but the last report, whose home still counts. */
  forgetLatencies(): void {
    this.#entries = [];
  }
}
