import assert from "node:assert/strict";
import { Ring } from "../../../engine/dataplane/ring.ts";
import { SeededRandom } from "../../support/random.ts";

Deno.test("Ring.write() and read() pass random records in order, round and round", () => {
  const random = new SeededRandom(20261122);
  const ring = Ring.allocate(4096);
  const sent: Uint8Array[] = [];
  let received = 0;
  for (let step = 0; step < 20_000; step++) {
    if (random.int(2) === 0) {
      const payload = random.bytes(random.int(500));
      const half = random.int(payload.length + 1);
      if (ring.write(step & 7, payload.subarray(0, half), payload.subarray(half))) sent.push(payload);
    } else {
      ring.read((_type, payload) => assert.deepEqual(new Uint8Array(payload), sent[received++]));
    }
  }
  while (ring.read((_type, payload) => assert.deepEqual(new Uint8Array(payload), sent[received++])));
  assert.equal(received, sent.length);
  assert.ok(ring.lost > 0, "a ring this small was full at times");
});

Deno.test("Ring.write() refuses a record that does not fit and counts it", () => {
  const ring = Ring.allocate(1024);
  for (let i = 0; i < 3; i++) assert.ok(ring.write(1, new Uint8Array(256)));
  assert.equal(ring.write(1, new Uint8Array(256)), false);
  assert.equal(ring.lost, 1);
  assert.ok(ring.read(() => {}));
  assert.ok(ring.write(1, new Uint8Array(256)));
});

Deno.test("Ring.write() throws for a record that could never fit", () => {
  assert.throws(() => Ring.allocate(1024).write(1, new Uint8Array(1000)), RangeError);
});

Deno.test("Ring.written() settles on a write and on a nudge", async () => {
  // An asynchronous wait does not keep an event loop alive; in the daemon the worker does.
  const alive = setInterval(() => {}, 1000);
  const ring = Ring.allocate(1024);
  const first = ring.written(ring.signal);
  ring.write(1, Uint8Array.of(1));
  await first;
  const second = ring.written(ring.signal);
  ring.nudge();
  await second;
  clearInterval(alive);
});
