import assert from "node:assert/strict";
import { StunGate } from "../../../engine/magicsock/stun_gate.ts";
import { SeededRandom } from "../../support/random.ts";

function message(id: Uint8Array, offset = 0): Uint8Array {
  const bytes = new Uint8Array(offset + 32);
  bytes.set([1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42], offset);
  bytes.set(id, offset + 8);
  return bytes;
}

Deno.test("W9: StunGate passes answers to what was asked, wherever they lie, and nothing else", () => {
  const random = new SeededRandom(1);
  const gate = new StunGate();
  const [asked, other] = [random.bytes(12), random.bytes(12)];
  assert.equal(gate.takes(message(asked), 0, 0), false);
  gate.sent(message(asked), 0);
  assert.equal(gate.takes(message(other), 0, 1), false);
  assert.equal(gate.takes(message(asked, 7), 7, 1), true);
});

Deno.test("W9: StunGate passes few answers to one request, and none after five seconds", () => {
  const gate = new StunGate();
  const id = new SeededRandom(3).bytes(12);
  gate.sent(message(id), 0);
  const taken = Array.from({ length: 10 }, () => gate.takes(message(id), 0, 100)).filter((took) => took);
  assert.equal(taken.length, 4);
  gate.sent(message(id), 200);
  assert.equal(gate.takes(message(id), 0, 5_199), true);
  assert.equal(gate.takes(message(id), 0, 5_201), false);
});

Deno.test("StunGate remembers a bounded number of requests, the newest", () => {
  const random = new SeededRandom(4);
  const gate = new StunGate();
  const ids = Array.from({ length: 3_000 }, () => random.bytes(12));
  for (const id of ids) gate.sent(message(id), 10);
  const known = ids.filter((id) => gate.takes(message(id), 0, 11));
  assert.equal(known.length, 1_024);
  assert.equal(known.at(-1), ids.at(-1));
});
