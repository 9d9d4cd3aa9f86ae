/** The benchmark's tables: medians, and paired ratios of the first tunnel to each other one. */
import { PING_LOADS, TCP_MODES } from "./measure.ts";
import type { PingLoad } from "./measure.ts";
import type { SteadySample } from "./steady.ts";
import { median, pairedRatio, RATE_SIZES } from "./samples.ts";
import type { NetmapSample, Samples } from "./samples.ts";

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)));
  return all.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])).join("  ")
  ).join("\n");
}

/** A median, or "-" of nothing. */
function middle(numbers: readonly number[], digits: number): string {
  return numbers.length === 0 ? "-" : median(numbers).toFixed(digits);
}

const modes = TCP_MODES.map(({ name }) => name);
const sizes = RATE_SIZES.map((size) => `${size} B`);
const throughput = ({ tcp }: Samples, mode: string) => tcp[mode].map(({ gbps }) => gbps);
const rates = (samples: Samples, size: number) => samples.rates[size].map(({ rate }) => rate);
const cost = ({ tcp }: Samples, of: "sendCpu" | "receiveCpu") =>
  modes.flatMap((mode) => tcp[mode].map((one) => one[of]));

/**
 * Medians: TCP in Gb/s, thousands of packets a second, and TCP's share of what this machine's ChaCha20-Poly1305 allows.
 * @param ceiling Gb/s when all CPUs do nothing but seal and open each byte once.
 */
export function throughputTable(samples: readonly Samples[], ceiling: number): string {
  return table(
    ["TCP, Gb/s", ...modes, "of ceiling", ...sizes.map((size) => `kpps ${size}`)],
    samples.map((each) => [
      each.tunnel,
      ...modes.map((mode) => middle(throughput(each, mode), 2)),
      middle(modes.flatMap((mode) => throughput(each, mode)).map((gbps) => 100 * gbps / ceiling), 0) + "%",
      ...RATE_SIZES.map((size) => middle(rates(each, size).map((rate) => rate / 1000), 0)),
    ]),
  );
}

/** The first tunnel in units of each other: median, lowest and highest pair. More is better, but for CPU-seconds. */
export function ratioTable([ours, ...others]: readonly Samples[]): string {
  return table(
    [`${ours.tunnel} to`, ...modes, ...sizes.map((size) => `pps ${size}`), "CPU-s/GB sending", "receiving"],
    others.map((theirs) => [
      theirs.tunnel,
      ...modes.map((mode) => pairedRatio(throughput(ours, mode), throughput(theirs, mode))),
      ...RATE_SIZES.map((size) => pairedRatio(rates(ours, size), rates(theirs, size))),
      pairedRatio(cost(ours, "sendCpu"), cost(theirs, "sendCpu")),
      pairedRatio(cost(ours, "receiveCpu"), cost(theirs, "receiveCpu")),
    ]),
  );
}

/** CPU-seconds per GB of both ends' processes, all modes together, and resident memory of the client's end. */
export function costTable(samples: readonly Samples[]): string {
  return table(
    ["CPU-seconds per GB", "sender", "receiver", "retransmits a run", "RSS MB idle", "loaded", "peak"],
    samples.map((each) => [
      each.tunnel,
      middle(cost(each, "sendCpu"), 2),
      middle(cost(each, "receiveCpu"), 2),
      middle(modes.flatMap((mode) => each.tcp[mode].map(({ retransmits }) => retransmits)), 0),
      String(each.rssIdle),
      String(each.rssLoaded),
      String(each.rssPeak),
    ]),
  );
}

/** Medians over the rounds of each round's p50, p99 and largest, ms; then the paired ratios of p99, less is better. */
export function pingTable(samples: readonly Samples[]): string {
  const [ours] = samples;
  const p99 = ({ pings }: Samples, load: PingLoad) => pings[load].map((sample) => sample.p99);
  return table(
    [
      "ping, ms",
      ...PING_LOADS.flatMap((load) => [`${load} p50`, "p99", "max"]),
      ...PING_LOADS.map((load) => `${ours.tunnel}'s p99 to it, ${load}`),
    ],
    samples.map((each) => [
      each.tunnel,
      ...PING_LOADS.flatMap((load) =>
        (["p50", "p99", "max"] as const).map((which) => middle(each.pings[load].map((sample) => sample[which]), 2))
      ),
      ...PING_LOADS.map((load) => each === ours ? "" : pairedRatio(p99(ours, load), p99(each, load))),
    ]),
  );
}

/** How the workers of both ends fared over a long time. */
export function steadyLines({ seconds, gbps, packets, steal, clock, ends }: SteadySample): string {
  const lines = ends.map(({ turns, longByCpu, longByWall, longestCpuMs, longestWallMs }, i) =>
    `  ${i === 0 ? "sending" : "receiving"} end: ${turns} turns, over 5 ms of CPU time ${longByCpu} (longest ` +
    `${longestCpuMs.toFixed(2)}), over 5 ms by the clock ${longByWall} (longest ${longestWallMs.toFixed(2)})`
  );
  return [
    `${seconds} s of TCP at ${gbps.toFixed(2)} Gb/s and ${packets.rate.toFixed(0)} packets a second UDP ` +
    `(${(100 * packets.loss).toFixed(2)}% lost); stolen from this machine ${steal.toFixed(1)} s`,
    ...lines,
    `  a loop that only reads its CPU time, in what was left over: ${
      clock.cpuSeconds.toFixed(0)
    } s of it, steps over ` +
    `1, 2 and 5 ms ${clock.steps.join(", ")} (longest ${clock.longestMs.toFixed(2)})`,
  ].join("\n");
}

/** Round trips at 1 Gb/s while a large netmap is read. */
export function netmapLine(peers: number, samples: readonly NetmapSample[]): string {
  const of = (which: "p50" | "p99" | "max") => middle(samples.map(({ ping }) => ping[which]), 2);
  const worst = Math.max(...samples.map(({ ping }) => ping.p99)).toFixed(2);
  return `a netmap of ${peers} peers is read (${middle(samples.map(({ ms }) => ms), 0)} ms) at 1 Gb/s: ` +
    `ping p50 ${of("p50")} p99 ${of("p99")} (worst round ${worst}) max ${of("max")} ms`;
}
