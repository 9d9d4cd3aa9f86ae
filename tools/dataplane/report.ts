/** All that a benchmark run found, as it is printed and written; runs in several sittings add up. */
import { plot } from "./plot.ts";
import type { NetmapSample, Samples } from "./samples.ts";
import type { SteadySample } from "./steady.ts";
import { costTable, netmapLine, pingTable, ratioTable, steadyLines, throughputTable } from "./tables.ts";

/** One sitting: what was measured with which patience. */
export interface Sitting {
  readonly at: string;
  /** Its arguments, as typed. */
  readonly command: string;
  readonly seconds: number;
  /** Gb/s when every byte is sealed once and opened once, and all CPUs do nothing else. */
  readonly ceiling: number;
}

/** Raw samples and where they come from. */
export interface Report {
  readonly machine: string;
  readonly sittings: readonly Sitting[];
  readonly kinds: readonly { readonly name: string; readonly version: string }[];
  /** What was not measured, and why. */
  readonly missing: readonly string[];
  /** The tunnels measured side by side, in one order: only their rounds may be paired. */
  readonly groups: readonly (readonly Samples[])[];
  readonly netmapPeers: number;
  readonly netmaps: readonly NetmapSample[];
  readonly steady: readonly SteadySample[];
}

function together(group: readonly Samples[]): string {
  return JSON.stringify([group[0].mtu, group[0].offloads, group.map(({ tunnel }) => tunnel)]);
}

function appended<T>(a: Record<string, T[]>, b: Record<string, T[]>): Record<string, T[]> {
  return Object.fromEntries(Object.entries(a).map(([name, samples]) => [name, [...samples, ...b[name]]]));
}

function sum(a: Samples, b: Samples): Samples {
  return {
    ...b,
    tcp: appended(a.tcp, b.tcp),
    rates: appended(a.rates, b.rates),
    pings: appended(a.pings, b.pings) as Samples["pings"],
    rssPeak: Math.max(a.rssPeak, b.rssPeak),
  };
}

/** Both, the samples of tunnels that were measured side by side in one list of rounds. */
export function added(earlier: Report, later: Report): Report {
  const groups = new Map(earlier.groups.map((group) => [together(group), group]));
  for (const group of later.groups) {
    const before = groups.get(together(group));
    groups.set(together(group), before === undefined ? group : group.map((each, i) => sum(before[i], each)));
  }
  return {
    ...later,
    sittings: [...earlier.sittings, ...later.sittings],
    kinds: [...new Map([...earlier.kinds, ...later.kinds].map((kind) => [kind.name, kind])).values()],
    groups: [...groups.values()],
    netmaps: [...earlier.netmaps, ...later.netmaps],
    steady: [...earlier.steady, ...later.steady],
  };
}

/** Without the samples of a round that not every tunnel has had. */
export function wholeRounds(group: readonly Samples[]): Samples[] {
  const cut = <T>(of: (samples: Samples) => Record<string, T[]>) => (samples: Samples) =>
    Object.fromEntries(
      Object.entries(of(samples)).map(([name, list]) => {
        const rounds = Math.min(...group.map((other) => of(other)[name].length));
        return [name, list.slice(0, rounds)];
      }),
    );
  const [tcp, rates, pings] = [cut(({ tcp }) => tcp), cut(({ rates }) => rates), cut(({ pings }) => pings)];
  return group.map((samples) => ({
    ...samples,
    tcp: tcp(samples),
    rates: rates(samples),
    pings: pings(samples) as Samples["pings"],
  }));
}

function groupTables(group: readonly Samples[], ceiling: number): string[] {
  const any = (of: "tcp" | "rates" | "pings") =>
    group.some((samples) => Object.values(samples[of]).some((list) => list.length > 0));
  const own = group.find(({ tunnel }) => tunnel === "wireguard-go");
  const mixed = group.filter(({ tunnel }) => tunnel.includes(" to "));
  const tables = any("tcp") || any("rates") ? [throughputTable(group, ceiling), ratioTable(group)] : [];
  // An interop cell has the other's program at one end, and should be no slower than two of those.
  if (own !== undefined) { for (const cell of mixed) tables.push(ratioTable([cell, own])); }
  if (any("tcp")) tables.push(costTable(group));
  if (any("pings")) tables.push(pingTable(group));
  return tables;
}

/** The tables, for people. */
export function printed({ sittings, groups, netmapPeers, netmaps, steady }: Report): string {
  const { ceiling } = sittings.at(-1)!;
  const parts = groups.flatMap((group) => {
    const [{ mtu, offloads, tcp }] = group;
    const rounds = Math.max(...Object.values(tcp).map((samples) => samples.length));
    const title = `== inner MTU ${mtu}, offloads of the veth ${offloads ? "on" : "off"}; ${rounds} rounds of TCP`;
    const tables = groupTables(group, ceiling);
    return tables.length === 0 ? [] : [title, ...tables];
  });
  if (netmaps.length > 0) parts.push(netmapLine(netmapPeers, netmaps));
  return [...parts, ...steady.map(steadyLines)].join("\n\n");
}

/** Writes raw samples and plot. Synchronous, as a signal's handler has no time to wait. */
export function writeReport(directory: string, report: Report): void {
  Deno.mkdirSync(directory, { recursive: true });
  Deno.writeTextFileSync(`${directory}/dataplane.json`, `${JSON.stringify(report, null, 1)}\n`);
  const [first] = report.groups;
  const names = (group: readonly Samples[]) => group.map(({ tunnel }) => tunnel).join();
  const alike = report.groups.filter((group) => names(group) === names(first));
  Deno.writeTextFileSync(`${directory}/dataplane.svg`, plot(alike, report.machine));
}

/** What an earlier run wrote there, undefined for nothing. */
export function readReport(directory: string): Report | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(`${directory}/dataplane.json`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
