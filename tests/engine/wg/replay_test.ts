import assert from "node:assert/strict";
import { ReplayWindow } from "../../../engine/wg/replay.ts";
import { SeededRandom } from "../../support/random.ts";

const low = (counter: number) => counter >>> 0;
const high = (counter: number) => Math.floor(counter / 2 ** 32);

/** The rule in its slowest and plainest form: remember everything. */
class NaiveWindow {
  readonly #seen = new Set<number>();
  #newest = 0;

  accept(counter: number): boolean {
    if (counter >= 2 ** 53 || this.#newest - counter > 8128 || this.#seen.has(counter)) return false;
    this.#seen.add(counter);
    this.#newest = Math.max(this.#newest, counter);
    return true;
  }
}

/** Runs both steps as the data plane does and makes sure they agree. */
function offer(window: ReplayWindow, counter: number): boolean {
  const refused = window.check(low(counter), high(counter));
  const accepted = window.accept(low(counter), high(counter));
  assert.equal(accepted, refused === undefined, `check and accept disagree about ${counter}`);
  return accepted;
}

Deno.test("W2: ReplayWindow accepts a counter 8128 behind the newest once and refuses one 8129 behind", () => {
  const window = new ReplayWindow();
  assert.equal(offer(window, 20_000), true);
  assert.equal(offer(window, 20_000 - 8128), true);
  assert.equal(offer(window, 20_000 - 8128), false);
  assert.equal(window.check(20_000 - 8129, 0), "counter-replay");
  assert.equal(offer(window, 20_000 - 8129), false);
});

Deno.test("ReplayWindow accepts counter 0 first, and each counter once", () => {
  const window = new ReplayWindow();
  for (const counter of [0, 1, 9, 8, 7]) assert.equal(offer(window, counter), true);
  for (const counter of [0, 1, 9, 8, 7]) assert.equal(offer(window, counter), false);
  assert.equal(offer(window, 2), true);
});

Deno.test("W2: ReplayWindow keeps counting beyond 32 bits and refuses 2^53 and more", () => {
  const window = new ReplayWindow();
  assert.equal(offer(window, 2 ** 32 - 1), true);
  assert.equal(offer(window, 2 ** 32), true);
  assert.equal(offer(window, 2 ** 32), false);
  assert.equal(offer(window, 0), false);
  assert.equal(offer(window, 2 ** 53 - 1), true);
  assert.equal(offer(window, 2 ** 53 - 1), false);
  assert.equal(offer(window, 2 ** 53 - 1 - 8128), true);
  for (const [l, h] of [[0, 2 ** 21], [0xffff_dfff, 0xffff_ffff], [0xffff_ffff, 0xffff_ffff]]) {
    assert.equal(window.check(l, h), "counter-limit");
    assert.equal(window.accept(l, h), false);
  }
});

Deno.test("W2: ReplayWindow.check() changes nothing, so forged counters do not move the window", () => {
  const window = new ReplayWindow();
  assert.equal(offer(window, 5), true);
  for (let i = 0; i < 100; i++) assert.equal(window.check(1_000_000 + i, 7), undefined);
  assert.equal(offer(window, 4), true);
  assert.equal(offer(window, 6), true);
});

Deno.test("ReplayWindow agrees with a naive twin on random walks", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed);
    const window = new ReplayWindow();
    const naive = new NaiveWindow();
    let newest = random.pick([0, 0, 8190, 2 ** 32 - 5000, 2 ** 53 - 30_000]);
    for (let i = 0; i < 5000; i++) {
      const jump = random.pick([1, 1, 1, 2, 33, 64, 5000, 8128, 8129, 8192, 8193, 100_000]);
      const back = random.pick([0, 1, 31, 32, 33, 100, 8127, 8128, 8129, 8160, 8191, 8192, random.int(9000)]);
      const counter = random.chance(0.3) ? newest + random.int(jump + 1) : Math.max(0, newest - back);
      const expected = naive.accept(counter);
      assert.equal(offer(window, counter), expected, `seed ${seed}, step ${i}, counter ${counter}, newest ${newest}`);
      if (expected) newest = Math.max(newest, counter);
    }
  }
});
