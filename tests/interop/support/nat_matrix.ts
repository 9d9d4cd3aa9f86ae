// Cells of the NAT matrix: who reaches whom directly, and how soon, ours beside tsnet.

import assert from "node:assert/strict";
import type { SideKind } from "../../netlab/matrix.ts";
import { agentOf, type NatWorld, type Place, reach, type Reached, tsnetOf } from "./nat_world.ts";
import { seededSha256 } from "./seeded_bytes.ts";

export interface Cell {
  readonly a: Place;
  readonly b: Place;
}

/** What a cell came to. The letters are the sides. */
export interface CellResult {
  readonly cell: Cell;
  readonly ours: Reached;
  readonly oursToTsnet: Reached;
  readonly tsnetToOurs: Reached;
  readonly tsnet: Reached;
  /** Of 20 MB from a to b, where ours is relayed. */
  readonly relayMBs?: number;
}

const PATIENCE_MS = 12_000;
/** Seconds that are no complaint: one lost ping costs 5, ours and tsnet's alike (DISCO_PING_INTERVAL_MS). */
const FLOOR_S = 6;
const RELAYED_BYTES = 20_000_000;

/** Makes the sites, by name. */
export async function buildSides(world: NatWorld, wanted: ReadonlyMap<string, SideKind>): Promise<void> {
  await inTurns([...wanted], 3, async ([name, kind]) => void await world.place(kind, name));
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

/** Tries all four pairs of a cell at once; one that never meets costs the whole patience. */
export async function measure({ a, b }: Cell): Promise<CellResult> {
  await Promise.all([
    a.agent.awaitPeer(b.agentIp),
    a.agent.awaitPeer(b.peerIp),
    b.agent.awaitPeer(a.peerIp),
    a.peer.awaitPeer(b.peerIp),
  ]);
  const [ours, oursToTsnet, tsnetToOurs, tsnet] = await Promise.all([
    reach(agentOf(a), agentOf(b), PATIENCE_MS),
    reach(agentOf(a), tsnetOf(b), PATIENCE_MS),
    reach(tsnetOf(a), agentOf(b), PATIENCE_MS),
    reach(tsnetOf(a), tsnetOf(b), PATIENCE_MS),
  ]);
  const relayMBs = ours.path === "direct" ? undefined : await carry(a, b);
  return { cell: { a, b }, ours, oursToTsnet, tsnetToOurs, tsnet, ...(relayMBs !== undefined && { relayMBs }) };
}

let ports = 7100;

/** 20 MB from a's agent to b's, hashes compared. @returns MB/s */
async function carry(a: Place, b: Place): Promise<number> {
  const [from, to, port] = [await a.agent.traffic(), await b.agent.traffic(), ports++];
  await to.listen({ kind: "sink", port });
  const addr = `${b.agentIp}:${port}`;
  const sent = await from.dial({ addr, send: RELAYED_BYTES, receive: -1, seed: 9, timeoutMs: 60_000 });
  const taken = (await to.transfers("sink", 1)).find(({ local }) => local.endsWith(`:${port}`));
  const what = nameOf({ a, b });
  assert.deepEqual([sent.error, taken?.error], [undefined, undefined], what);
  assert.equal(taken?.receivedSha256, seededSha256(9, RELAYED_BYTES), what);
  return RELAYED_BYTES / 1000 / sent.ms;
}

export function nameOf({ a, b }: Cell): string {
  return `${a.site.kind} to ${b.site.kind}`;
}

/** One line a cell. */
export function table(results: readonly CellResult[]): string {
  const text = ({ path, seconds }: Reached) => path === "nothing" ? "nothing" : `${path} ${seconds.toFixed(1)} s`;
  const columns = (cells: string[]) => "  " + cells.map((cell, i) => cell.padEnd(i === 0 ? 20 : 15)).join("").trimEnd();
  return [
    columns(["cell", "ours to ours", "ours to tsnet", "tsnet to ours", "tsnet to tsnet", "20 MB by DERP"]),
    ...results.map(({ cell, ours, oursToTsnet, tsnetToOurs, tsnet, relayMBs }) =>
      columns([
        nameOf(cell),
        ...[ours, oursToTsnet, tsnetToOurs, tsnet].map(text),
        relayMBs === undefined ? "" : `${relayMBs.toFixed(1)} MB/s`,
      ])
    ),
  ].join("\n");
}

/** What is wrong with a cell, one line each: ours must do what two tsnet peers do there, in twice their time. */
export function complaints({ cell, ours, oursToTsnet, tsnetToOurs, tsnet }: CellResult): string[] {
  const what = nameOf(cell);
  return Object.entries({ ours, oursToTsnet, tsnetToOurs }).flatMap(([pair, reached]) => {
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
