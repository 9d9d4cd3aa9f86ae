import assert from "node:assert/strict";
import { makeProbePlan } from "../../../engine/netcheck/probe_plan.ts";
import type { ProbeSet } from "../../../engine/netcheck/probe_plan.ts";
import { EMPTY_REPORT } from "../../../engine/netcheck/report.ts";
import { mapOf, region } from "./world.ts";

const BOTH = { v4: true, v6: true };
const FIVE = mapOf(...[1, 2, 3, 4, 5].map((id) => region(id)));

/** "1v4 0,100,200" for each set. */
function show(plan: readonly ProbeSet[]): string[] {
  return plan.map(({ region, family, probes }) => `${region}v${family} ${probes.map(({ delayMs }) => delayMs)}`);
}

function report(latencies: Record<number, number>, v6: boolean): typeof EMPTY_REPORT {
  const all = new Map(Object.entries(latencies).map(([id, ms]) => [Number(id), ms]));
  return { ...EMPTY_REPORT, regionLatency: all, regionV4Latency: all, regionV6Latency: v6 ? all : new Map() };
}

Deno.test("a full plan asks every region three times on both families", () => {
  assert.deepEqual(show(makeProbePlan(mapOf(region(1), region(2)), BOTH, undefined, 0)), [
    "1v4 0,100,200",
    "1v6 0,100,200",
    "2v4 0,100,200",
    "2v6 0,100,200",
  ]);
});

Deno.test("a plan leaves out what cannot answer", () => {
  const map = mapOf(
    region(1, {}, { IPv4: "none" }),
    region(2, {}, { STUNPort: -1 }),
    region(3, { NoMeasureNoHome: true }),
    region(4, { Nodes: [] }),
    region(5, { Avoid: true }),
    region(6, {}, { IPv6: "none" }),
  );
  assert.deepEqual(show(makeProbePlan(map, BOTH, undefined, 0)), ["1v6 0,100,200", "6v4 0,100,200"]);
  assert.deepEqual(show(makeProbePlan(map, { v4: true, v6: false }, undefined, 0)), ["6v4 0,100,200"]);
  assert.equal(show(makeProbePlan(map, BOTH, undefined, 5)).includes("5v4 0,100,200"), true, "an avoided home");
});

Deno.test("a relay on this machine is asked whatever addresses there are", () => {
  const map = mapOf(region(1, {}, { IPv4: "127.0.0.1", IPv6: "none" }));
  assert.deepEqual(show(makeProbePlan(map, { v4: false, v6: false }, undefined, 0)), ["1v4 0,100,200"]);
});

Deno.test("several nodes of a region are asked in turn", () => {
  const two = region(1);
  const map = mapOf({ ...two, Nodes: [two.Nodes[0], { ...two.Nodes[0], Name: "1b" }] });
  const [set] = makeProbePlan(map, { v4: true, v6: false }, undefined, 0);
  assert.deepEqual(set.probes.map(({ node }) => node.Name), ["1a", "1b", "1a"]);
});

Deno.test("an incremental plan asks the fastest three and the home, the home most", () => {
  const last = report({ 1: 10, 2: 20, 3: 30, 4: 40, 5: 50 }, false);
  assert.deepEqual(show(makeProbePlan(FIVE, { v4: true, v6: false }, last, 1)), [
    "1v4 0,12,124,186",
    "2v4 0,24",
    "3v4 0",
  ]);
  assert.deepEqual(
    show(makeProbePlan(FIVE, { v4: true, v6: false }, last, 5)),
    ["1v4 0,12", "2v4 0,24", "3v4 0", "5v4 0,60,220,330"],
  );
});

Deno.test("an incremental plan on a dual-stack machine asks slower regions on one family each", () => {
  const last = report({ 1: 10, 2: 20, 3: 30, 4: 40, 5: 50 }, true);
  assert.deepEqual(show(makeProbePlan(FIVE, BOTH, last, 1)), [
    "1v4 0,12,124,186",
    "1v6 0,12,124,186",
    "2v4 0,24",
    "2v6 0,24",
    "3v4 0",
  ]);
});

Deno.test("where IPv6 gave nothing, one request watches for it to come back", () => {
  const last = report({ 1: 10, 2: 20, 3: 30 }, false);
  assert.deepEqual(show(makeProbePlan(FIVE, BOTH, last, 1)), [
    "1v4 0,12,124,186",
    "1v6 0",
    "2v4 0,24",
    "2v6 0",
    "3v4 0",
  ]);
});

Deno.test("a home that did not answer last time is asked at the conservative pace", () => {
  const last = report({ 2: 20 }, false);
  assert.equal(show(makeProbePlan(FIVE, { v4: true, v6: false }, last, 1)).includes("1v4 0,200,500,750"), true);
});
