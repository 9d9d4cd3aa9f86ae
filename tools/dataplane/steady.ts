/** A long time of ordinary load, and how long the workers' turns took by their own count (engine/dataplane/turn_watch.ts). */
import type { EngineStatus, TurnCounts } from "../../engine/config.ts";
import type { ClockSample } from "./clock_program.ts";
import { innerAddress } from "./ends.ts";
import type { RateSample } from "./packet_rate.ts";
import type { Site } from "./site.ts";

const CLOCK = new URL("./clock_program.ts", import.meta.url).pathname;
/** Packets a second beside TCP, and their length. */
const RATE = 20_000;
const SIZE = 200;
/** Jiffies a second, which Linux fixes for user space. */
const HZ = 100;

/** What a long run gave. */
export interface SteadySample {
  readonly seconds: number;
  readonly gbps: number;
  readonly packets: RateSample;
  /** Seconds the host gave to others while ours wanted to run, all CPUs. */
  readonly steal: number;
  /** Of a loop without work in the time that was left over: what the machine itself puts on a thread's account. */
  readonly clock: ClockSample;
  /** Of both ends from start to end; the longest are those since the end was started. */
  readonly ends: readonly TurnCounts[];
}

function stolen(): number {
  const [, ...fields] = Deno.readTextFileSync("/proc/stat").split("\n")[0].split(/\s+/);
  return Number(fields[7]) / HZ;
}

/** Loads the tunnel for `seconds`. Both ends must take orders: agents do. */
export async function runSteadily({ client, ends, rate }: Site, seconds: number): Promise<SteadySample> {
  const turns = () =>
    Promise.all(ends.map(async ({ asked }) => (JSON.parse(await asked!.ask("status")) as EngineStatus).turns));
  const [before, stealBefore] = [await turns(), stolen()];
  const tcp = client.must(["iperf3", "-J", "-c", innerAddress(2), "-t", String(seconds), "-b", "1G"], {
    timeout: seconds * 1000 + 30_000,
  });
  const clock = new Deno.Command("chrt", {
    args: ["--idle", "0", Deno.execPath(), "run", "-A", CLOCK, String(seconds)],
  }).output();
  const packets = await rate.send(SIZE, RATE, seconds);
  const { end } = JSON.parse(await tcp);
  const after = await turns();
  return {
    seconds,
    gbps: end.sum_received.bits_per_second / 1e9,
    packets,
    steal: stolen() - stealBefore,
    clock: JSON.parse(new TextDecoder().decode((await clock).stdout)),
    ends: after.map((counts, i) => ({
      ...counts,
      turns: counts.turns - before[i].turns,
      longByCpu: counts.longByCpu - before[i].longByCpu,
      longByWall: counts.longByWall - before[i].longByWall,
    })),
  };
}
