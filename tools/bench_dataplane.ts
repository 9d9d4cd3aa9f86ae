/**
 * Our data plane against others, on this machine:
 *
 *   deno task bench:dataplane [--quick] [--out DIR [--add]] [--rounds N] [--seconds S] [--budget S] [--only NAME,…]
 *                             [--cells CELL,…] [--steady S] [--mtu 1280,1420] [--offloads on,off]
 *                             NAME may be "interop"
 *
 *   --budget   begins no round after so many seconds, --add adds to the samples that DIR has: a machine that is quiet for
 *              minutes at a time measures in several sittings
 *
 *   CELL    tcp    1 and 4 streams both ways, with CPU time of the ends
 *           rates  the highest packet rates with less than 1% lost
 *           pings  round trips idle, at 1 Gb/s and saturated
 *           netmap round trips while a netmap of 10,000 peers is read
 *           steady ten minutes, or --steady seconds, of 1 Gb/s TCP and 20,000 packets a second UDP: how long the worker's turns take
 *
 * ```
 *   namespace a ── veth ── namespace b        one such pair for each kind of end, and one for each interop cell
 *     TUN end ═════════════ TUN end           all up at once; only one is measured at a time
 *     iperf3 -c, ping       iperf3 -s
 * ```
 * Every round measures every tunnel once a mode, in an order that changes from round to round, so that a ratio compares
 * neighbours in time. What is printed are medians of those paired ratios with the lowest and highest pair. Needs root.
 */
import { parseArgs } from "node:util";
import { Lab, labUnavailable, programMissing } from "../tests/netlab/lab.ts";
import { sealingRate } from "./dataplane/ceiling.ts";
import { CROWD_ACTIVE, CROWD_PEERS, findKinds } from "./dataplane/ends.ts";
import { memory, PING_LOADS, pingUnder, tcp, TCP_MODES } from "./dataplane/measure.ts";
import { added, printed, readReport, wholeRounds, writeReport } from "./dataplane/report.ts";
import type { Report } from "./dataplane/report.ts";
import { noSamples, RATE_SIZES } from "./dataplane/samples.ts";
import type { NetmapSample, Samples } from "./dataplane/samples.ts";
import { raise } from "./dataplane/site.ts";
import type { Site } from "./dataplane/site.ts";
import { runSteadily } from "./dataplane/steady.ts";
import type { SteadySample } from "./dataplane/steady.ts";

const CELLS = ["tcp", "rates", "pings", "netmap", "steady"];
/** --quick leaves out what the full run says better: the slower crypto, the crowd and the interop cells. */
const QUICK_KINDS = ["agent", "wireguard-go", "wireguard-go-debian"];
const NETMAP_PEERS = 10_000;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean" },
    out: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    budget: { type: "string" },
    add: { type: "boolean" },
    only: { type: "string" },
    cells: { type: "string" },
    mtu: { type: "string" },
    offloads: { type: "string" },
    steady: { type: "string" },
  },
});
const quick = values.quick === true;
const list = (text: string | undefined, otherwise: string) => (text ?? otherwise).split(",");
const rounds = Number(values.rounds ?? (quick ? 3 : 9));
const seconds = Number(values.seconds ?? (quick ? 1 : 5));
const startedAt = performance.now();
const timeIsUp = () => performance.now() - startedAt > 1000 * Number(values.budget ?? Infinity);
const burstSeconds = Math.min(seconds, quick ? 0.3 : 0.5);
const pings = quick ? 100 : 300;
const mtus = list(values.mtu, quick ? "1280" : "1280,1420").map(Number);
const offloadModes = list(values.offloads, "on,off");
const cells = new Set(list(values.cells, (quick ? CELLS.filter((cell) => cell !== "steady") : CELLS).join(",")));

/** Adds to `groups` first, so that what was measured is there whenever the time is over. */
async function measureAll(sites: readonly Site[], mtu: number, offloads: boolean): Promise<void> {
  const all = sites.map(({ name }) => noSamples(name, mtu, offloads));
  groups.push(all);
  for (const [i, { ends }] of sites.entries()) all[i].rssIdle = memory(ends[0]).rss;
  for (let round = 0; round < rounds && !timeIsUp(); round++) {
    // Each goes first in turn, and every second round runs backwards.
    const order = sites.map((_, i) => (i + round) % sites.length);
    if (round % 2 === 1) order.reverse();
    if (cells.has("tcp")) {
      for (const mode of TCP_MODES) {
        for (const i of order) all[i].tcp[mode.name].push(await tcp(sites[i], mode, seconds));
      }
    }
    // One round of these says enough for a quick look.
    if (!quick || round === 0) {
      for (const size of cells.has("rates") ? RATE_SIZES : []) {
        for (const i of order) all[i].rates[size].push(await sites[i].rate.measure(size, burstSeconds));
      }
      for (const load of cells.has("pings") ? PING_LOADS : []) {
        for (const i of order) all[i].pings[load].push(await pingUnder(load, sites[i], pings));
      }
    }
    console.error(`MTU ${mtu}, veth offloads ${offloads ? "on" : "off"}: round ${round + 1} of ${rounds}`);
  }
  for (const [i, { ends }] of sites.entries()) {
    const { rss, peak } = memory(ends[0]);
    all[i].rssLoaded = rss;
    all[i].rssPeak = peak;
  }
}

/** The ends of `site` must take orders: an agent's do. */
async function readNetmaps(site: Site): Promise<void> {
  const asked = site.ends[0].asked!;
  // The node makes it before anything is measured.
  await asked.ask(`netmap ${NETMAP_PEERS}`);
  await asked.ask("netmap 0");
  for (let round = 0; round < (quick ? 1 : rounds) && !timeIsUp(); round++) {
    let ms = 0;
    const sample = await pingUnder("1 Gb/s", site, pings, async () => {
      ms = JSON.parse(await asked.ask(`netmap ${NETMAP_PEERS}`)).ms;
    });
    netmaps.push({ ping: sample, ms });
    // All of them go again, so that the next round's are new.
    await asked.ask("netmap 0");
  }
}

function machine(): string {
  const model = /model name\s*: (.*)/.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? Deno.build.arch;
  return `${model}, ${navigator.hardwareConcurrency} CPUs for both ends and iperf3; Linux ${Deno.osRelease()}`;
}

const unknown = [...cells].filter((cell) => !CELLS.includes(cell));
const missing = labUnavailable() ??
  ["iperf3", "ping", "ethtool"].map(programMissing).find((reason) => reason !== undefined) ??
  (unknown.length > 0 ? `no cell ${unknown.join(", ")}: want some of ${CELLS.join(", ")}` : undefined);
if (missing !== undefined) {
  console.error(`Cannot measure the data plane: ${missing}`);
  Deno.exit(1);
}
const found = await findKinds();
const only = values.only?.split(",") ?? (quick ? QUICK_KINDS : undefined);
const kinds = found.kinds.filter(({ name }) => only?.includes(name) ?? true);
const [ours] = kinds;
if (ours === undefined) throw new Error(`Cannot measure: --only names none of ${found.kinds.map((k) => k.name)}`);
const modern = kinds.find(({ name }) => name === "wireguard-go");

const { provider, gigabytes } = sealingRate(mtus[0]);
/** Gb/s when every byte is sealed once and opened once, and all CPUs do nothing else. */
const ceiling = gigabytes * 8 * navigator.hardwareConcurrency / 2;
console.log(`${machine()}\nat most ${rounds} rounds of ${seconds} s a mode`);
console.log(`ceiling: one CPU seals ${gigabytes.toFixed(2)} GB/s by ${provider}, so ${ceiling.toFixed(1)} Gb/s`);
for (const kind of kinds) console.log(`  ${kind.name}: ${kind.version}`);
console.log(`  agent-${CROWD_PEERS}-peers: as many configured, ${CROWD_ACTIVE} of them active`);
for (const reason of found.missing) console.log(`  not measured: ${reason}`);

const groups: Samples[][] = [];
const netmaps: NetmapSample[] = [];
const steady: SteadySample[] = [];

/** Prints and writes what was measured, with the earlier sittings' where it is to be added. */
function finish(): void {
  const now: Report = {
    machine: machine(),
    sittings: [{ at: new Date().toISOString(), command: Deno.args.join(" "), seconds, ceiling }],
    kinds: kinds.map(({ name, version }) => ({ name, version })),
    missing: found.missing,
    groups: groups.map(wholeRounds),
    netmapPeers: NETMAP_PEERS,
    netmaps,
    steady,
  };
  const earlier = values.add === true && values.out !== undefined ? readReport(values.out) : undefined;
  const report = earlier === undefined ? now : added(earlier, now);
  console.log(`\n${printed(report)}`);
  if (values.out !== undefined) {
    writeReport(values.out, report);
    console.log(`\nraw samples: ${values.out}/dataplane.json; plot: ${values.out}/dataplane.svg`);
  }
}

// A time limit from outside ends the sitting, and nothing that was measured is lost. The lab then cleans up and exits.
Deno.addSignalListener("SIGTERM", finish);
for (const mtu of mtus) {
  await using lab = await Lab.create();
  const sites: Site[] = [];
  for (const kind of kinds) sites.push(await raise(lab, sites.length, kind, kind, mtu));
  if (!quick && (only?.includes("interop") ?? true) && modern !== undefined && ours.name === "agent") {
    for (const [client, server] of [[ours, modern], [modern, ours]]) {
      sites.push(await raise(lab, sites.length, client, server, mtu));
    }
  }
  for (const mode of offloadModes) {
    for (const site of sites) await site.setOffloads(mode === "on");
    await measureAll(sites, mtu, mode === "on");
  }
  if (ours.name !== "agent" || mtu !== mtus[0]) continue;
  if (cells.has("netmap")) await readNetmaps(sites[0]);
  if (cells.has("steady")) steady.push(await runSteadily(sites[0], Number(values.steady ?? 600)));
}
finish();
Deno.exit(0);
