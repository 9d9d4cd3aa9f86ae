import assert from "node:assert/strict";
import { isTailscaleIp, parseIp } from "../../../base/ip.ts";
import { addressPair, allocate, isAssignable } from "../../../control/server/addresses.ts";
import { SeededRandom } from "../../support/random.ts";

const indexOf = (ipv4: string): number => new DataView(parseIp(ipv4)!.buffer).getUint32(0) - 0x64400000;

Deno.test("addressPair() gives an IPv4 and an IPv6 address that carry the same number", () => {
  assert.deepEqual(addressPair(1), { ipv4: "100.64.0.1", ipv6: "fd7a:115c:a1e0::6440:1" });
  assert.deepEqual(addressPair(0x53), { ipv4: "100.64.0.83", ipv6: "fd7a:115c:a1e0::6440:53" });
  assert.deepEqual(addressPair(indexOf("100.127.255.254")), {
    ipv4: "100.127.255.254",
    ipv6: "fd7a:115c:a1e0::647f:fffe",
  });
});

Deno.test("isAssignable() keeps the network, the broadcast and all reserved addresses back", () => {
  const reserved = [
    "100.64.0.0",
    "100.127.255.255",
    "100.100.100.100",
    "100.100.0.53",
    "100.115.92.0",
    "100.115.93.255",
  ];
  for (const ip of reserved) assert.equal(isAssignable(indexOf(ip)), false, ip);
  for (
    const ip of ["100.64.0.1", "100.99.255.255", "100.100.1.0", "100.115.91.255", "100.115.94.0", "100.127.255.254"]
  ) {
    assert.equal(isAssignable(indexOf(ip)), true, ip);
  }
  for (const index of [-1, 2 ** 22, 1.5, NaN]) assert.equal(isAssignable(index), false);
});

Deno.test("allocate() gives only assignable, free Tailscale addresses, whatever is taken", async () => {
  const random = new SeededRandom(20);
  for (let round = 0; round < 200; round++) {
    const cursor = random.int(2 ** 22);
    const taken = new Set(Array.from({ length: 5 }, (_, i) => addressPair((cursor + i) % 2 ** 22).ipv4));
    const pair = await allocate(cursor, (ipv4) => Promise.resolve(taken.has(ipv4)));
    assert.ok(pair !== undefined, `seed ${random.seed}`);
    assert.ok(!taken.has(pair.ipv4));
    assert.ok(isAssignable(indexOf(pair.ipv4)));
    assert.ok(isTailscaleIp(parseIp(pair.ipv4)!) && isTailscaleIp(parseIp(pair.ipv6)!));
  }
});

Deno.test("allocate() goes round from the end to the beginning, over reserved blocks", async () => {
  const free = () => Promise.resolve(false);
  assert.equal((await allocate(indexOf("100.127.255.255"), free))?.ipv4, "100.64.0.1");
  assert.equal((await allocate(indexOf("100.115.92.0"), free))?.ipv4, "100.115.94.0");
  assert.equal((await allocate(indexOf("100.100.100.0"), free))?.ipv4, "100.100.101.0");
  assert.equal((await allocate(0, free))?.ipv4, "100.64.0.1");
});
