/**
 * Our data plane against others, on this machine: `deno task bench:dataplane [--quick] [--out DIR] [--rounds N]
 * [--seconds S] [--only NAME,…]`.
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
import type { LabLink, LabNamespace } from "../tests/netlab/lab.ts";
import { findKinds, innerAddress, MTU } from "./dataplane/ends.ts";
import type { Kind } from "./dataplane/ends.ts";
import { memory, ping, pingSaturated, tcp, TCP_MODES } from "./dataplane/measure.ts";
import type { PingSample, TcpSample, Tunnel } from "./dataplane/measure.ts";
import { costTable, memoryTable, pingTable, ratioTable, tcpTable } from "./dataplane/tables.ts";

/** All samples of one tunnel with the veth's offloads on or off; index = round. */
export interface Samples {
  readonly tunnel: string;
  readonly offloads: boolean;
  readonly tcp: Record<string, TcpSample[]>;
  readonly idle: PingSample[];
  readonly saturated: PingSample[];
  /** Of the client's end: before any load, and at the end. */
  rssIdle: number;
  rssLoaded: number;
  rssPeak: number;
}

interface Site {
  readonly tunnel: Tunnel;
  readonly namespaces: readonly [LabNamespace, LabNamespace];
  readonly link: LabLink;
}

const { values } = parseArgs({
  options: {
    quick: { type: "boolean" },
    out: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    only: { type: "string" },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 3 : 9));
const seconds = Number(values.seconds ?? (values.quick ? 1 : 5));

async function raise(lab: Lab, number: number, client: Kind, server: Kind): Promise<Site> {
  const [a, b] = [lab.namespace(`${number}a`), lab.namespace(`${number}b`)];
  const link = lab.link(a, "10.9.0.1/24", b, "10.9.0.2/24");
  const ends = [
    await client.start({ namespace: a, number: 1, remote: "10.9.0.2" }),
    await server.start({ namespace: b, number: 2, remote: "10.9.0.1" }),
  ] as const;
  b.spawn(["iperf3", "-s"], { stdout: "null", stderr: "null" });
  const name = client === server ? client.name : `${client.name} to ${server.name}`;
  const up = await a.run(["ping", "-c", "3", "-i", "0.2", "-W", "2", innerAddress(2)]);
  if (up.code !== 0) throw new Error(`${name}: no ping through the tunnel`);
  return { tunnel: { name, client: a, ends }, namespaces: [a, b], link };
}

/** Super-packets cross a veth whole and flatter whoever makes them: off, the kernel cuts them as a wire would. */
async function setOffloads({ namespaces: [a, b], link }: Site, on: boolean): Promise<void> {
  for (const [namespace, device] of [[a, link.aDevice], [b, link.bDevice]] as const) {
    for (const feature of ["tso", "gso", "gro", "tx-udp-segmentation"]) {
      // A feature the device does not have stays as it is.
      await namespace.run(["ethtool", "-K", device, feature, on ? "on" : "off"]);
    }
  }
}

async function measureAll(sites: readonly Site[], offloads: boolean): Promise<Samples[]> {
  const all: Samples[] = sites.map(({ tunnel }) => ({
    tunnel: tunnel.name,
    offloads,
    tcp: Object.fromEntries(TCP_MODES.map(({ name }) => [name, []])),
    idle: [],
    saturated: [],
    rssIdle: memory(tunnel.ends[0]).rss,
    rssLoaded: 0,
    rssPeak: 0,
  }));
  for (let round = 0; round < rounds; round++) {
    // Each goes first in turn, and every second round runs backwards.
    const order = sites.map((_, i) => (i + round) % sites.length);
    if (round % 2 === 1) order.reverse();
    for (const mode of TCP_MODES) {
      for (const i of order) all[i].tcp[mode.name].push(await tcp(sites[i].tunnel, mode, seconds));
    }
    for (const i of order) all[i].idle.push(await ping(sites[i].tunnel, values.quick ? 100 : 300, 5));
    for (const i of order) all[i].saturated.push(await pingSaturated(sites[i].tunnel, values.quick ? 100 : 300, 10));
    console.error(`veth offloads ${offloads ? "on" : "off"}: round ${round + 1} of ${rounds}`);
  }
  for (const [i, { tunnel }] of sites.entries()) {
    const { rss, peak } = memory(tunnel.ends[0]);
    all[i].rssLoaded = rss;
    all[i].rssPeak = peak;
  }
  return all;
}

function machine(): string {
  const model = /model name\s*: (.*)/.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? Deno.build.arch;
  return `${model}, ${navigator.hardwareConcurrency} CPUs for both ends and iperf3; Linux ${Deno.osRelease()}`;
}

const missing = labUnavailable() ??
  ["iperf3", "ping", "ethtool"].map(programMissing).find((reason) => reason !== undefined);
if (missing !== undefined) {
  console.error(`Cannot measure the data plane: ${missing}`);
  Deno.exit(1);
}
const found = await findKinds();
// --quick leaves out what the full run says better: the slower crypto and the interop cells.
const only = values.only?.split(",") ?? (values.quick ? ["agent", "wireguard-go", "wireguard-go-debian"] : undefined);
const kinds = found.kinds.filter(({ name }) => only?.includes(name) ?? true);
const [ours, ...theirs] = kinds;
if (ours === undefined) throw new Error(`Cannot measure: --only names none of ${found.kinds.map((k) => k.name)}`);

await using lab = await Lab.create();
const sites: Site[] = [];
for (const kind of kinds) sites.push(await raise(lab, sites.length, kind, kind));
const modern = theirs.find(({ name }) => name === "wireguard-go");
if (!values.quick && modern !== undefined && ours.name === "agent") {
  for (const [client, server] of [[ours, modern], [modern, ours]]) {
    sites.push(await raise(lab, sites.length, client, server));
  }
}

console.log(`${machine()}\ninner MTU ${MTU}, ${rounds} rounds of ${seconds} s a mode`);
for (const kind of kinds) console.log(`  ${kind.name}: ${kind.version}`);
for (const reason of found.missing) console.log(`  not measured: ${reason}`);
const samples: Samples[] = [];
for (const offloads of [true, false]) {
  for (const site of sites) await setOffloads(site, offloads);
  const group = await measureAll(sites, offloads);
  samples.push(...group);
  console.log(`\n== offloads of the veth ${offloads ? "on" : "off"}\n`);
  console.log(
    [tcpTable(group), ratioTable(group), costTable(group), pingTable(group), memoryTable(group)].join("\n\n"),
  );
}
if (values.out !== undefined) {
  await Deno.mkdir(values.out, { recursive: true });
  const report = { machine: machine(), mtu: MTU, rounds, seconds, kinds, missing: found.missing, samples };
  await Deno.writeTextFile(`${values.out}/dataplane.json`, `${JSON.stringify(report, null, 1)}\n`);
  console.log(`\nraw samples: ${values.out}/dataplane.json`);
}
