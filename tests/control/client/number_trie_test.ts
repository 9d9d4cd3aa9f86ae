import assert from "node:assert/strict";
import { NumberTrie } from "../../../control/client/number_trie.ts";
import { SeededRandom } from "../../support/random.ts";

Deno.test("NumberTrie is a Map from integers, whatever is done to it", () => {
  const random = new SeededRandom(31337);
  for (let run = 0; run < 20; run++) {
    let trie = NumberTrie.empty<string>();
    const map = new Map<number, string>();
    const key = () => random.chance(0.3) ? 2 ** 52 + random.int(50) * 32768 : random.int(200) - 20;
    for (let step = 0; step < 300; step++) {
      const edit = trie.edit();
      for (let i = random.int(5); i >= 0; i--) {
        const id = key();
        if (random.chance(0.4)) assert.equal(edit.delete(id), map.delete(id));
        else {
          edit.set(id, `${step}`);
          map.set(id, `${step}`);
        }
        assert.equal(edit.get(id), map.get(id));
      }
      trie = edit.finish();
      assert.equal(trie.size, map.size, `seed ${random.seed} run ${run} step ${step}`);
    }
    assert.deepEqual([...trie.keys()].sort((a, b) => a - b), [...map.keys()].sort((a, b) => a - b));
    for (const [id, value] of map) assert.equal(trie.get(id), value);
    assert.equal([...trie].length, map.size);
  }
});

Deno.test("NumberTrie.edit() leaves the map before as it was", () => {
  const first = NumberTrie.empty<number>().edit();
  for (let i = 0; i < 1000; i++) first.set(i, i);
  const before = first.finish();
  const edit = before.edit();
  for (let i = 0; i < 1000; i += 2) edit.delete(i);
  for (let i = 1; i < 1000; i += 2) edit.set(i, -i);
  const after = edit.finish();
  assert.equal(after.size, 500);
  assert.equal(before.size, 1000);
  for (let i = 0; i < 1000; i++) assert.equal(before.get(i), i);
});

Deno.test("NumberTrie: an edit goes on after finish() without touching what it gave out", () => {
  const edit = NumberTrie.empty<number>().edit();
  edit.set(1, 1);
  const first = edit.finish();
  edit.set(1, 2);
  assert.equal(first.get(1), 1);
});

Deno.test("NumberTrie.edit() without changes gives the same map", () => {
  const trie = NumberTrie.empty<number>();
  const edit = trie.edit();
  edit.delete(5);
  assert.equal(edit.finish(), trie);
});
