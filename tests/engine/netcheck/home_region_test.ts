import assert from "node:assert/strict";
import { chooseHome } from "../../../engine/netcheck/home_region.ts";
import type { HomeInputs } from "../../../engine/netcheck/home_region.ts";

const NOW = 1_000_000;

function choose(current: Record<number, number>, more: Partial<HomeInputs> = {}): number {
  const latencies = new Map(Object.entries(current).map(([id, ms]) => [Number(id), ms]));
  return chooseHome({
    previous: 0,
    startedAt: NOW - 1000,
    now: NOW,
    current: latencies,
    recent: latencies,
    score: () => 1,
    eligible: () => true,
    lastActivity: () => 0,
    ...more,
  });
}

Deno.test("chooseHome() takes the fastest region, the lower number on a tie", () => {
  assert.equal(choose({ 1: 30, 2: 20, 3: 25 }), 2);
  assert.equal(choose({ 7: 20, 2: 20 }), 2);
  assert.equal(choose({}), 0);
});

Deno.test("chooseHome() keeps the old home unless the new is 10 ms and a third faster", () => {
  const previous = 1;
  assert.equal(choose({ 1: 15, 2: 6 }, { previous }), 1, "9 ms faster");
  assert.equal(choose({ 1: 15, 2: 5 }, { previous }), 2, "10 ms and two thirds faster");
  assert.equal(choose({ 1: 100, 2: 70 }, { previous }), 1, "70 % of the old");
  assert.equal(choose({ 1: 100, 2: 60 }, { previous }), 2, "60 % of the old");
});

Deno.test("chooseHome() leaves a home that answers nothing, unless a frame just came from it", () => {
  const previous = 1;
  assert.equal(choose({ 2: 50 }, { previous }), 2);
  assert.equal(choose({ 2: 50 }, { previous, lastActivity: () => NOW - 7_999 }), 1);
  assert.equal(choose({ 2: 50 }, { previous, lastActivity: () => NOW - 8_001 }), 2);
  assert.equal(choose({ 2: 50 }, { previous, startedAt: NOW - 20_000, lastActivity: () => NOW - 19_000 }), 1);
});

Deno.test("chooseHome() without any answer keeps a home heard from within two keep-alives", () => {
  const previous = 1;
  assert.equal(choose({}, { previous, lastActivity: () => NOW - 119_999 }), 1);
  assert.equal(choose({}, { previous, lastActivity: () => NOW - 120_001 }), 0);
  assert.equal(choose({}, { previous: 0, lastActivity: () => NOW }), 0);
});

Deno.test("chooseHome() uses the best of the last minutes, so one slow answer moves nothing", () => {
  const recent = new Map([[1, 10], [2, 40]]);
  assert.equal(choose({ 1: 500, 2: 40 }, { recent }), 1);
});

Deno.test("chooseHome() scales by control's scores and ignores those that are none", () => {
  assert.equal(choose({ 1: 30, 2: 20 }, { score: (id) => (id === 1 ? 0.5 : 1) }), 1);
  assert.equal(choose({ 1: 30, 2: 20 }, { score: (id) => (id === 2 ? 0 : 1) }), 2);
  assert.equal(choose({ 1: 30, 2: 20 }, { score: (id) => (id === 2 ? -1 : 1) }), 2);
});

Deno.test("chooseHome() moves no one into an avoided region and keeps those who are there while nothing else answers", () => {
  const eligible = (id: number) => id !== 1;
  assert.equal(choose({ 1: 10, 2: 20 }, { eligible }), 2);
  assert.equal(choose({ 1: 10 }, { eligible, previous: 1 }), 1);
});

Deno.test("chooseHome() obeys a forced region whenever it is reachable", () => {
  assert.equal(choose({ 1: 10, 2: 200 }, { forced: 2 }), 2);
  assert.equal(choose({ 1: 10 }, { forced: 2 }), 1);
  assert.equal(choose({ 1: 10 }, { forced: 2, lastActivity: (id) => (id === 2 ? NOW - 1000 : 0) }), 2);
});
