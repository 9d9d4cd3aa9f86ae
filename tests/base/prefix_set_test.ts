import assert from "node:assert/strict";
import { parseIp, parsePrefix, prefixContains } from "../../base/ip.ts";
import { subtractPrefixes } from "../../base/prefix_set.ts";
import { SeededRandom } from "../support/random.ts";

Deno.test("subtractPrefixes() leaves the rest in the fewest prefixes", () => {
  assert.deepEqual(subtractPrefixes(["10.0.0.0/24"], ["10.0.0.128/25"]), ["10.0.0.0/25"]);
  assert.deepEqual(subtractPrefixes(["10.0.0.0/24"], ["10.0.0.0/8"]), []);
  assert.deepEqual(subtractPrefixes(["10.0.0.0/24"], ["::/0", "nonsense"]), ["10.0.0.0/24"]);
  assert.deepEqual(subtractPrefixes(["10.0.0.0/30"], ["10.0.0.1/32"]), ["10.0.0.0/32", "10.0.0.2/31"]);
  assert.equal(subtractPrefixes(["::/0"], ["::1/128"]).length, 128);
});

Deno.test("subtractPrefixes() has exactly the addresses that are in the whole and in no hole", () => {
  const random = new SeededRandom(7);
  const byte = () => random.bytes(1)[0];
  for (let round = 0; round < 200; round++) {
    const holes = Array.from({ length: byte() % 5 }, () => {
      const bits = 24 + byte() % 9;
      return `10.0.0.${bits === 24 ? 0 : (byte() >> (32 - bits)) << (32 - bits)}/${bits}`;
    });
    const left = subtractPrefixes(["10.0.0.0/24"], holes).map((text) => parsePrefix(text)!);
    for (let host = 0; host < 256; host++) {
      const ip = parseIp(`10.0.0.${host}`)!;
      const inHole = holes.some((hole) => prefixContains(parsePrefix(hole)!, ip));
      const times = left.filter((prefix) => prefixContains(prefix, ip)).length;
      assert.equal(times, inHole ? 0 : 1, `10.0.0.${host} without ${holes.join(" ")}`);
    }
  }
});
