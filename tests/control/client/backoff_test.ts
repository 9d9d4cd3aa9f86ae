import assert from "node:assert/strict";
import { Backoff, retryAfter, unitRandom } from "../../../control/client/backoff.ts";
import { SeededRandom } from "../../support/random.ts";

/** Random bytes that are all the same: `unitRandom` is then fixed. */
const fixed = (byte: number) => (length: number) => new Uint8Array(length).fill(byte);
const NOW = Date.UTC(2026, 0, 1);

Deno.test("Backoff grows with the square of the failures up to 30 s, times 0.5 to 1.5", () => {
  const low = new Backoff(fixed(0));
  assert.deepEqual([1, 2, 3, 4].map(() => low.next()), [50, 200, 450, 800]);
  const high = new Backoff(fixed(255));
  assert.deepEqual([1, 2, 3].map(() => high.next()), [150, 600, 1350]);
  for (let i = 0; i < 100; i++) high.next();
  assert.equal(high.next(), 45_000);
  high.reset();
  assert.equal(high.next(), 150);
});

Deno.test("retryAfter() obeys seconds and dates up to an hour", () => {
  assert.equal(retryAfter("7", NOW, fixed(0)), 7000);
  assert.equal(retryAfter(" 3600 ", NOW, fixed(0)), 3_600_000);
  assert.equal(retryAfter("Thu, 01 Jan 2026 00:02:00 GMT", NOW, fixed(0)), 120_000);
});

Deno.test("W11 retryAfter() replaces an absurd value by 5 to 10 s", () => {
  const absurd = [
    undefined,
    "",
    "0",
    "-1",
    "3601",
    "9".repeat(400),
    "soon",
    "1e3",
    "Wed, 31 Dec 2025 23:59:59 GMT",
    "Fri, 01 Jan 2100 00:00:00 GMT",
  ];
  for (const value of absurd) {
    assert.equal(retryAfter(value, NOW, fixed(0)), 5000, String(value));
    const longest = retryAfter(value, NOW, fixed(255));
    assert.ok(longest > 9990 && longest < 10_000, String(value));
  }
});

Deno.test("unitRandom() is in [0, 1)", () => {
  const random = new SeededRandom(1);
  for (let i = 0; i < 1000; i++) {
    const value = unitRandom(random.bytes);
    assert.ok(value >= 0 && value < 1);
  }
  assert.ok(unitRandom(fixed(255)) < 1);
});
