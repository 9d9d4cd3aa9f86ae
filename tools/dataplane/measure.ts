/** Single measurements over a tunnel: TCP by iperf3, round trips by ping, and what the ends cost meanwhile. */
import type { End } from "./ends.ts";
import { innerAddress } from "./ends.ts";
import type { Site } from "./site.ts";

/** TCP streams and their direction; `reverse` is from the server's end to the client's. */
export interface TcpMode {
  readonly name: string;
  readonly streams: number;
  readonly reverse: boolean;
}

export const TCP_MODES: readonly TcpMode[] = [
  { name: "1 stream", streams: 1, reverse: false },
  { name: "1 reversed", streams: 1, reverse: true },
  { name: "4 streams", streams: 4, reverse: false },
  { name: "4 reversed", streams: 4, reverse: true },
];

/** What one run of iperf3 gave. */
export interface TcpSample {
  readonly gbps: number;
  /** CPU-seconds per gigabyte of the sending and of the receiving end's process. */
  readonly sendCpu: number;
  readonly receiveCpu: number;
  readonly retransmits: number;
}

/** Round-trip times, ms. */
export interface PingSample {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly lost: number;
}

/** Jiffies a second, which Linux fixes for user space on every architecture we run on. */
const HZ = 100;

/** User and system seconds of a process so far. */
function cpuSeconds(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ").at(-1)!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / HZ;
}

/** Resident memory now and at its highest, MB. */
export function memory({ pid }: End): { rss: number; peak: number } {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const of = (name: string) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]) / 1024);
  return { rss: of("VmRSS"), peak: of("VmHWM") };
}

/** One TCP run of `seconds`. The CPU time includes the start and end of the run. */
export async function tcp({ client, ends }: Site, mode: TcpMode, seconds: number): Promise<TcpSample> {
  const before = ends.map(({ pid }) => cpuSeconds(pid));
  const args = ["-J", "-c", innerAddress(2), "-t", String(seconds), "-P", String(mode.streams)];
  if (mode.reverse) args.push("-R");
  const text = await client.must(["iperf3", ...args], { timeout: seconds * 1000 + 20_000 });
  const used = ends.map(({ pid }, i) => cpuSeconds(pid) - before[i]);
  const { end, error } = JSON.parse(text);
  if (error !== undefined) throw new Error(`iperf3: ${error}`);
  const gigabytes = end.sum_received.bytes / 1e9;
  const [sender, receiver] = mode.reverse ? [used[1], used[0]] : used;
  return {
    gbps: end.sum_received.bits_per_second / 1e9,
    sendCpu: sender / gigabytes,
    receiveCpu: receiver / gigabytes,
    retransmits: end.sum_sent.retransmits ?? 0,
  };
}

/** `count` pings, `intervalMs` apart. */
export async function ping({ client }: Site, count: number, intervalMs: number): Promise<PingSample> {
  const args = ["-c", String(count), "-i", String(intervalMs / 1000), "-W", "2", innerAddress(2)];
  const { stdout } = await client.run(["ping", ...args], { timeout: count * intervalMs + 20_000 });
  const times = [...stdout.matchAll(/time=([\d.]+)/g)].map(([, ms]) => Number(ms)).sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1), lost: count - times.length };
}

/** What runs through the tunnel while pings are sent. */
export type PingLoad = "idle" | "1 Gb/s" | "saturated";

export const PING_LOADS: readonly PingLoad[] = ["idle", "1 Gb/s", "saturated"];

const LOADS: Record<PingLoad, readonly string[] | undefined> = {
  idle: undefined,
  "1 Gb/s": ["-b", "1G"],
  saturated: ["-P", "4"],
};
/** From the start of the load to the first ping, ms. */
const LOAD_STARTS_MS = 700;

/**
 * `count` pings, 10 ms apart, under a load. `meanwhile` begins with the pings and must be done before the load ends.
 */
export async function pingUnder(
  load: PingLoad,
  site: Site,
  count: number,
  meanwhile: () => Promise<unknown> = () => Promise.resolve(),
): Promise<PingSample> {
  const intervalMs = 10;
  const args = LOADS[load];
  if (args === undefined) return await ping(site, count, intervalMs);
  const seconds = Math.ceil((count * intervalMs + LOAD_STARTS_MS) / 1000) + 1;
  const running = site.client.must(["iperf3", "-c", innerAddress(2), "-t", String(seconds), ...args], {
    timeout: seconds * 1000 + 20_000,
  });
  await new Promise((resolve) => setTimeout(resolve, LOAD_STARTS_MS));
  const [sample] = await Promise.all([ping(site, count, intervalMs), meanwhile()]);
  await running;
  return sample;
}
