/** Deriving disablement values: off the main thread, one at a time, five a minute (L12). */
import assert from "node:assert/strict";
import { KdfBusy, limitedKdf } from "../../../daemon/lock/kdf_limit.ts";
import { deriveInWorker } from "../../../tka/kdf.ts";
import { disablementValue } from "../../../tka/disablement.ts";
import { toHex } from "../../../base/bytes.ts";

Deno.test("deriveInWorker() gives what the pure function gives", async () => {
  const secret = new Uint8Array(32).fill(7);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  const derived = await deriveInWorker(secret);
  clearInterval(timer);
  assert.equal(toHex(derived), toHex(disablementValue(secret)));
  assert.ok(ticks > 2, "the main thread went on");
});

Deno.test("L12: disablement secrets are derived one at a time and five a minute at most", async () => {
  let now = 0;
  let running = 0;
  let most = 0;
  const derive = limitedKdf({ monotonic: () => now }, async (secret) => {
    most = Math.max(most, ++running);
    await Promise.resolve();
    running--;
    return secret;
  });
  const tries = Array.from({ length: 5 }, (_, i) => derive(Uint8Array.of(i)));
  await assert.rejects(derive(Uint8Array.of(9)), KdfBusy);
  assert.equal((await Promise.all(tries)).length, 5);
  assert.deepEqual(await derive(Uint8Array.of(4)), Uint8Array.of(4), "the last one is remembered");
  assert.equal(most, 1);
  now = 61_000;
  assert.deepEqual(await derive(Uint8Array.of(9)), Uint8Array.of(9));
});
