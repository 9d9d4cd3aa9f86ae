import assert from "node:assert/strict";
import { parseAddrPort } from "../../../base/ip.ts";
import { type AddrQuality, betterAddr } from "../../../engine/magicsock/better_addr.ts";

const ids = new Map<string, number>();

/** An address by its text, of this latency. */
function quality(text: string, latencyMs: number, wireMtu = 1360): AddrQuality {
  if (!ids.has(text)) ids.set(text, ids.size + 1);
  return { addr: ids.get(text)!, vni: 0, relay: "", ip: parseAddrPort(text)!.ip, latencyMs, wireMtu };
}

/** Says that `a` wins over `b` and not the other way, or that neither replaces the other. */
function assertOrder(a: AddrQuality, b: AddrQuality, want: "a" | "neither", why: string): void {
  assert.deepEqual([betterAddr(a, b), betterAddr(b, a)], [want === "a", false], why);
}

Deno.test("betterAddr() takes any address when there is none", () => {
  assert.ok(betterAddr(quality("8.8.8.8:1", 999), undefined));
});

Deno.test("betterAddr() prefers the faster, but not for one percent", () => {
  assertOrder(quality("8.8.8.8:1", 100), quality("9.9.9.9:1", 200), "a", "twice as fast");
  assertOrder(quality("8.8.8.8:1", 98), quality("9.9.9.9:1", 100), "a", "two percent");
  assertOrder(quality("8.8.8.8:1", 99), quality("9.9.9.9:1", 100), "neither", "one percent");
  assertOrder(quality("8.8.8.8:1", 99.5), quality("9.9.9.9:1", 100), "neither", "half a percent");
  assertOrder(quality("8.8.8.8:1", 100), quality("9.9.9.9:1", 100), "neither", "equal");
  assertOrder(quality("8.8.8.8:1", 0), quality("9.9.9.9:1", 0), "neither", "a clock too coarse");
});

Deno.test("betterAddr() prefers near addresses unless they are much slower", () => {
  const far = (latency: number) => quality("8.8.8.8:1", latency);
  assertOrder(quality("10.0.0.1:1", 100), far(100), "a", "private at the same latency");
  assertOrder(quality("172.31.0.1:1", 110), far(100), "a", "private, ten percent slower");
  assertOrder(far(100), quality("192.168.0.1:1", 130), "a", "private, a quarter slower");
  assertOrder(quality("172.32.0.1:1", 100), far(100), "neither", "172.32/16 is public");
  assertOrder(quality("127.0.0.1:1", 100), quality("169.254.1.1:1", 100), "a", "loopback over link-local");
  assertOrder(quality("169.254.1.1:1", 100), quality("10.0.0.1:1", 100), "a", "link-local over private");
  assertOrder(quality("[::1]:1", 190), far(100), "a", "loopback, far slower");
  assertOrder(quality("[fd00::1]:1", 100), quality("10.0.0.1:1", 100), "a", "private IPv6 over private IPv4");
});

Deno.test("betterAddr() prefers IPv6 when about as fast", () => {
  assertOrder(quality("[2001::1]:1", 100), quality("8.8.8.8:1", 100), "a", "same");
  assertOrder(quality("[2001::1]:1", 105), quality("8.8.8.8:1", 100), "a", "five percent slower");
  assertOrder(quality("8.8.8.8:1", 100), quality("[2001::1]:1", 120), "a", "sixteen percent slower");
});

Deno.test("betterAddr() replaces an address by itself only for a larger MTU", () => {
  assert.ok(!betterAddr(quality("8.8.8.8:1", 1), quality("8.8.8.8:1", 100)));
  assert.ok(betterAddr(quality("8.8.8.8:1", 100, 1500), quality("8.8.8.8:1", 1, 1360)));
});
