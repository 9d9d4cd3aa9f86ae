import assert from "node:assert/strict";
import { MapBuilder } from "../../../control/server/map_builder.ts";
import { ALLOW_ALL } from "../../../control/server/packet_filter.ts";
import { derpMapOf } from "../../../control/server/relay.ts";
import { checkMapResponse, isMalformed } from "../../../control/wire/decode.ts";
import { goTime } from "../../../control/wire/tailcfg.ts";
import { updateWhere, usableEndpoints } from "../../../control/server/where_update.ts";
import { TailnetWorld } from "../../support/tailnet_world.ts";

const DERP_MAP = derpMapOf({ host: "192.0.2.1", derpPort: 8443, stunPort: 3478, certName: "sha256-raw:00" });
const BUILDER = new MapBuilder({ magicDnsDomain: "tail.test", derpMap: DERP_MAP, nodeCapabilities: { "cap:x": [] } });
const DISCO = `discokey:${"d".repeat(64)}`;

async function world() {
  const world = await TailnetWorld.make({ keyExpiryMs: 24 * 3600_000 });
  const one = await world.join("one", { user: "alice" });
  const two = await world.join("two", { tags: ["tag:web"] });
  return { world, one, two };
}

Deno.test("MapBuilder.fullMap() is a whole map that a client takes", async () => {
  const { world: { tailnet, scheduler }, one, two } = await world();
  await updateWhere(tailnet, two.id, {
    Version: 113,
    NodeKey: two.nodeKey,
    DiscoKey: DISCO,
    Endpoints: ["192.0.2.7:41641", "[2001:db8::1]:41641"],
    Hostinfo: { BackendLogID: "secret-log", OS: "linux", Hostname: "two", NetInfo: { PreferredDERP: 900 } },
  }, scheduler.wall());
  const now = scheduler.wall();
  const map = BUILDER.fullMap(tailnet, tailnet.nodes.get(one.id)!, now);
  const decoded = checkMapResponse(JSON.parse(JSON.stringify(map)));
  assert.ok(!isMalformed(decoded), JSON.stringify(decoded));

  assert.equal(map.Domain, "tail.test");
  assert.deepEqual(map.DNSConfig, { Domains: ["tail.test"], Proxied: true });
  assert.deepEqual(map.PacketFilter, ALLOW_ALL);
  assert.deepEqual(map.DERPMap, DERP_MAP);
  assert.equal(map.ControlTime, goTime(now));
  const self = map.Node!;
  assert.equal(self.Name, "one.tail.test.");
  assert.equal(self.Machine, one.machineKey);
  assert.deepEqual(self.CapMap, { "cap:x": [] });
  assert.equal(self.Online, true);
  assert.equal(self.MachineAuthorized, true);
  assert.equal(self.Cap, 113);
  assert.ok(self.KeyExpiry !== undefined && self.Created !== undefined);
  assert.equal(self.Hostinfo?.BackendLogID, "test");

  const [peer, ...others] = map.Peers!;
  assert.equal(others.length, 0);
  assert.deepEqual({ ...peer, StableID: "" }, {
    ID: 2,
    StableID: "",
    Name: "two.tail.test.",
    User: 2147455555,
    Key: two.nodeKey,
    DiscoKey: DISCO,
    Addresses: ["100.64.0.2/32", "fd7a:115c:a1e0::6440:2/128"],
    AllowedIPs: ["100.64.0.2/32", "fd7a:115c:a1e0::6440:2/128"],
    Endpoints: ["192.0.2.7:41641", "[2001:db8::1]:41641"],
    DERP: "127.3.3.40:900",
    HomeDERP: 900,
    Hostinfo: { OS: "linux", Hostname: "two" },
    Created: goTime(now),
    Cap: 113,
    Tags: ["tag:web"],
    Online: false,
    MachineAuthorized: true,
  });
  const alice = { ID: tailnet.nodes.get(one.id)!.record.userId, LoginName: "alice", DisplayName: "alice" };
  const tagged = { ID: 2147455555, LoginName: "tagged-devices", DisplayName: "Tagged Devices" };
  assert.deepEqual(map.UserProfiles, [alice, tagged]);
});

Deno.test("MapBuilder: a node whose key expired sees itself and no peer; its peers see it expired", async () => {
  const { world: { tailnet, scheduler }, one, two } = await world();
  const before = BUILDER.peerNode(tailnet.nodes.get(one.id)!, scheduler.wall());
  assert.equal(before.Expired, undefined);
  await scheduler.advance(24 * 3600_000);
  const expired = BUILDER.fullMap(tailnet, tailnet.nodes.get(one.id)!, scheduler.wall());
  assert.equal(expired.Node!.Expired, true);
  assert.deepEqual(expired.Peers, []);
  assert.equal(BUILDER.fullMap(tailnet, tailnet.nodes.get(two.id)!, scheduler.wall()).Peers![0].Expired, true);
});

Deno.test("derpMapOf() pins the certificate and forbids the family an address is not of", () => {
  const [v4] = DERP_MAP.Regions!["900"].Nodes!;
  assert.deepEqual([v4.HostName, v4.IPv4, v4.IPv6, v4.CertName], ["192.0.2.1", "192.0.2.1", "none", "sha256-raw:00"]);
  const [v6] = derpMapOf({ host: "2001:db8::1", derpPort: 1, stunPort: -1 }).Regions!["900"].Nodes!;
  assert.deepEqual([v6.IPv4, v6.IPv6, v6.STUNPort, v6.CertName], ["none", "2001:db8::1", -1, undefined]);
  const [name] = derpMapOf({ host: "relay.test", derpPort: 443, stunPort: 3478 }).Regions!["900"].Nodes!;
  assert.deepEqual([name.HostName, name.IPv4, name.IPv6], ["relay.test", undefined, undefined]);
});

Deno.test("usableEndpoints() drops what peers cannot use", () => {
  const bad = ["", "x", "1.2.3.4", "1.2.3.4:0", "[fe80::1]:41641", "[fe80::1%eth0]:41641", "1.2.3.4:70000"];
  assert.deepEqual(usableEndpoints([...bad, "1.2.3.4:5", "1.2.3.4:5", "[2001:db8::1]:5"]), [
    "1.2.3.4:5",
    "[2001:db8::1]:5",
  ]);
  assert.equal(usableEndpoints(Array.from({ length: 500 }, (_, i) => `10.0.0.1:${i + 1}`)).length, 64);
});

Deno.test("updateWhere() takes nothing for another key or an expired node, and keeps a disco key it is not told", async () => {
  const { world: { tailnet, scheduler }, one, two } = await world();
  const update = (NodeKey: string, DiscoKey: string) =>
    updateWhere(tailnet, one.id, { Version: 113, NodeKey, DiscoKey, Endpoints: ["192.0.2.1:1"] }, scheduler.wall());
  const record = () => tailnet.nodes.get(one.id)!.record;
  await update(two.nodeKey, DISCO);
  assert.deepEqual(record().endpoints, []);
  await update(one.nodeKey, DISCO);
  await update(one.nodeKey, `discokey:${"0".repeat(64)}`);
  assert.equal(record().discoKey, DISCO);
  assert.deepEqual(record().endpoints, ["192.0.2.1:1"]);
  await scheduler.advance(24 * 3600_000);
  await update(one.nodeKey, `discokey:${"e".repeat(64)}`);
  assert.equal(record().discoKey, DISCO);
});
