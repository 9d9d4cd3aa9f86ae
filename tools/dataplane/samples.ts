/** What the benchmark collects, and what statistics it prints of it. */
import type { PingLoad, PingSample, TcpSample } from "./measure.ts";
import { PING_LOADS, TCP_MODES } from "./measure.ts";
import type { RateSample } from "./packet_rate.ts";

/** Lengths of the IP packets whose rates are measured. */
export const RATE_SIZES = [64, 1200] as const;

/** All samples of one tunnel under one MTU, with the veth's offloads on or off; index = round. */
export interface Samples {
  readonly tunnel: string;
  readonly mtu: number;
  readonly offloads: boolean;
  readonly tcp: Record<string, TcpSample[]>;
  readonly rates: Record<number, RateSample[]>;
  readonly pings: Record<PingLoad, PingSample[]>;
  /** Of the client's end, MB: before any load, after the last, and at its highest. */
  rssIdle: number;
  rssLoaded: number;
  rssPeak: number;
}

/** A netmap read while packets flow. */
export interface NetmapSample {
  readonly ping: PingSample;
  /** From the bytes of the map response to the engine's commands, on the main thread. */
  readonly ms: number;
}

export function noSamples(tunnel: string, mtu: number, offloads: boolean): Samples {
  return {
    tunnel,
    mtu,
    offloads,
    tcp: Object.fromEntries(TCP_MODES.map(({ name }) => [name, []])),
    rates: Object.fromEntries(RATE_SIZES.map((size) => [size, []])),
    pings: Object.fromEntries(PING_LOADS.map((load) => [load, []])) as unknown as Samples["pings"],
    rssIdle: 0,
    rssLoaded: 0,
    rssPeak: 0,
  };
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** "1.75 (1.61-1.99)": median, lowest and highest of the ratios of each round's pair; "-" where a round lacks one. */
export function pairedRatio(ours: readonly number[], theirs: readonly number[]): string {
  if (ours.length === 0 || ours.length !== theirs.length) return "-";
  const ratios = ours.map((value, round) => value / theirs[round]);
  return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)})`;
}
