import assert from "node:assert/strict";
import type { Deadlined } from "../../../engine/wg/deadlines.ts";
import { Deadlines } from "../../../engine/wg/deadlines.ts";
import { SeededRandom } from "../../support/random.ts";

class Item implements Deadlined {
  at = Infinity;
  queuedAt = Infinity;
  place = -1;

  deadline(): number {
    return this.at;
  }
}

Deno.test("Deadlines gives the earliest after deadlines moved earlier, later and away", () => {
  const deadlines = new Deadlines<Item>();
  const [a, b] = [new Item(), new Item()];
  assert.equal(deadlines.next(), Infinity);
  a.at = 10;
  deadlines.update(a);
  b.at = 5;
  deadlines.update(b);
  assert.equal(deadlines.next(), 5);
  b.at = 20;
  deadlines.update(b);
  assert.equal(deadlines.next(), 10);
  a.at = Infinity;
  assert.equal(deadlines.next(), 20);
  assert.equal(deadlines.takeDue(19), undefined);
  assert.equal(deadlines.takeDue(20), b);
  assert.equal(deadlines.next(), Infinity);
});

Deno.test("Deadlines agrees with a search of all items under random changes", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const deadlines = new Deadlines<Item>();
    const items = Array.from({ length: 50 }, () => new Item());
    const filed = new Set<Item>();
    for (let step = 0; step < 2000; step++) {
      const item = random.pick(items);
      if (random.chance(0.05)) {
        deadlines.remove(item);
        filed.delete(item);
      } else {
        item.at = random.chance(0.2) ? Infinity : random.int(1000);
        deadlines.update(item);
        filed.add(item);
      }
      const earliest = Math.min(...[...filed].map(({ at }) => at));
      assert.equal(deadlines.next(), earliest, `seed ${seed}, step ${step}`);
      if (random.chance(0.1) && earliest < Infinity) {
        const due = deadlines.takeDue(earliest)!;
        assert.equal(due.at, earliest);
        filed.delete(due);
      }
    }
  }
});
