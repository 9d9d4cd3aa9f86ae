import assert from "node:assert/strict";
import { compareBytes, toHex } from "../../../base/bytes.ts";
import { createTimestamps } from "../../../engine/wg/tai64n.ts";

Deno.test("createTimestamps() gives TAI64N, whitened to 2^24 ns as wireguard-go does", () => {
  assert.equal(toHex(createTimestamps(() => 0)()), "400000000000000a00000000");
  // 999 ms = 999,000,000 ns = 0x3b8b87c0
  assert.equal(toHex(createTimestamps(() => 1_700_000_000_999)()), "400000006553f10a3b000000");
});

Deno.test("W5: createTimestamps() always gives a greater timestamp, even when the clock is set back", () => {
  const clock = [5000, 5000, 5000.5, 4000, -10, 6000, 5999.9];
  const next = createTimestamps(() => clock.shift()!);
  let last = next();
  while (clock.length > 0) {
    const stamp = next();
    assert.ok(compareBytes(stamp, last) > 0, `${toHex(stamp)} after ${toHex(last)}`);
    last = stamp;
  }
});

Deno.test("createTimestamps() carries whitened nanoseconds into the next second", () => {
  const next = createTimestamps(() => 1999);
  const stamps = Array.from({ length: 70 }, () => toHex(next()));
  assert.equal(stamps[0], "400000000000000b3b000000");
  assert.equal(stamps[1].slice(0, 16), "400000000000000c");
  assert.equal(new Set(stamps).size, 70);
  assert.deepEqual(stamps.toSorted(), stamps);
});
