// Cells of the NAT matrix: who reaches whom directly, and how soon, ours beside tsnet.

import assert from "node:assert/strict";
import { SIDE_KINDS, type SideKind } from "../../netlab/matrix.ts";
import { agentOf, type NatWorld, type Node, type Place, reach, type Reached, tsnetOf } from "./nat_world.ts";
import { until } from "./agent.ts";
import { seededSha256 } from "./seeded_bytes.ts";
import type { TrafficEnd } from "./traffic.ts";

export interface Cell {
  readonly a: Place;
  readonly b: Place;
}

/** The four pairs of a cell, the side that begins first. */
const PAIRS = {
  ours: [agentOf, agentOf],
  oursToTsnet: [agentOf, tsnetOf],
  tsnetToOurs: [tsnetOf, agentOf],
  tsnet: [tsnetOf, tsnetOf],
} as const;
type Pair = keyof typeof PAIRS;
const PAIR_NAMES = Object.keys(PAIRS) as Pair[];

/** How each pair of a cell got on. */
export type CellResult = { readonly cell: Cell } & Readonly<Record<Pair, Reached>> & {
  /** How often it was tried; each pair shows its best. */
  readonly rounds: number;
  /** MB/s of 20 MB from a to b, of the pairs that are relayed. */
  readonly relayed?: Partial<Readonly<Record<"ours" | "oursToTsnet", number>>>;
};

const PATIENCE_MS = 12_000;
/** Cells that begin at once; one that is not settled by then waits on while the next begins. */
const BEGIN_AT_ONCE = 4;
const BEGIN_MS = 1_500;
/** Times below are alike: how often it is looked, and what two cores do meanwhile. */
const FLOOR_S = 1;
/** A cell that is late is tried again so often: one lost ping costs 5 s, ours and tsnet's alike (discoPingInterval). */
const MORE_ROUNDS = 3;
const RELAYED_BYTES = 20_000_000;
/** `tailcfg.EndpointPortmapped`. */
const MAPPED = 3;

/** A site of each kind on both sides, "a" and "b" before its name. */
export async function buildSides(world: NatWorld, kinds: readonly SideKind[] = SIDE_KINDS): Promise<void> {
  const sites = kinds.flatMap((kind) => ["a", "b"].map((side) => ({ kind, name: side + kind })));
  await inTurns(sites, 4, async ({ kind, name }) => {
    const place = await world.place(kind, name);
    if (kind === "portmap") await Promise.all([agentOf(place), tsnetOf(place)].map((node) => mapped(world, node)));
  });
}

/** Waits for the mapped port as control hears of it. A node asks its router once a netcheck, for a quarter of a second. */
export async function mapped(world: NatWorld, node: Node): Promise<string> {
  return await until(`control hears of the mapped port of ${node.name}`, 60_000, async () => {
    const told = (await world.control.mapRequests()).map(({ request }) => request)
      .findLast(({ Hostinfo, EndpointTypes }) => Hostinfo?.Hostname === node.name && EndpointTypes?.includes(MAPPED));
    if (told === undefined) await node.restun();
    return told?.Endpoints[told.EndpointTypes.indexOf(MAPPED)];
  }, 2_000);
}

/** Every pair of kinds once. */
export function allCells(world: NatWorld, kinds: readonly SideKind[] = SIDE_KINDS): Cell[] {
  return kinds.flatMap((a, i) => kinds.slice(i).map((b) => ({ a: world.at(`a${a}`), b: world.at(`b${b}`) })));
}

/** Runs `work` on all, `jobs` at once, and gives the results in order. */
export async function inTurns<T, R>(all: readonly T[], jobs: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < all.length; i = next++) results[i] = await work(all[i]);
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return results;
}

/**
 * Tries every cell, those that are late again by themselves, and sends 20 MB where a relay carries them. A pair is judged by
 * its best round, tsnet's like ours.
 */
export async function measureAll(cells: readonly Cell[]): Promise<CellResult[]> {
  // An object, because a promise that an async function returns would be waited for.
  const begun = await inTurns(cells, BEGIN_AT_ONCE, async (cell) => {
    await acquainted(cell);
    const result = measure(cell);
    await Promise.race([result, pause(BEGIN_MS)]);
    return { result };
  });
  const results = await Promise.all(begun.map(({ result }) => result));
  for (let more = 0; more < MORE_ROUNDS && results.some((each) => complaints(each).length > 0); more++) {
    const late = [...results.keys()].filter((i) => complaints(results[i]).length > 0);
    for (const i of late) {
      for (const line of complaints(results[i])) console.log(`  tried again: ${line}`);
      await meetAnew(results[i].cell);
      results[i] = better(results[i], await measure(results[i].cell));
    }
  }
  return await inTurns(results, 2, carryRelayed);
}

/** Tries all four pairs of a cell at once; one that never meets costs the whole patience. */
async function measure(cell: Cell): Promise<CellResult> {
  const reached = await Promise.all(
    PAIR_NAMES.map(async (pair) => [pair, await reach(...ends(cell, pair), PATIENCE_MS)]),
  );
  return { cell, ...Object.fromEntries(reached) as Record<Pair, Reached>, rounds: 1 };
}

function ends({ a, b }: Cell, pair: Pair): [from: Node, to: Node] {
  const [from, to] = PAIRS[pair];
  return [from(a), to(b)];
}

/** Resolves when all four know each other. */
async function acquainted({ a, b }: Cell): Promise<void> {
  await Promise.all([
    a.agent.awaitPeer(b.agentIp),
    a.agent.awaitPeer(b.peerIp),
    b.agent.awaitPeer(a.peerIp),
    a.peer.awaitPeer(b.peerIp),
  ]);
}

/** As if they had never met: routers forget their UDP mappings, and nodes their paths. */
async function meetAnew({ a, b }: Cell): Promise<void> {
  const routers = [a, b].flatMap(({ site }) => site.routers);
  // It ends with 1 where there was none.
  await Promise.all(routers.map(({ namespace }) => namespace.run(["conntrack", "-D", "-p", "udp"])));
  await Promise.all([a, b].flatMap((place) => [agentOf(place), tsnetOf(place)]).map((node) => node.forgetPaths()));
}

function better(one: CellResult, other: CellResult): CellResult {
  const best = (a: Reached, b: Reached) => {
    if (a.path !== b.path) return [a, b].find(({ path }) => path === "direct") ?? (a.path === "relay" ? a : b);
    return a.seconds <= b.seconds ? a : b;
  };
  const pairs = PAIR_NAMES.map((pair) => [pair, best(one[pair], other[pair])]);
  return { ...one, ...Object.fromEntries(pairs) as Record<Pair, Reached>, rounds: one.rounds + other.rounds };
}

let ports = 7100;

async function carryRelayed(result: CellResult): Promise<CellResult> {
  const { cell, cell: { a, b } } = result;
  const relayed: Partial<Record<"ours" | "oursToTsnet", number>> = {};
  if (result.ours.path !== "direct") relayed.ours = await carry(cell, await b.agent.traffic(), b.agentIp);
  if (result.oursToTsnet.path !== "direct") relayed.oursToTsnet = await carry(cell, b.peer, b.peerIp);
  return { ...result, relayed };

  /** 20 MB from a's agent, hashes compared. @returns MB/s */
  async function carry(cell: Cell, to: TrafficEnd, ip: string): Promise<number> {
    const [from, port] = [await a.agent.traffic(), ports++];
    await to.listen({ kind: "sink", port });
    const sent = await from.dial({
      ...{ addr: `${ip}:${port}`, send: RELAYED_BYTES, receive: -1, seed: 9, timeoutMs: 120_000 },
    });
    const taken = (await to.transfers("sink", 1)).find(({ local }) => local.endsWith(`:${port}`));
    const what = nameOf(cell);
    assert.deepEqual([sent.error, taken?.error], [undefined, undefined], what);
    assert.equal(taken?.receivedSha256, seededSha256(9, RELAYED_BYTES), what);
    return RELAYED_BYTES / 1000 / sent.ms;
  }
}

export function nameOf({ a, b }: Cell): string {
  return `${a.site.kind} to ${b.site.kind}`;
}

/** One line a cell. */
export function table(results: readonly CellResult[]): string {
  const text = ({ path, seconds }: Reached) => path === "nothing" ? "nothing" : `${path} ${seconds.toFixed(1)} s`;
  const speed = (mbs: number | undefined) => mbs === undefined ? "" : `${mbs.toFixed(1)} MB/s`;
  const columns = (cells: string[]) => "  " + cells.map((cell, i) => cell.padEnd(i === 0 ? 20 : 15)).join("").trimEnd();
  return [
    columns(["cell", "ours to ours", "ours to tsnet", "tsnet to ours", "tsnet to tsnet", "20 MB to ours", "to tsnet"]),
    ...results.map((result) =>
      columns([
        nameOf(result.cell),
        ...PAIR_NAMES.map((pair) => text(result[pair])),
        ...[result.relayed?.ours, result.relayed?.oursToTsnet].map(speed),
        result.rounds === 1 ? "" : `best of ${result.rounds}`,
      ])
    ),
  ].join("\n");
}

/** What is wrong with a cell, one line each: ours must do what two tsnet peers do there, in twice their time. */
export function complaints({ cell, tsnet, ...pairs }: CellResult): string[] {
  const what = nameOf(cell);
  return (["ours", "oursToTsnet", "tsnetToOurs"] as const).flatMap((pair) => {
    const reached = pairs[pair];
    if (reached.path === "nothing") return [`${what}, ${pair}: nothing comes through`];
    if (tsnet.path !== "direct") return [];
    if (reached.path !== "direct") return [`${what}, ${pair}: relayed, tsnet is direct after ${tsnet.seconds} s`];
    const limit = Math.max(2 * tsnet.seconds, FLOOR_S);
    return reached.seconds <= limit ? [] : [`${what}, ${pair}: ${reached.seconds} s, tsnet ${tsnet.seconds} s`];
  });
}

/** A netcheck report without what differs from socket to socket and from run to run: ports, latencies, the time. */
export function comparable(report: Record<string, unknown>): Record<string, unknown> {
  const ip = (addr: unknown) => String(addr).replace(/:\d+$/, "");
  const keys = (map: unknown) => Object.keys(map as object ?? {}).sort();
  const { UDP, IPv4, IPv6, IPv4CanSend, IPv6CanSend, OSHasIPv6, ICMPv4, MappingVariesByDestIP, UPnP, PMP, PCP } =
    report;
  return {
    ...{ UDP, IPv4, IPv6, IPv4CanSend, IPv6CanSend, OSHasIPv6, ICMPv4, MappingVariesByDestIP, UPnP, PMP, PCP },
    // Looked for where STUN takes longer than 200 ms: whether it was is chance, what was found is not.
    CaptivePortal: report.CaptivePortal === true,
    HasHome: report.PreferredDERP !== 0,
    Regions: keys(report.RegionLatency),
    RegionsV4: keys(report.RegionV4Latency),
    RegionsV6: keys(report.RegionV6Latency),
    GlobalV4: ip(report.GlobalV4),
    GlobalV6: ip(report.GlobalV6),
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
