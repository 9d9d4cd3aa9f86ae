import assert from "node:assert/strict";
import { globalAddresses } from "../../../engine/netcheck/report.ts";
import { mapOf, region, World } from "./world.ts";

Deno.test("a full run finds latencies, families, own addresses and the nearest region", async () => {
  const world = new World();
  world.answers(1, 50);
  world.answers(2, 20);
  world.answers(3, 90);
  const report = await world.run(mapOf(region(1), region(2), region(3)));
  assert.equal(report.udp && report.ipv4 && report.ipv6 && report.ipv4CanSend && report.ipv6CanSend, true);
  assert.deepEqual([...report.regionLatency].sort(), [[1, 50], [2, 20], [3, 90]]);
  assert.equal(report.preferredDerp, 2);
  assert.equal(report.mappingVariesByDestIp, false);
  assert.equal(report.globalV4, world.mappedV4);
  assert.equal(report.globalV6, world.mappedV6);
  assert.ok(report.took < 200, `${report.took} ms`);
  assert.equal(world.handlers.size, 0, "unsubscribed");
  assert.equal(world.scheduler.pending, 0, "no timer is left");
});

Deno.test("lost requests are repeated after 100 ms", async () => {
  const world = new World();
  world.local = { v4: true, v6: false, osHasIpv6: false };
  world.stun.set("192.0.2.1:3478", { latencyMs: 10, lose: 2 });
  const report = await world.run(mapOf(region(1)));
  assert.deepEqual(world.sent.map(({ at }) => at), [0, 100, 200]);
  assert.equal(report.regionLatency.get(1), 10);
  assert.equal(report.ipv6, false);
  assert.equal(report.osHasIpv6, false);
});

Deno.test("a NAT that maps by destination is seen, and answers of one server are no proof of one that does not", async () => {
  const hard = new World();
  hard.answers(1, 10, [4]);
  hard.stun.set("192.0.2.2:3478", { latencyMs: 20, mapped: "203.0.113.9:50000" });
  assert.equal((await hard.run(mapOf(region(1), region(2)))).mappingVariesByDestIp, true);
  const lonely = new World();
  lonely.stun.set("192.0.2.1:3478", { latencyMs: 150 });
  const report = await lonely.run(mapOf(region(1)));
  assert.ok(lonely.sent.filter(({ to }) => to === "192.0.2.1:3478").length > 1);
  assert.equal(report.mappingVariesByDestIp, undefined);
});

Deno.test("slow regions are not waited for once three have answered", async () => {
  const world = new World();
  for (const [id, ms] of [[1, 10], [2, 20], [3, 30], [4, 2000]]) world.answers(id, ms);
  const map = mapOf(region(1), region(2), region(3), region(4));
  const report = await world.run(map);
  assert.ok(report.took <= 110, `${report.took} ms`);
  assert.equal(report.regionLatency.has(4), false);
  const verbose = await new Promise<Awaited<ReturnType<World["run"]>>>((resolve) =>
    resolve(world.run(map, { full: true, verbose: true }))
  );
  assert.equal(verbose.regionLatency.get(4), 2000);
});

Deno.test("with UDP blocked, HTTPS gives a home within five seconds", async () => {
  const world = new World();
  world.https.set("1a", 300);
  world.https.set("2a", 120);
  const report = await world.run(mapOf(region(1), region(2), region(3), region(4, { NoMeasureNoHome: true })));
  assert.equal(report.udp, false);
  assert.equal(report.preferredDerp, 2);
  assert.deepEqual([...report.regionLatency], [[2, 120], [1, 300]]);
  assert.ok(report.took <= 5000, `${report.took} ms`);
  assert.deepEqual(world.askedByHttps.sort(), ["1a", "2a", "3a"]);
});

Deno.test("with UDP blocked, an ICMP echo counts as IPv4 and as a region's latency where it is the faster", async () => {
  const world = new World();
  world.https.set("1a", 300);
  world.https.set("2a", 120);
  world.icmp.set("192.0.2.1", 40);
  const report = await world.run(mapOf(region(1), region(2), region(3, {}, { STUNPort: -1 })));
  assert.deepEqual([report.udp, report.ipv4, report.icmpv4, report.preferredDerp], [false, true, true, 1]);
  assert.deepEqual([...report.regionLatency].sort(), [[1, 40], [2, 120]]);
});

Deno.test("ICMP has one second, though HTTPS may take longer", async () => {
  const world = new World();
  world.icmp.set("192.0.2.1", 1_500);
  const report = await world.run(mapOf(region(1)));
  assert.deepEqual([report.udp, report.icmpv4], [false, false]);
  world.icmp.set("192.0.2.1", 900);
  assert.equal((await world.run(mapOf(region(1)))).icmpv4, true);
});

Deno.test("a report says what the router maps ports by, no being an answer too", async () => {
  const world = new World();
  world.answers(1, 10);
  world.services = { upnp: false, pmp: true, pcp: false };
  const report = await world.run(mapOf(region(1)));
  assert.deepEqual([report.upnp, report.pmp, report.pcp, report.icmpv4], [false, true, false, false]);
});

Deno.test("HTTPS asks a region's next relay when the first does not answer in its share of the time", async () => {
  const world = new World();
  const [node] = region(1).Nodes;
  const nodes = [node, { ...node, Name: "1s", STUNOnly: true }, { ...node, Name: "1b" }];
  world.https.set("1b", 100);
  const report = await world.run(mapOf(region(1, { Nodes: nodes })));
  assert.deepEqual(world.askedByHttps, ["1a", "1b"]);
  assert.equal(report.regionLatency.get(1), 100);
  assert.ok(report.took <= 5000, `${report.took} ms`);
});

Deno.test("nothing answers: the report says so in time, and the old home stays while its connection lives", async () => {
  const world = new World();
  world.answers(1, 10);
  const map = mapOf(region(1));
  assert.equal((await world.run(map)).preferredDerp, 1);
  world.stun.clear();
  const alive = await world.run(map, { lastDerpActivity: () => world.scheduler.wall() - 60_000 });
  assert.equal(alive.preferredDerp, 1);
  assert.equal(alive.regionLatency.size, 0);
  assert.ok(alive.took <= 5000, `${alive.took} ms`);
  const dead = await world.run(map, { lastDerpActivity: () => world.scheduler.wall() - 130_000 });
  assert.equal(dead.preferredDerp, 0);
});

Deno.test("an incremental run asks the home and the fastest three, a full one follows after five minutes", async () => {
  const world = new World();
  world.local = { v4: true, v6: false, osHasIpv6: true };
  const ids = [1, 2, 3, 4, 5, 6];
  for (const id of ids) world.answers(id, id * 10, [4]);
  const map = mapOf(...ids.map((id) => region(id)));
  const asked = () => [...new Set(world.sent.map(({ to }) => Number(/\.(\d+):/.exec(to)![1])))].sort();
  assert.equal((await world.run(map, { verbose: true })).preferredDerp, 1);
  assert.deepEqual(asked(), ids);
  await world.scheduler.advance(30_000);
  await world.run(map);
  assert.deepEqual(asked(), [1, 2, 3]);
  await world.scheduler.advance(270_000);
  await world.run(map);
  assert.deepEqual(asked(), ids);
  world.netcheck.networkChanged();
  await world.run(map);
  assert.deepEqual(asked(), ids, "another network");
});

Deno.test("names are looked up, once a run, and the last good address serves when that fails", async () => {
  const world = new World();
  world.local = { v4: true, v6: false, osHasIpv6: true };
  const named = mapOf(region(1, {}, { IPv4: "", IPv6: "" }));
  world.dns.set("r1.example 4", ["192.0.2.1"]);
  world.answers(1, 10, [4]);
  assert.equal((await world.run(named)).preferredDerp, 1);
  world.dns.clear();
  assert.equal((await world.run(named)).regionLatency.get(1), 10);
  const unknown = new World();
  const report = await unknown.run(named);
  assert.equal(report.preferredDerp, 0);
  assert.equal(unknown.sent.length, 0);
});

Deno.test("STUN answers nobody asked for change nothing", async () => {
  const world = new World();
  world.answers(1, 100, [4]);
  const running = world.run(mapOf(region(1)));
  for (const handler of world.handlers) {
    handler(new Uint8Array(0), "192.0.2.1:3478");
    handler(Uint8Array.fromHex("0101000c2112a442ffffffffffffffffffffffff002000080001a147e112a643"), "192.0.2.1:3478");
  }
  const report = await running;
  assert.deepEqual(globalAddresses(report), { v4: [world.mappedV4], v6: [] });
});

Deno.test("a second call joins the run that is going on", async () => {
  const world = new World();
  world.answers(1, 10);
  const map = mapOf(region(1));
  const first = world.netcheck.run(map);
  assert.equal(world.netcheck.run(map), first);
  await world.scheduler.advance(3000);
  assert.equal((await first).preferredDerp, 1);
});
