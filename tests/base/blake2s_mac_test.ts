import assert from "node:assert/strict";
import { keyedBlake2s } from "../../base/blake2s.ts";
import { Blake2sMac } from "../../base/blake2s_mac.ts";
import { SeededRandom } from "../support/random.ts";

Deno.test("Blake2sMac computes what keyed BLAKE2s does, at every length of key, message and digest", () => {
  const random = new SeededRandom(20261127);
  for (let i = 0; i < 600; i++) {
    const key = random.bytes(1 + (i % 32));
    const length = 1 + (i * 7) % 32;
    const mac = new Blake2sMac(key, length);
    for (const size of [1 + i % 200, 63, 64, 65, 116, 128, 129]) {
      const message = random.bytes(size);
      assert.deepEqual(mac.compute(message), new Uint8Array(keyedBlake2s(key, message, length)), `${i}: ${size}`);
    }
  }
});

Deno.test("Blake2sMac keeps nothing of a message, and the key is copied", () => {
  const random = new SeededRandom(2);
  const key = random.bytes(32);
  const mac = new Blake2sMac(key, 16);
  const message = random.bytes(100);
  const first = mac.compute(message);
  mac.compute(random.bytes(3));
  key.fill(0);
  assert.deepEqual(mac.compute(message), first);
});
