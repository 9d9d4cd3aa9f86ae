/** The benchmark's tables: medians, and paired ratios of the first tunnel to each other one. */
import type { Samples } from "../bench_dataplane.ts";
import { TCP_MODES } from "./measure.ts";
import type { PingSample, TcpSample } from "./measure.ts";

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)));
  return all.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])).join("  ")
  ).join("\n");
}

const modes = TCP_MODES.map(({ name }) => name);

/** Medians, Gb/s. */
export function tcpTable(samples: readonly Samples[]): string {
  return table(
    ["TCP, Gb/s", ...modes],
    samples.map(({ tunnel, tcp }) => [
      tunnel,
      ...modes.map((mode) => median(tcp[mode].map(({ gbps }) => gbps)).toFixed(2)),
    ]),
  );
}

/** The first tunnel's throughput in units of each other's: median, lowest and highest pair. */
export function ratioTable([ours, ...others]: readonly Samples[]): string {
  return table(
    [`${ours.tunnel} to`, ...modes],
    others.map(({ tunnel, tcp }) => [
      tunnel,
      ...modes.map((mode) => {
        const ratios = tcp[mode].map(({ gbps }, round) => ours.tcp[mode][round].gbps / gbps);
        return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)})`;
      }),
    ]),
  );
}

/** CPU-seconds per GB of both ends' processes, all modes together. */
export function costTable(samples: readonly Samples[]): string {
  const cost = (of: (sample: TcpSample) => number, { tcp }: Samples) =>
    median(modes.flatMap((mode) => tcp[mode].map(of))).toFixed(2);
  return table(
    ["CPU-seconds per GB", "sender", "receiver", "retransmits a run"],
    samples.map((each) => [
      each.tunnel,
      cost(({ sendCpu }) => sendCpu, each),
      cost(({ receiveCpu }) => receiveCpu, each),
      median(modes.flatMap((mode) => each.tcp[mode].map(({ retransmits }) => retransmits))).toFixed(0),
    ]),
  );
}

/** Medians over the rounds of each round's p50, p99 and largest, ms. */
export function pingTable(samples: readonly Samples[]): string {
  const cells = (pings: readonly PingSample[]) =>
    (["p50", "p99", "max"] as const).map((which) => median(pings.map((sample) => sample[which])).toFixed(2));
  return table(
    ["ping, ms", "idle p50", "p99", "max", "saturated p50", "p99", "max"],
    samples.map(({ tunnel, idle, saturated }) => [tunnel, ...cells(idle), ...cells(saturated)]),
  );
}

/** Resident memory of the client's end. */
export function memoryTable(samples: readonly Samples[]): string {
  return table(
    ["RSS, MB", "idle", "loaded", "peak"],
    samples.map(({ tunnel, rssIdle, rssLoaded, rssPeak }) => [
      tunnel,
      String(rssIdle),
      String(rssLoaded),
      String(rssPeak),
    ]),
  );
}
