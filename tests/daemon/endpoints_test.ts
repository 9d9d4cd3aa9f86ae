import assert from "node:assert/strict";
import { collectEndpoints, netInfoOf, outsideEndpoints, sameNetInfo, usableAddresses } from "../../daemon/endpoints.ts";
import { EndpointTracker } from "../../daemon/endpoint_tracker.ts";
import type { TrackerOptions } from "../../daemon/endpoint_tracker.ts";
import { createLog } from "../../daemon/log.ts";
import { formatIp, parseIp } from "../../base/ip.ts";
import type { DERPMap } from "../../derp/derp_map.ts";
import { EMPTY_REPORT } from "../../engine/netcheck/report.ts";
import type { Report } from "../../engine/netcheck/report.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";
import { SeededRandom } from "../support/random.ts";

function usable(...addresses: string[]): string[] {
  const interfaces = addresses.map((text) => {
    const [device, address] = text.split(" ");
    return { device, address };
  });
  return usableAddresses(interfaces, "agent0").map(formatIp);
}

Deno.test("usableAddresses() leaves out the tunnel, Tailscale's own and link-local IPv6", () => {
  assert.deepEqual(
    usable(
      "lo 127.0.0.1",
      "lo ::1",
      "eth0 192.0.2.1",
      "eth0 fe80::1%2",
      "eth0 2001:db8::1",
      "agent0 10.0.0.1",
      "other 100.64.0.1",
      "x fd7a:115c:a1e0::1",
    ),
    ["192.0.2.1", "2001:db8::1"],
  );
  assert.deepEqual(usable("lo 127.0.0.1", "eth0 169.254.1.1", "eth0 fe80::1"), ["169.254.1.1"]);
  assert.deepEqual(usable("lo 127.0.0.1", "lo ::1"), ["127.0.0.1", "::1"]);
});

const REPORT: Report = { ...EMPTY_REPORT, udp: true, globalV4: "198.51.100.1:1234", globalV6: "[2001:db8::9]:5" };

const PORTS = { udp4: 41641, udp6: 0 };

Deno.test("collectEndpoints() lists each address once, with the type control wants, others' view first", () => {
  const local = [parseIp("192.0.2.1")!, parseIp("2001:db8::9")!];
  const ports = { udp4: 41641, udp6: 5 };
  assert.deepEqual(collectEndpoints(outsideEndpoints(ports, REPORT, "198.51.100.1:7"), local, ports), [
    { addr: "198.51.100.1:7", type: 3 },
    { addr: "198.51.100.1:1234", type: 2 },
    { addr: "[2001:db8::9]:5", type: 2 },
    { addr: "192.0.2.1:41641", type: 1 },
  ]);
  assert.deepEqual(collectEndpoints([], local, PORTS), [{ addr: "192.0.2.1:41641", type: 1 }]);
});

Deno.test("outsideEndpoints() adds the local port behind a NAT that varies", () => {
  const endpoints = outsideEndpoints(PORTS, { ...REPORT, mappingVariesByDestIp: true, globalV6: "" }, "");
  assert.deepEqual(endpoints, [{ addr: "198.51.100.1:1234", type: 2 }, { addr: "198.51.100.1:41641", type: 4 }]);
});

Deno.test("outsideEndpoints() adds what STUN saw more than once, and not what it saw once", () => {
  const globalV4Counters = new Map([["198.51.100.1:1234", 1], ["198.51.100.1:2", 2], ["198.51.100.1:3", 1]]);
  const endpoints = outsideEndpoints(PORTS, { ...REPORT, globalV4Counters, globalV6: "" }, "");
  assert.deepEqual(endpoints.map(({ addr }) => addr), ["198.51.100.1:1234", "198.51.100.1:2"]);
});

Deno.test("netInfoOf() speaks seconds, and latency alone is no change", () => {
  const report = { ...REPORT, regionV4Latency: new Map([[1, 12]]), regionV6Latency: new Map([[2, 30]]) };
  const info = netInfoOf(report, 1);
  assert.deepEqual(info.DERPLatency, { "1-v4": 0.012, "2-v6": 0.03 });
  assert.deepEqual([info.PreferredDERP, info.WorkingUDP, "MappingVariesByDestIP" in info], [1, true, false]);
  assert.ok(sameNetInfo(info, netInfoOf({ ...report, regionV4Latency: new Map([[1, 13]]) }, 1)));
  assert.ok(!sameNetInfo(info, netInfoOf(report, 2)));
  assert.ok(!sameNetInfo(undefined, info));
});

const MAP: DERPMap = { Regions: { "1": { RegionID: 1, RegionCode: "a", RegionName: "A", Nodes: [] } } };

/** A tracker whose netchecks take a second, and what it did. */
function tracker(report: Partial<Report> = {}, more: Partial<TrackerOptions> = {}) {
  const scheduler = new FakeScheduler();
  const did = { runs: 0, fresh: 0, endpoints: [] as string[][], addresses: ["192.0.2.1"], mapped: "" };
  const options: TrackerOptions = {
    netcheck: {
      run: () => {
        did.runs++;
        return new Promise((resolve) =>
          scheduler.after(1000, () => resolve({ ...REPORT, preferredDerp: 1, ...report }))
        );
      },
      networkChanged: () => {},
    },
    scheduler,
    random: new SeededRandom(1).bytes,
    interfaces: () => did.addresses.map((address) => ({ device: "eth0", address })),
    ports: () => ({ udp4: 41641, udp6: 0 }),
    tunName: "agent0",
    lastDerpActivity: () => 0,
    mapped: () => did.mapped,
    log: createLog({ verbose: 0, wall: () => 0, write: () => {} }),
    endpointsFound: (endpoints, { changed, fresh }) => {
      if (changed) did.endpoints.push(endpoints.map(({ addr }) => addr));
      if (fresh) did.fresh++;
    },
    reported: () => {},
    ...more,
  };
  return { scheduler, did, tracker: new EndpointTracker(options) };
}

Deno.test("EndpointTracker tells local addresses at once and STUN's when they are known", async () => {
  const { scheduler, did, tracker: endpoints } = tracker();
  endpoints.want("nobody measures without relays");
  assert.equal(did.runs, 0);
  endpoints.setMap(MAP);
  assert.deepEqual(did.endpoints, [["192.0.2.1:41641"]]);
  await scheduler.advance(1000);
  assert.deepEqual(did.endpoints.at(-1), ["198.51.100.1:1234", "[2001:db8::9]:5", "192.0.2.1:41641"]);
  endpoints.close();
  assert.equal(scheduler.pending, 0);
});

Deno.test("EndpointTracker says that endpoints are fresh when a netcheck finds the same again, and only then", async () => {
  const { scheduler, did, tracker: endpoints } = tracker();
  endpoints.setMap(MAP);
  assert.equal(did.fresh, 0, "local addresses say nothing of a NAT's mapping");
  await scheduler.advance(1000);
  assert.deepEqual([did.fresh, did.endpoints.length], [1, 2]);
  endpoints.wantedByEngine("a peer is to be told");
  await scheduler.advance(1000);
  assert.deepEqual([did.fresh, did.endpoints.length], [2, 2]);
  did.mapped = "198.51.100.1:41641";
  endpoints.refreshLocal();
  assert.deepEqual([did.fresh, did.endpoints.length], [2, 3]);
  endpoints.close();
});

Deno.test("EndpointTracker tells a mapped port at once, first and as type 3", async () => {
  const { scheduler, did, tracker: endpoints } = tracker();
  endpoints.setMap(MAP);
  await scheduler.advance(1000);
  did.mapped = "198.51.100.1:41641";
  endpoints.refreshLocal();
  assert.deepEqual(endpoints.endpoints[0], { addr: "198.51.100.1:41641", type: 3 });
  // Gone, it is told for another 5 minutes, as any outside address is.
  did.mapped = "";
  endpoints.refreshLocal();
  assert.equal(endpoints.endpoints.some(({ type }) => type === 3), true);
  await scheduler.advance(311_000);
  endpoints.refreshLocal();
  assert.equal(endpoints.endpoints.some(({ type }) => type === 3), false);
  endpoints.close();
});

Deno.test("EndpointTracker measures every 5 minutes when idle, sooner when talked to or without a home", async () => {
  const idle = tracker();
  idle.tracker.setMap(MAP);
  await idle.scheduler.advance(305_000);
  assert.equal(idle.did.runs, 2);
  idle.tracker.wantedByEngine("a peer calls");
  await idle.scheduler.advance(30_000);
  assert.equal(idle.did.runs, 4);
  idle.tracker.close();
  const homeless = tracker({ preferredDerp: 0 });
  homeless.tracker.setMap(MAP);
  await homeless.scheduler.advance(20_000);
  assert.equal(homeless.did.runs, 4);
  homeless.tracker.close();
});

Deno.test("EndpointTracker runs one netcheck at a time and one more for all wishes meanwhile", async () => {
  const { scheduler, did, tracker: endpoints } = tracker();
  endpoints.setMap(MAP);
  for (let i = 0; i < 5; i++) endpoints.want("again");
  for (let i = 0; i < 5; i++) endpoints.wantedByEngine("the engine is content with the one that runs");
  assert.equal(did.runs, 1);
  await scheduler.advance(5000);
  assert.equal(did.runs, 2);
  endpoints.close();
});

Deno.test("EndpointTracker.refresh() tells new addresses without waiting for a netcheck", async () => {
  const { scheduler, did, tracker: endpoints } = tracker();
  endpoints.setMap(MAP);
  await scheduler.advance(2000);
  did.addresses = ["192.0.2.7"];
  endpoints.refresh();
  assert.ok(did.endpoints.at(-1)!.includes("192.0.2.7:41641"));
  assert.ok(!did.endpoints.at(-1)!.includes("192.0.2.1:41641"));
  await scheduler.advance(2000);
  endpoints.close();
});

Deno.test("EndpointTracker tells static endpoints first, as type 5, once, and for as long as it runs", async () => {
  const staticEndpoints = ["203.0.113.5:1", "198.51.100.1:1234"];
  const { scheduler, did, tracker: endpoints } = tracker({}, { staticEndpoints });
  endpoints.setMap(MAP);
  assert.deepEqual(did.endpoints, [[...staticEndpoints, "192.0.2.1:41641"]]);
  await scheduler.advance(1000);
  assert.deepEqual(did.endpoints.at(-1), [...staticEndpoints, "[2001:db8::9]:5", "192.0.2.1:41641"]);
  assert.deepEqual(endpoints.endpoints.slice(0, 2).map(({ type }) => type), [5, 5]);
  endpoints.close();
});
