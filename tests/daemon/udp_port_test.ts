import assert from "node:assert/strict";
import { UdpPortChoice } from "../../daemon/udp_port.ts";

Deno.test("UdpPortChoice keeps a port over rebinds, the named one and any, and changes with the wish alone", () => {
  const choice = new UdpPortChoice(41641);
  assert.equal(choice.wanted(false), 41641);
  choice.bound(false, 41641);
  assert.equal(choice.wanted(true), 0, "any other, the first time");
  choice.bound(true, 50_001);
  assert.equal(choice.wanted(true), 50_001, "and that one from then on");
  assert.equal(choice.wanted(false), 41641, "back to the operator's when control takes it back");
});
