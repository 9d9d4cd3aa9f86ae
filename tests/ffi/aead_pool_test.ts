import assert from "node:assert/strict";
import { AeadJobs, HEAD, JOBS, KEYS, NEXT, SLEEPING } from "../../ffi/aead_jobs.ts";
import { AeadPool, WORTH_WAKING } from "../../ffi/aead_pool.ts";
import { createArena } from "../../ffi/arena.ts";
import type { FfiArena } from "../../ffi/arena.ts";
import { selectProvider } from "../../ffi/crypto_provider.ts";
import { SeededRandom } from "../support/random.ts";

const TAG = 16;
const STRIDE = 1536;
const SEED = 20261127;

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 20_000, "it did not come to pass in 20 s");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

interface Scene {
  readonly arena: FfiArena;
  readonly pool: AeadPool;
  readonly random: SeededRandom;
  /** Ends the helpers; resolves when all of them did. */
  close(): Promise<void>;
}

/** With its helpers there and asleep. */
async function scene(helpers: number): Promise<Scene> {
  const arena = createArena(16 << 20);
  const pool = new AeadPool(arena, selectProvider({ arena }).provider);
  const ended = Array.from({ length: helpers }, () => {
    const worker = new Worker(new URL("./aead_helper_worker.ts", import.meta.url), { type: "module" });
    worker.postMessage(pool.share);
    return new Promise<void>((resolve, reject) => {
      worker.onmessage = () => {
        worker.terminate();
        resolve();
      };
      worker.onerror = (event) => reject(new Error(event.message));
    });
  });
  const { words, control } = new AeadJobs(arena, pool.share.at);
  await until(() => Atomics.load(words, control + SLEEPING) === helpers);
  return {
    arena,
    pool,
    random: new SeededRandom(SEED),
    async close() {
      new AeadJobs(arena, pool.share.at).stop();
      await Promise.all(ended);
    },
  };
}

/** Fills `count` slots with packets; `expected` is what the provider makes of each by itself. */
function batch({ arena, pool, random }: Scene, key: number, count: number, counter: number) {
  const at = arena.reserve(count * STRIDE);
  return Array.from({ length: count }, (_, i) => {
    const offset = at + i * STRIDE;
    const plain = random.bytes(random.int(STRIDE - TAG));
    arena.u8.set(plain, offset);
    pool.seal(key, offset, plain.length, counter + i, 7);
    const sealed = arena.u8.slice(offset, offset + plain.length + TAG);
    return { offset, plain, sealed, counter: counter + i };
  });
}

for (const helpers of [0, 1, 3]) {
  Deno.test(`AeadPool with ${helpers} helpers seals and opens each packet as its provider does`, async () => {
    const s = await scene(helpers);
    const { arena, pool, random } = s;
    const raw = random.bytes(32);
    const [sealKey, openKey] = [pool.createKey(raw, "seal"), pool.createKey(raw, "open")];
    for (let round = 0; round < 30; round++) {
      const packets = batch(s, sealKey, 1 + random.int(100), round * 1000);
      for (const { offset, plain, counter } of packets) {
        arena.u8.set(plain, offset);
        pool.sealLater(sealKey, offset, plain.length, counter, 7);
      }
      pool.settle();
      for (const { offset, sealed } of packets) {
        assert.deepEqual(arena.u8.slice(offset, offset + sealed.length), sealed);
      }
      // One in five is altered on its way.
      const forged = packets.map(() => random.int(5) === 0);
      const tickets = packets.map(({ offset, plain, counter }, i) => {
        if (forged[i]) arena.u8[offset + random.int(plain.length + TAG)] ^= 1;
        return pool.openLater(openKey, offset, plain.length, counter, 7);
      });
      pool.settle();
      for (const [i, { offset, plain }] of packets.entries()) {
        assert.equal(pool.opened(tickets[i]), !forged[i]);
        if (!forged[i]) assert.deepEqual(arena.u8.slice(offset, offset + plain.length), plain);
      }
    }
    await s.close();
  });
}

Deno.test("AeadPool's helpers wake and do what the worker has not come to", async () => {
  const s = await scene(2);
  const { arena, pool, random } = s;
  const key = pool.createKey(random.bytes(32), "seal");
  const packets = batch(s, key, 64, 0);
  const { words, control } = new AeadJobs(arena, pool.share.at);
  const waiting = () => Atomics.load(words, control + HEAD) - Atomics.load(words, control + NEXT);
  const post = (some: typeof packets) => {
    for (const { offset, plain, counter } of some) {
      arena.u8.set(plain, offset);
      pool.sealLater(key, offset, plain.length, counter, 7);
    }
  };
  for (let round = 0; round < 10; round++) {
    post(packets);
    // Helpers that were done before the last ones came sleep again, and a few jobs do not wake them.
    await until(() => waiting() < WORTH_WAKING);
    pool.settle();
    assert.equal(waiting(), 0);
    for (const { offset, sealed } of packets) {
      assert.deepEqual(arena.u8.slice(offset, offset + sealed.length), sealed);
    }
    await until(() => Atomics.load(words, control + SLEEPING) === 2);
  }
  post(packets.slice(0, WORTH_WAKING - 1));
  assert.equal(waiting(), WORTH_WAKING - 1, "so few are the worker's own");
  pool.settle();
  assert.equal(waiting(), 0);
  await s.close();
});

Deno.test("AeadPool gives each job the key it was posted with, through many rekeys", async () => {
  const s = await scene(2);
  const { arena, pool, random } = s;
  const ids = new Set<number>();
  for (let round = 0; round < 200; round++) {
    const raw = random.bytes(32);
    const key = pool.createKey(raw, "seal");
    ids.add(key);
    const [{ offset, plain, sealed }] = batch(s, key, 1, round);
    for (let i = 0; i < 20; i++) {
      arena.u8.set(plain, offset);
      pool.sealLater(key, offset, plain.length, round, 7);
      if (i < 19) pool.settle();
    }
    // Freed while its last job may be under way: that one is done first.
    pool.freeKey(key);
    assert.deepEqual(arena.u8.slice(offset, offset + sealed.length), sealed, `round ${round}`);
  }
  assert.ok(ids.size < 200, "handles are used anew, with other keys behind them");
  await s.close();
});

Deno.test("AeadPool erases a freed key from the arena", async () => {
  const { arena, pool } = await scene(0);
  const raw = Uint8Array.from({ length: 32 }, (_, i) => 0xa0 + i);
  const holds = () => {
    const at = arena.u8.subarray(pool.share.at).findIndex((_, i, all) => raw.every((byte, j) => all[i + j] === byte));
    return at >= 0;
  };
  const key = pool.createKey(raw, "seal");
  assert.equal(holds(), true);
  pool.freeKey(key);
  assert.equal(holds(), false);
});

Deno.test("AeadPool takes more jobs than its ring has and more keys than helpers know", async () => {
  const s = await scene(1);
  const { arena, pool, random } = s;
  const key = pool.createKey(random.bytes(32), "seal");
  const packets = batch(s, key, 64, 0);
  for (let i = 0; i < 3 * JOBS; i++) {
    // The same bytes again and again would seal what is sealed: only the last of each slot counts.
    const { offset, plain, counter } = packets[i % 64];
    if (i % 64 === 0) pool.settle();
    arena.u8.set(plain, offset);
    pool.sealLater(key, offset, plain.length, counter, 7);
  }
  pool.settle();
  for (const { offset, sealed } of packets) {
    assert.deepEqual(arena.u8.slice(offset, offset + sealed.length), sealed);
  }
  const keys = Array.from({ length: KEYS + 2 }, () => random.bytes(32));
  const handles = keys.map((raw) => pool.createKey(raw, "seal"));
  const last = handles.at(-1)!;
  assert.ok(last >= KEYS);
  const [{ offset, plain, sealed }] = batch(s, last, 1, 5);
  arena.u8.set(plain, offset);
  pool.sealLater(last, offset, plain.length, 5, 7);
  pool.settle();
  assert.deepEqual(arena.u8.slice(offset, offset + sealed.length), sealed);
  const open = pool.createKey(keys.at(-1)!, "open");
  const ticket = pool.openLater(open, offset, plain.length, 5, 7);
  pool.settle();
  assert.equal(pool.opened(ticket), true);
  arena.u8.set(sealed, offset);
  const wrong = pool.openLater(open, offset, plain.length, 6, 7);
  pool.settle();
  assert.equal(pool.opened(wrong), false);
  await s.close();
});

Deno.test("AeadPool goes on when its helpers have ended", async () => {
  const s = await scene(2);
  const { arena, pool, random } = s;
  const key = pool.createKey(random.bytes(32), "seal");
  await s.close();
  const packets = batch(s, key, 100, 0);
  for (const { offset, plain, counter } of packets) {
    arena.u8.set(plain, offset);
    pool.sealLater(key, offset, plain.length, counter, 7);
  }
  pool.settle();
  for (const { offset, sealed } of packets) {
    assert.deepEqual(arena.u8.slice(offset, offset + sealed.length), sealed);
  }
});
