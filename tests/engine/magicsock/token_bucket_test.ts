import assert from "node:assert/strict";
import { TokenBucket } from "../../../engine/magicsock/token_bucket.ts";

Deno.test("TokenBucket gives a burst, then one an interval, and saves up no more than the burst", () => {
  const bucket = new TokenBucket(3, 100);
  const taken = (from: number, to: number) => {
    let count = 0;
    for (let now = from; now < to; now += 10) if (bucket.take(now)) count++;
    return count;
  };
  assert.equal(taken(0, 50), 3);
  assert.equal(taken(50, 1050), 10);
  assert.equal(taken(9_000, 9_050), 3);
});
