import assert from "node:assert/strict";
import { chooseExitNode, suggestExitNode, wantedExitNode } from "../../daemon/exit_node.ts";
import { instanceOf } from "../../daemon/instance.ts";
import { localRoutes, offeredAddresses } from "../../daemon/local_networks.ts";
import type { LocalNetwork } from "../../daemon/local_networks.ts";
import { parseIp, parsePrefix, prefixContains } from "../../base/ip.ts";
import { newPrefs } from "../../daemon/prefs.ts";
import { testNode } from "../support/fake_control.ts";

const exit = (id: number, more = {}) =>
  testNode(id, {
    Online: true,
    AllowedIPs: [`100.64.0.${id}/32`, "0.0.0.0/0", "::/0"],
    CapMap: { "suggest-exit-node": [] },
    ...more,
  });

Deno.test("wantedExitNode() follows the three preferences", () => {
  assert.equal(wantedExitNode(newPrefs()), undefined);
  assert.deepEqual(wantedExitNode({ ...newPrefs(), ExitNodeIP: "100.64.0.2" }), {
    id: "",
    ip: "100.64.0.2",
    auto: false,
  });
  assert.equal(wantedExitNode({ ...newPrefs(), AutoExitNode: "any" })?.auto, true);
});

Deno.test("suggestExitNode() takes the nearest that is online and suggested, and stays with one as near", () => {
  const peers = [
    exit(2, { HomeDERP: 1 }),
    exit(3, { HomeDERP: 2 }),
    exit(4, { HomeDERP: 2 }),
    exit(5, { HomeDERP: 3, Online: false }),
    exit(6, { HomeDERP: 3, CapMap: {} }),
  ];
  const latency = (region: number) => ({ 1: 90, 2: 10, 3: 1 } as Record<number, number>)[region];
  assert.equal(suggestExitNode(peers, latency, "")?.ID, 3);
  assert.equal(suggestExitNode(peers, latency, peers[2].StableID)?.ID, 4);
  assert.equal(suggestExitNode(peers, latency, peers[0].StableID)?.ID, 3);
  assert.equal(suggestExitNode(peers.slice(3), latency, ""), undefined);
  const auto = { id: "", ip: "", auto: true };
  assert.equal(chooseExitNode(auto, peers.slice(3), latency, ""), "");
  assert.equal(suggestExitNode(peers, () => undefined, "")?.ID, 2, "without any measurement one all the same");
});

Deno.test("chooseExitNode() finds one by its ID before one by that name, as a configuration may have it", () => {
  const named = exit(2, { Name: "gate.lab.ts.net." });
  const other = exit(3, { Name: `${named.StableID.toLowerCase()}.lab.ts.net.` });
  const chosen = (id: string) => chooseExitNode({ id, ip: "", auto: false }, [other, named], () => undefined, "");
  assert.equal(chosen("gate"), named.StableID);
  assert.equal(chosen("GATE.lab.ts.net"), named.StableID);
  assert.equal(chosen(named.StableID), named.StableID);
  assert.equal(chosen("gat"), "");
});

const NETWORKS: LocalNetwork[] = [
  { device: "lo", prefix: "127.0.0.1/8", kind: "loopback" },
  { device: "eth0", prefix: "203.0.113.9/24", kind: "lan" },
  { device: "eth0", prefix: "2001:db8::9/64", kind: "lan" },
  { device: "docker0", prefix: "172.17.0.1/16", kind: "guests" },
  { device: "agent0", prefix: "100.64.0.1/32", kind: "tunnel" },
];

Deno.test("TS-2026-011: a 4via6 route lets nothing in, not to the 127.0.0.1 that may be embedded either", () => {
  const via = ["fd7a:115c:a1e0:b1a:0:7:7f00:0/104", "fd7a:115c:a1e0:b1a:0:7:a02:0/120"];
  assert.deepEqual(offeredAddresses([...via, "10.1.0.0/24"], NETWORKS), ["10.1.0.0/24"]);
  const exit = offeredAddresses(["0.0.0.0/0", "::/0"], NETWORKS).map((prefix) => parsePrefix(prefix)!);
  const embedded = parseIp("fd7a:115c:a1e0:b1a:0:7:7f00:1")!;
  assert.ok(!exit.some((prefix) => prefixContains(prefix, embedded)), "nor by an exit node's ::/0");
});

Deno.test("localRoutes() keeps containers reachable always, the local network when it is allowed", () => {
  assert.deepEqual(localRoutes(NETWORKS, false), ["throw fe80::/10", "throw 172.17.0.0/16"]);
  assert.deepEqual(localRoutes(NETWORKS, true).sort(), [
    "throw 172.17.0.0/16",
    "throw 2001:db8::/64",
    "throw 203.0.113.0/24",
    "throw fe80::/10",
  ]);
});

Deno.test("incident TS-2026-007: offeredAddresses() of an exit node has no loopback, no private and no attached network", () => {
  const offered = offeredAddresses(["0.0.0.0/0", "::/0", "10.1.0.0/16"], NETWORKS).map((text) => parsePrefix(text)!);
  const has = (ip: string) => offered.some((prefix) => prefixContains(prefix, parseIp(ip)!));
  for (const ip of ["1.1.1.1", "203.0.113.9", "2606:4700::1111", "2001:db8::9", "10.1.2.3"]) assert.ok(has(ip), ip);
  for (const ip of ["127.0.0.1", "::1", "::ffff:127.0.0.1", "203.0.113.10", "2001:db8::1", "10.2.0.1", "192.168.0.1"]) {
    assert.ok(!has(ip), ip);
  }
  for (const ip of ["100.64.0.1", "fd7a:115c:a1e0::1", "169.254.169.254", "fe80::1", "224.0.0.1", "172.17.0.2"]) {
    assert.ok(!has(ip), ip);
  }
});

Deno.test("instanceOf() gives the same name the same numbers, and none of Tailscale's", () => {
  const work = instanceOf("work")!;
  assert.deepEqual(work, instanceOf("work"));
  for (const name of ["work", "home", "a", "lab-2", "x9"]) {
    const { table, priority, bypassMark, subnetMark, prefix } = instanceOf(name)!;
    assert.ok(table > 520 && table <= 620 && priority > 5270 && priority <= 5370);
    for (const mark of [bypassMark, subnetMark]) {
      assert.equal(mark & ~0xff0000, 0);
      assert.ok(mark >>> 0 >= 0x100000, "not Tailscale's");
    }
    assert.notEqual(bypassMark, subnetMark);
    assert.ok(`${prefix}-postrouting`.length <= 28);
  }
  assert.equal(instanceOf("no spaces"), undefined);
});
