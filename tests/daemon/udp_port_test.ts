import assert from "node:assert/strict";
import { UdpPortChoice } from "../../daemon/udp_port.ts";

Deno.test("UdpPortChoice: the named port first, at each rebind, then the one in use, then any", () => {
  const choice = new UdpPortChoice(41641);
  assert.deepEqual(choice.candidates(false), [41641, 0]);
  // It was taken.
  choice.bound(false, 50_001);
  assert.deepEqual(choice.candidates(false), [41641, 50_001, 0]);
  choice.bound(false, 41641);
  assert.deepEqual(choice.candidates(false), [41641, 0], "back for good");
});

Deno.test("UdpPortChoice: without a name, and where control wants any, the one in use is kept", () => {
  const unnamed = new UdpPortChoice(0);
  assert.deepEqual(unnamed.candidates(false), [0]);
  unnamed.bound(false, 50_001);
  assert.deepEqual(unnamed.candidates(false), [50_001, 0]);

  const choice = new UdpPortChoice(41641);
  choice.bound(false, 41641);
  assert.deepEqual(choice.candidates(true), [0], "any other, the first time");
  choice.bound(true, 50_002);
  assert.deepEqual(choice.candidates(true), [50_002, 0]);
  assert.deepEqual(choice.candidates(false), [41641, 0], "back to the operator's when control takes it back");
});
