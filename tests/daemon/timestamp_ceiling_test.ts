import assert from "node:assert/strict";
import { fromUtf8, toHex, utf8 } from "../../base/bytes.ts";
import { MemoryState, StateFileError } from "../../daemon/state_file.ts";
import { timestampBounds, TimestampCeiling } from "../../daemon/timestamp_ceiling.ts";
import { createTimestamps } from "../../engine/wg/tai64n.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";
import { SeededRandom } from "../support/random.ts";

const KEY = "_agent-timestamp-ceiling";
const YEAR_2026 = Date.UTC(2026, 0, 1);

/** One run of the daemon on a state: `next` gives a timestamp as hex, which compares as the bytes do. */
function run(store: MemoryState, startWall: number, warn: (text: string) => void = () => {}) {
  const scheduler = new FakeScheduler(startWall);
  const ceiling = new TimestampCeiling({ store, scheduler, warn });
  ceiling.begin();
  const next = createTimestamps(() => scheduler.wall(), timestampBounds(ceiling.shared));
  return { scheduler, ceiling, next: () => toHex(next()), stored: () => BigInt(fromUtf8(store.read(KEY)!)!) };
}

Deno.test("W5: a timestamp is above the last one sent across crashes, with the clock a day off or at 1970", () => {
  const store = new MemoryState();
  let last = "";
  const day = 86_400_000;
  for (const startWall of [YEAR_2026, YEAR_2026 - day, 0, YEAR_2026 + day, YEAR_2026, 0, YEAR_2026 + 2 * day]) {
    const { scheduler, next } = run(store, startWall);
    for (let i = 0; i < 50; i++) {
      const now = next();
      assert.ok(now > last, `${now} after ${last} with a clock at ${new Date(scheduler.wall()).toISOString()}`);
      last = now;
      scheduler.advanceSync(20_000);
    }
    // No close: it crashed.
  }
});

Deno.test("W5: the property holds for any order of crashes, ends, clocks and pauses", () => {
  const random = new SeededRandom(7);
  const float = () => random.u32() / 2 ** 32;
  for (let world = 0; world < 50; world++) {
    const store = new MemoryState();
    let last = "";
    for (let life = 0; life < 12; life++) {
      const { scheduler, ceiling, next, stored } = run(store, Math.floor(float() * 2 * YEAR_2026));
      for (let i = Math.floor(float() * 40); i > 0; i--) {
        const now = next();
        assert.ok(now > last);
        last = now;
        scheduler.advanceSync(Math.floor(float() * 400_000));
      }
      assert.ok(stored() >= BigInt(`0x${last.slice(0, 16) || "0"}`) - 0x400000000000000an, "stored ahead");
      if (float() < 0.5) ceiling.close();
    }
  }
});

Deno.test("a burst far above what a second of timestamps holds stays below the ceiling", () => {
  const store = new MemoryState();
  store.write(KEY, utf8(String(BigInt(YEAR_2026) * 1_000_000n)));
  const { next, stored } = run(store, 0);
  let last = "";
  for (let i = 0; i < 5_000; i++) {
    const now = next();
    assert.ok(now > last);
    last = now;
  }
  const seconds = BigInt(`0x${last.slice(0, 16)}`) - 0x400000000000000an;
  assert.ok(seconds * 1_000_000_000n + BigInt(`0x${last.slice(16)}`) <= stored());
});

Deno.test("an idle node stores nothing; a busy one seldom; an end in order stores the last one sent", () => {
  const store = new MemoryState();
  let writes = 0;
  const write = store.write.bind(store);
  store.write = (key, value) => {
    writes++;
    write(key, value);
  };
  const { scheduler, ceiling, next, stored } = run(store, YEAR_2026);
  assert.equal(writes, 1);
  for (let hour = 0; hour < 360; hour++) scheduler.advanceSync(10_000);
  assert.equal(writes, 1, "an hour of nothing");
  for (let i = 0; i < 360; i++) {
    next();
    scheduler.advanceSync(10_000);
  }
  assert.ok(writes <= 1 + 25, `${writes} writes in an hour of handshakes`);
  ceiling.close();
  const ahead = stored() - BigInt(scheduler.wall()) * 1_000_000n;
  assert.ok(ahead <= 0n, "another program may go on at once");
});

Deno.test("a full disk leaves timestamps below the old ceiling, and is said once; what is damaged is refused", () => {
  const store = new MemoryState();
  const said: string[] = [];
  const { scheduler, next, stored } = run(store, YEAR_2026, (text) => void said.push(text));
  const before = stored();
  store.write = () => {
    throw new StateFileError("Cannot write state file: no space");
  };
  let last = "";
  for (let i = 0; i < 200; i++) {
    const now = next();
    assert.ok(now > last);
    last = now;
    scheduler.advanceSync(10_000);
  }
  const seconds = BigInt(`0x${last.slice(0, 16)}`) - 0x400000000000000an;
  assert.ok(seconds * 1_000_000_000n < before);
  assert.deepEqual(said, ["Cannot write state file: no space"]);

  const damaged = new MemoryState();
  damaged.write(KEY, utf8("soon"));
  assert.throws(() => run(damaged, 0), StateFileError);
});

Deno.test("a disk that is full at the start is said, and the node works all the same; nothing is written before begin()", () => {
  const store = new MemoryState();
  const said: string[] = [];
  const scheduler = new FakeScheduler();
  new TimestampCeiling({ store, scheduler, warn: () => {} }).close();
  assert.equal(store.read(KEY), undefined);
  store.write = () => {
    throw new StateFileError("Cannot write state file: no space");
  };
  const ceiling = new TimestampCeiling({ store, scheduler, warn: (text) => void said.push(text) });
  ceiling.begin();
  const next = createTimestamps(() => scheduler.wall(), timestampBounds(ceiling.shared));
  assert.ok(toHex(next()) < toHex(next()));
  assert.deepEqual(said, ["Cannot write state file: no space"]);
  ceiling.close();
});
