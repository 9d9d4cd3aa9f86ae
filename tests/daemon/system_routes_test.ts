import assert from "node:assert/strict";
import { MANY_ADDRESSES, mergeRoutes, systemRoutes } from "../../daemon/system_routes.ts";

Deno.test("mergeRoutes() makes one route of all peers' Tailscale IPv6 addresses", () => {
  const peers = [
    ["100.64.0.2/32", "fd7a:115c:a1e0::2/128", "bad"],
    ["100.64.0.3/32", "fd7a:115c:a1e0::3/128", "fd00::/8", "192.0.2.1/32"],
  ];
  assert.deepEqual(mergeRoutes(peers.map(systemRoutes)), [
    "100.64.0.2/32",
    "100.64.0.3/32",
    "fd7a:115c:a1e0::/48",
    "fd00::/8",
    "192.0.2.1/32",
  ]);
});

Deno.test("mergeRoutes() makes one route of very many Tailscale IPv4 addresses", () => {
  const address = (i: number) => `100.64.${i >> 8}.${i & 255}/32`;
  const peers = Array.from({ length: MANY_ADDRESSES }, (_, i) => systemRoutes([address(i), "10.0.0.0/8"]));
  assert.equal(mergeRoutes(peers).length, MANY_ADDRESSES + 1);
  assert.deepEqual(mergeRoutes([...peers, systemRoutes([address(MANY_ADDRESSES)])]), ["100.64.0.0/10", "10.0.0.0/8"]);
});
