import assert from "node:assert/strict";
import { TurnWatch } from "../../../engine/dataplane/turn_watch.ts";

/** A thread whose turns take so much of each clock. */
class Thread {
  now = 1000;
  cpu = 50;
  reads = 0;
  readonly watch = new TurnWatch(() => {
    this.reads++;
    return this.cpu;
  });

  turn(wallMs: number, cpuMs: number, restMs = 0): void {
    this.watch.begin(this.now);
    this.now += wallMs;
    this.cpu += cpuMs;
    this.watch.end(this.now);
    this.now += restMs;
  }
}

Deno.test("TurnWatch counts turns of over 5 ms by CPU time, and those the machine interrupted apart", () => {
  const thread = new Thread();
  thread.turn(1, 1, 10);
  thread.turn(4.9, 4.9, 10);
  thread.turn(5.1, 5.1, 10);
  thread.turn(30, 2, 10);
  thread.turn(40, 12, 10);
  assert.deepEqual(thread.watch.snapshot(), {
    turns: 5,
    longByCpu: 2,
    longByWall: 3,
    longestCpuMs: 12,
    longestWallMs: 40,
  });
});

Deno.test("TurnWatch never counts too little, and reads the CPU clock seldom while turns are short", () => {
  const thread = new Thread();
  for (let i = 0; i < 10_000; i++) thread.turn(0.02, 0.02);
  assert.ok(thread.reads < 1000, `${thread.reads} reads in 10,000 turns`);
  const before = thread.watch.snapshot().longByCpu;
  thread.turn(5.01, 5.01);
  assert.equal(thread.watch.snapshot().longByCpu, before + 1);
});

Deno.test("TurnWatch adds at most half a millisecond of the turns before", () => {
  const thread = new Thread();
  for (let i = 0; i < 1000; i++) thread.turn(0.1, 0.1);
  thread.turn(20, 4.4);
  assert.equal(thread.watch.snapshot().longByCpu, 0);
});
