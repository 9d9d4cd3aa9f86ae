import assert from "node:assert/strict";
import { HandshakeLoad } from "../../../engine/wg/load.ts";
import { RateLimit } from "../../../engine/wg/rate_limit.ts";

Deno.test("W6: RateLimit lets 5 messages of an address through at once and 20 a second after that", () => {
  const limit = new RateLimit();
  const allowed = (now: number, tries: number) =>
    Array.from({ length: tries }, () => limit.allow("a", now)).filter((yes) => yes).length;
  assert.equal(allowed(0, 50), 5);
  assert.equal(allowed(49, 50), 0);
  assert.equal(allowed(50, 50), 1);
  let total = 0;
  for (let now = 51; now <= 10_050; now++) total += allowed(now, 3);
  assert.equal(total, 200);
  assert.equal(allowed(20_000, 50), 5);
});

Deno.test("W6: RateLimit: a flood from one address takes nothing from another", () => {
  const limit = new RateLimit();
  for (let i = 0; i < 10_000; i++) limit.allow("flood", i / 10);
  for (let i = 0; i < 5; i++) assert.equal(limit.allow("quiet", 1000), true);
});

Deno.test("RateLimit remembers no more addresses than its capacity, the least recently heard of go first", () => {
  const limit = new RateLimit(100);
  for (let i = 0; i < 5; i++) limit.allow("busy", 0);
  for (let i = 0; i < 1000; i++) {
    limit.allow(`address ${i}`, 0);
    assert.equal(limit.allow("busy", 0), false);
    assert.ok(limit.size <= 100);
  }
});

Deno.test("HandshakeLoad is under load above its limit within any one second, and for a second after", () => {
  const load = new HandshakeLoad(10);
  for (let i = 0; i < 10; i++) assert.equal(load.arrived(i * 100), false);
  assert.equal(load.arrived(950), true);
  assert.equal(load.arrived(1940), true);
  assert.equal(load.arrived(60_000), false);
});

Deno.test("HandshakeLoad sees a burst across the border of two seconds", () => {
  const load = new HandshakeLoad(10);
  load.arrived(0);
  for (let i = 0; i < 9; i++) assert.equal(load.arrived(990), false);
  assert.equal(load.arrived(1001), true);
});

Deno.test("HandshakeLoad never calls a steady rate below the limit load", () => {
  const load = new HandshakeLoad(100);
  for (let now = 0; now < 60_000; now += 11) assert.equal(load.arrived(now), false, `at ${now}`);
});
