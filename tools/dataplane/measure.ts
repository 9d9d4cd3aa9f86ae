/** Single measurements over a tunnel: TCP by iperf3, round trips by ping, and what the ends cost meanwhile. */
import type { LabNamespace } from "../../tests/netlab/lab.ts";
import type { End } from "./ends.ts";
import { innerAddress } from "./ends.ts";

/** One tunnel that is up: the client's end first. */
export interface Tunnel {
  readonly name: string;
  readonly client: LabNamespace;
  readonly ends: readonly [End, End];
}

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
export async function tcp({ client, ends }: Tunnel, mode: TcpMode, seconds: number): Promise<TcpSample> {
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
export async function ping({ client }: Tunnel, count: number, intervalMs: number): Promise<PingSample> {
  const args = ["-c", String(count), "-i", String(intervalMs / 1000), "-W", "2", innerAddress(2)];
  const { stdout } = await client.run(["ping", ...args], { timeout: count * intervalMs + 20_000 });
  const times = [...stdout.matchAll(/time=([\d.]+)/g)].map(([, ms]) => Number(ms)).sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1), lost: count - times.length };
}

/** Pings while four streams fill the tunnel. */
export async function pingSaturated(tunnel: Tunnel, count: number, intervalMs: number): Promise<PingSample> {
  const seconds = Math.ceil(count * intervalMs / 1000) + 1;
  const load = tunnel.client.must(["iperf3", "-c", innerAddress(2), "-t", String(seconds), "-P", "4"], {
    timeout: seconds * 1000 + 20_000,
  });
  await new Promise((resolve) => setTimeout(resolve, 700));
  const sample = await ping(tunnel, count, intervalMs);
  await load;
  return sample;
}
