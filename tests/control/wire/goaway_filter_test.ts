import assert from "node:assert/strict";
import { concat } from "../../../base/bytes.ts";
import { GoawayFilter } from "../../../control/wire/goaway_filter.ts";
import { SeededRandom } from "../../support/random.ts";

function frame(type: number, payload: Uint8Array): Uint8Array {
  const { length } = payload;
  return concat(Uint8Array.of(length >> 16, length >> 8, length, type, 0, 0, 0, 0, 1), payload);
}

Deno.test("GoawayFilter takes out GOAWAY and nothing else, however the bytes are cut", () => {
  const random = new SeededRandom(20261122);
  for (let round = 0; round < 300; round++) {
    const preface = random.bytes(24);
    const frames = Array.from({ length: random.int(12) }, () => {
      const type = random.int(10);
      return { type, bytes: frame(type, random.bytes(random.int(400))) };
    });
    const all = concat(preface, ...frames.map(({ bytes }) => bytes));
    const filter = new GoawayFilter();
    const out: Uint8Array[] = [];
    for (let at = 0; at < all.length;) {
      const end = Math.min(all.length, at + 1 + random.int(50));
      out.push(filter.push(all.slice(at, end)));
      at = end;
    }
    const want = concat(preface, ...frames.filter(({ type }) => type !== 7).map(({ bytes }) => bytes));
    assert.deepEqual(concat(...out), want);
  }
});
