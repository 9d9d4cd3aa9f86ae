/**
 * Which STUN probes one run sends, and when. Pure.
 *
 * A full run asks every region, up to three times 100 ms apart. An incremental run asks the three fastest regions and
 * the home, mostly once; the home, whose loss would move every flow, up to four times. Each set of probes (a region on
 * an address family) is over with its first answer. Source: net/netcheck makeProbePlan.
 */
import type { DERPMap, DERPNode, DERPRegion } from "../../derp/derp_map.ts";
import { regionIds, regionOf } from "../../derp/derp_map.ts";
import { parseIp } from "../../base/ip.ts";
import type { Report } from "./report.ts";

/** Between the probes of a region we know nothing of. */
const INITIAL_RETRANSMIT_MS = 100;
/** Between the probes of a region that did not answer in the last run: it is probably far. */
const ACTIVE_RETRANSMIT_MS = 200;
const INITIAL_TRIES = 3;
const HOME_TRIES = 4;
const FASTEST_TRIES = 2;
/** Regions an incremental run asks, besides the home. */
const INCREMENTAL_REGIONS = 3;

/** An address family. */
export type Family = 4 | 6;

/** One request to be sent. */
export interface Probe {
  /** Milliseconds after the start of the run. */
  readonly delayMs: number;
  readonly node: DERPNode;
}

/** Probes of which one answer is enough. */
export interface ProbeSet {
  readonly region: number;
  readonly family: Family;
  readonly probes: readonly Probe[];
}

/** Whether the machine has addresses of each family. */
export interface LocalFamilies {
  readonly v4: boolean;
  readonly v6: boolean;
}

/** True when a node's description does not rule the family out. */
function mayAnswer(node: DERPNode, family: Family): boolean {
  if ((node.STUNPort ?? 0) < 0) return false;
  const forced = family === 4 ? node.IPv4 : node.IPv6;
  return !forced || parseIp(forced)?.length === (family === 4 ? 4 : 16);
}

/** Nodes on this very machine, which need no address that reaches the Internet (`DERPNode.IsTestNode`). */
function isTestNode(node: DERPNode): boolean {
  return (node.STUNTestIP ?? "") !== "" || node.IPv4 === "127.0.0.1";
}

/** Regions that may be measured: an avoided one only while it is home. */
function measured(map: DERPMap, home: number): DERPRegion[] {
  return regionIds(map).map((id) => regionOf(map, id)!).filter((region) =>
    !region.NoMeasureNoHome && region.Nodes.length > 0 && (!region.Avoid || region.RegionID === home)
  );
}

function probeSet(
  region: DERPRegion,
  family: Family,
  tries: number,
  enabled: boolean,
  delay: (attempt: number) => number,
): ProbeSet | undefined {
  const probes: Probe[] = [];
  for (let attempt = 0; attempt < tries; attempt++) {
    const node = region.Nodes[attempt % region.Nodes.length];
    if (!mayAnswer(node, family) || !(enabled || isTestNode(node))) continue;
    probes.push({ delayMs: delay(attempt), node });
  }
  return probes.length === 0 ? undefined : { region: region.RegionID, family, probes };
}

/**
 * The probes of the next run.
 * @param last the report before, or undefined for a full run. @param home the home so far, 0 for none.
 */
export function makeProbePlan(
  map: DERPMap,
  local: LocalFamilies,
  last: Report | undefined,
  home: number,
): ProbeSet[] {
  if (last === undefined || last.regionLatency.size === 0) return initialPlan(map, local, home);
  return incrementalPlan(map, local, last, home);
}

function initialPlan(map: DERPMap, local: LocalFamilies, home: number): ProbeSet[] {
  const delay = (attempt: number) => attempt * INITIAL_RETRANSMIT_MS;
  return measured(map, home).flatMap((region) => [
    probeSet(region, 4, INITIAL_TRIES, local.v4, delay),
    probeSet(region, 6, INITIAL_TRIES, local.v6, delay),
  ]).filter((set) => set !== undefined);
}

function incrementalPlan(map: DERPMap, local: LocalFamilies, last: Report, home: number): ProbeSet[] {
  const latency = (region: DERPRegion) => last.regionLatency.get(region.RegionID) ?? Infinity;
  const byLatency = measured(map, home).sort((a, b) => latency(a) - latency(b) || a.RegionID - b.RegionID);
  const chosen = byLatency.filter((region, rank) => rank < INCREMENTAL_REGIONS || region.RegionID === home);
  const had6 = last.regionV6Latency.size > 0;
  const hadBoth = local.v6 && had6 && last.regionV4Latency.size > 0;
  return chosen.flatMap((region, rank) => {
    const isHome = region.RegionID === home;
    const important = isHome || rank < 2;
    // Dual-stack machines ask the regions behind the first two on one family each, in turn.
    const do4 = local.v4 && (important || !hadBoth || rank % 2 === 0);
    const do6 = local.v6 && (important || (had6 && (!hadBoth || rank % 2 === 1)));
    const tries = isHome ? HOME_TRIES : important ? FASTEST_TRIES : 1;
    const known = last.regionLatency.get(region.RegionID);
    const pause = known === undefined ? ACTIVE_RETRANSMIT_MS : known * 1.2;
    const delay = (attempt: number) => attempt * pause + (attempt > 1 ? attempt * 50 : 0);
    return [
      probeSet(region, 4, tries, do4, delay),
      // Where IPv6 gave nothing last time one request is enough to see it come back.
      probeSet(region, 6, had6 ? tries : 1, do6, delay),
    ].filter((set) => set !== undefined);
  });
}
