import assert from "node:assert/strict";
import { foldInt64, parseJson } from "../../../control/wire/json.ts";
import { SeededRandom } from "../../support/random.ts";

Deno.test("parseJson() keeps two node IDs apart that JSON.parse rounds together", () => {
  const text = '{"Peers":[{"ID":4944168586987216123},{"ID":4944168586987216124}],"PeersRemoved":[4944168586987216123]}';
  const plain = JSON.parse(text);
  assert.equal(plain.Peers[0].ID, plain.Peers[1].ID);
  // deno-lint-ignore no-explicit-any
  const kept = parseJson(text) as any;
  assert.notEqual(kept.Peers[0].ID, kept.Peers[1].ID);
  assert.equal(kept.PeersRemoved[0], kept.Peers[0].ID);
  assert.equal(kept.Peers[0].ID, foldInt64("4944168586987216123"));
  assert.ok(Number.isSafeInteger(kept.Peers[0].ID));
});

Deno.test("parseJson() with text keeps the digits for sending them back", () => {
  assert.deepEqual(parseJson('{"NodeID":-9223372036854775808}', "text"), { NodeID: "-9223372036854775808" });
  assert.deepEqual(parseJson('{"NodeID":12}', "text"), { NodeID: 12 });
});

Deno.test("parseJson() lets other long numbers and digits in strings be", () => {
  const text = '{"sessionDuration":31536000000000000,"Name":":12345678901234567890","x":[1.5e30]}';
  assert.deepEqual(parseJson(text), JSON.parse(text));
});

Deno.test("foldInt64() leaves safe integers alone and folds others into 2^52 to 2^53", () => {
  assert.equal(foldInt64("9007199254740991"), 2 ** 53 - 1);
  assert.equal(foldInt64("-5"), -5);
  const random = new SeededRandom(99);
  const seen = new Set<number>();
  for (let i = 0; i < 10_000; i++) {
    const folded = foldInt64(String((BigInt(random.u32()) << 31n) | BigInt(random.u32() >>> 1) | (1n << 62n)));
    assert.ok(Number.isSafeInteger(folded) && folded >= 2 ** 52 && folded < 2 ** 53);
    seen.add(folded);
  }
  assert.ok(seen.size >= 9_999);
});
