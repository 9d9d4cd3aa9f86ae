import assert from "node:assert/strict";
import { IndexTable } from "../../../engine/wg/index_table.ts";
import { SeededRandom } from "../../support/random.ts";

Deno.test("IndexTable.allocate() draws again while an index is in use, and may reuse a freed one", () => {
  const draws = [[0, 0, 0, 1], [0, 0, 0, 1], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 1]];
  const table = new IndexTable<string>(() => Uint8Array.from(draws.shift()!));
  assert.equal(table.allocate("a"), 1);
  assert.equal(table.allocate("b"), 0xffff_ffff);
  table.release(1);
  assert.equal(table.get(1), undefined);
  assert.equal(table.allocate("c"), 1);
  assert.equal(table.get(1), "c");
  assert.equal(table.get(0xffff_ffff), "b");
  assert.equal(table.size, 2);
});

Deno.test("IndexTable.allocate() gives unique unsigned 32-bit numbers", () => {
  const table = new IndexTable<number>(new SeededRandom(3).bytes);
  const indices = new Set(Array.from({ length: 5000 }, (_, i) => table.allocate(i)));
  assert.equal(indices.size, 5000);
  for (const index of indices) assert.ok(Number.isInteger(index) && index >= 0 && index < 2 ** 32);
});

Deno.test("IndexTable.allocate() throws when the random source repeats itself for ever", () => {
  const table = new IndexTable<string>((length) => new Uint8Array(length));
  table.allocate("a");
  assert.throws(() => table.allocate("b"), RangeError);
});
