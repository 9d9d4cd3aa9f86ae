import assert from "node:assert/strict";
import { DROP_REASONS, DropCounters } from "../../base/drops.ts";

Deno.test("DropCounters counts each reason by itself, and shows those that happened", () => {
  const counters = new DropCounters();
  assert.deepEqual(counters.snapshot(), {});
  counters.count("mac1");
  counters.count("mac1");
  counters.count("decrypt");
  assert.equal(counters.get("mac1"), 2);
  assert.equal(counters.get("mac2"), 0);
  assert.deepEqual(counters.snapshot(), { mac1: 2, decrypt: 1 });
});

Deno.test("DropCounters counts beyond 2^31, in memory that others can read", () => {
  const words = new Int32Array(new SharedArrayBuffer(DROP_REASONS.length * 4));
  const counters = new DropCounters(words);
  words[DROP_REASONS.indexOf("too-short")] = 0x7fff_ffff;
  counters.count("too-short");
  assert.equal(counters.get("too-short"), 2 ** 31);
  assert.deepEqual(new DropCounters(words).snapshot(), { "too-short": 2 ** 31 });
});

Deno.test("DROP_REASONS are distinct", () => {
  assert.equal(new Set(DROP_REASONS).size, DROP_REASONS.length);
});
