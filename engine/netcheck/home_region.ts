/**
 * Which region becomes home: where peers find us when no direct path is known.
 *
 * A change of home moves every relayed flow, so the old home stays unless the new one is clearly better. Pure.
 * Source: net/netcheck addReportHistoryAndSetPreferredDERP.
 */
import type { RegionLatency } from "./report.ts";

/** A new region must be faster by this much … */
const MIN_GAIN_MS = 10;
/** … and take at most this share of the old one's time. */
const MAX_SHARE = 2 / 3;
/** A frame this recent proves a region alive without any STUN answer. */
const ALIVE_MS = 8_000;
/** With no measurement at all, the old home stays while its connection lives: two keep-alives. */
const KEEP_WITHOUT_DATA_MS = 120_000;

/** What the choice is made from. Times are Unix milliseconds. */
export interface HomeInputs {
  /** The home so far, 0 for none. */
  readonly previous: number;
  readonly startedAt: number;
  readonly now: number;
  /** Latencies of this run: only regions in it answered now. */
  readonly current: RegionLatency;
  /** Best latencies of the last minutes, this run included. */
  readonly recent: RegionLatency;
  /** Control's factor on a region's latency; 1 unless it says otherwise. */
  readonly score: (region: number) => number;
  /** Whether a region may become home; one that may not still stays home if nothing better answers. */
  readonly eligible: (region: number) => boolean;
  /** When a DERP frame last came from the region, 0 for never. */
  readonly lastActivity: (region: number) => number;
  /** A region an operator wants whenever it is reachable, 0 for none. */
  readonly forced?: number;
}

/** The region to use from now on, 0 when there is none to be had. */
export function chooseHome(inputs: HomeInputs): number {
  const { previous, forced = 0 } = inputs;
  if (forced !== 0 && (inputs.current.has(forced) || isAlive(inputs, forced))) return forced;
  const best = fastest(inputs);
  if (best === undefined) {
    const heard = inputs.lastActivity(previous);
    return previous !== 0 && heard > inputs.now - KEEP_WITHOUT_DATA_MS ? previous : 0;
  }
  if (previous === 0 || best.region === previous) return best.region;
  return keepsOld(inputs, best.ms) ? previous : best.region;
}

function scaled(inputs: HomeInputs, region: number, ms: number): number {
  const score = inputs.score(region);
  return score > 0 ? ms * score : ms;
}

/** Of the regions that answered now, the one with the best latency of the last minutes; the lower ID on a tie. */
function fastest(inputs: HomeInputs): { readonly region: number; readonly ms: number } | undefined {
  let best: { region: number; ms: number } | undefined;
  for (const region of [...inputs.current.keys()].sort((a, b) => a - b)) {
    if (!inputs.eligible(region) && region !== inputs.previous) continue;
    const ms = scaled(inputs, region, inputs.recent.get(region) ?? inputs.current.get(region)!);
    if (best === undefined || ms < best.ms) best = { region, ms };
  }
  return best;
}

function isAlive(inputs: HomeInputs, region: number): boolean {
  const heard = inputs.lastActivity(region);
  return heard > inputs.startedAt || heard > inputs.now - ALIVE_MS;
}

function keepsOld(inputs: HomeInputs, bestMs: number): boolean {
  const { previous } = inputs;
  const measured = inputs.current.get(previous);
  if (measured === undefined) return isAlive(inputs, previous);
  const oldMs = scaled(inputs, previous, measured);
  return oldMs - bestMs < MIN_GAIN_MS || bestMs > oldMs * MAX_SHARE;
}
