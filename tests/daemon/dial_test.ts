// Which connections the daemon makes for users of its machine, and which it leaves to them.

import assert from "node:assert/strict";
import { formatIp, parseIp } from "../../base/ip.ts";
import { DialError, planDial } from "../../daemon/dial.ts";

const NAMES: Readonly<Record<string, readonly string[]>> = {
  web: ["100.64.0.2"],
  both: ["100.64.0.3", "fd7a:115c:a1e0::3"],
};
const RESOLVED: Readonly<Record<string, readonly string[]>> = {
  "intra.example": ["10.1.0.9"],
  "two.example": ["192.0.2.7", "2001:db8::7"],
  "half.example": ["192.0.2.7", "10.1.0.9"],
  localhost: ["127.0.0.1", "::1"],
};
const ROUTES = ["100.64.0.2/32", "100.64.0.3/32", "fd7a:115c:a1e0::/48", "10.1.0.0/16"];

async function plan(host: string, { network = "tcp", routes = ROUTES }: { network?: string; routes?: string[] } = {}) {
  const addresses = (list: readonly string[]) => list.map((text) => parseIp(text)!);
  const planned = await planDial(host, 22, network, {
    tailnetName: (name) => Object.hasOwn(NAMES, name) ? addresses(NAMES[name]) : undefined,
    routes,
    resolve: (name) =>
      Object.hasOwn(RESOLVED, name)
        ? Promise.resolve(addresses(RESOLVED[name]))
        : Promise.reject(new Error("not found")),
  });
  return planned.by === "daemon" ? `daemon ${planned.addresses.map(formatIp).join(" ")}` : `caller ${planned.address}`;
}

Deno.test("dial: nodes and what they route, by address and by name, are the daemon's", async () => {
  assert.equal(await plan("web"), "daemon 100.64.0.2");
  assert.equal(await plan("100.64.0.2"), "daemon 100.64.0.2");
  assert.equal(await plan("::ffff:100.64.0.2"), "daemon 100.64.0.2");
  assert.equal(await plan("both"), "daemon 100.64.0.3 fd7a:115c:a1e0::3");
  assert.equal(await plan("both", { network: "tcp6" }), "daemon fd7a:115c:a1e0::3");
  assert.equal(await plan("10.1.2.3"), "daemon 10.1.2.3");
  assert.equal(await plan("intra.example"), "daemon 10.1.0.9");
  assert.equal(await plan("half.example"), "daemon 10.1.0.9");
});

Deno.test("dial: everything else is the caller's, whatever an exit node's route covers", async () => {
  const exit = [...ROUTES, "0.0.0.0/0", "::/0"];
  for (const routes of [ROUTES, exit]) {
    assert.equal(await plan("192.0.2.7", { routes }), "caller 192.0.2.7:22");
    assert.equal(await plan("two.example", { routes, network: "tcp6" }), "caller [2001:db8::7]:22");
    for (const [host, address] of [["127.0.0.1", "127.0.0.1:22"], ["::1", "[::1]:22"], ["localhost", "127.0.0.1:22"]]) {
      assert.equal(await plan(host, { routes }), `caller ${address}`);
    }
    // A Tailscale address that nobody has.
    assert.equal(await plan("100.64.9.9", { routes: ROUTES }), "caller 100.64.9.9:22");
  }
  assert.equal(await plan("127.0.0.1", { routes: ["127.0.0.0/8"] }), "caller 127.0.0.1:22");
});

Deno.test("dial: what cannot be dialed is told", async () => {
  const refused = (host: string, network?: string) => assert.rejects(plan(host, { network }), DialError);
  await refused("gone.example");
  await refused("web", "tcp6");
  await refused("web", "udp");
  await refused("web", "toString");
  await assert.rejects(plan("gone.example"), /lookup gone\.example: not found/);
});
