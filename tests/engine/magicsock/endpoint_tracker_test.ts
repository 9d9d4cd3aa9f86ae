import assert from "node:assert/strict";
import type { LocalEndpoint } from "../../../engine/config.ts";
import { ENDPOINT_TRACKER_LIFETIME_MS, ENDPOINT_TRACKER_MAX_PER_IP } from "../../../engine/magicsock/constants.ts";
import { EndpointTracker } from "../../../engine/magicsock/endpoint_tracker.ts";

const stun = (addr: string): LocalEndpoint => ({ addr, type: 2 });
const told = (endpoints: LocalEndpoint[]) => endpoints.map(({ addr }) => addr);

Deno.test("EndpointTracker tells an endpoint for 5 min 10 s after it was last found", () => {
  const tracker = new EndpointTracker();
  assert.deepEqual(told(tracker.update([stun("192.0.2.1:1")], 0)), ["192.0.2.1:1"]);
  assert.deepEqual(told(tracker.update([stun("192.0.2.2:2")], 1000)), ["192.0.2.2:2", "192.0.2.1:1"]);
  assert.deepEqual(told(tracker.update([], ENDPOINT_TRACKER_LIFETIME_MS)), ["192.0.2.1:1", "192.0.2.2:2"]);
  assert.deepEqual(told(tracker.update([], ENDPOINT_TRACKER_LIFETIME_MS + 1)), ["192.0.2.2:2"]);
  assert.deepEqual(told(tracker.update([], ENDPOINT_TRACKER_LIFETIME_MS + 1001)), []);
});

Deno.test("EndpointTracker prolongs what is found again", () => {
  const tracker = new EndpointTracker();
  tracker.update([stun("192.0.2.1:1")], 0);
  tracker.update([stun("192.0.2.1:1")], 300_000);
  assert.deepEqual(told(tracker.update([], 600_000)), ["192.0.2.1:1"]);
});

Deno.test("EndpointTracker keeps six endpoints of one IP, the latest", () => {
  const tracker = new EndpointTracker();
  for (let port = 1; port <= 20; port++) tracker.update([stun(`192.0.2.1:${port}`)], port);
  const kept = told(tracker.update([], 100));
  assert.deepEqual(kept, [15, 16, 17, 18, 19, 20].map((port) => `192.0.2.1:${port}`));
  assert.equal(kept.length, ENDPOINT_TRACKER_MAX_PER_IP);
});

Deno.test("EndpointTracker tells an address once though it was found in two ways", () => {
  const tracker = new EndpointTracker();
  tracker.update([stun("192.0.2.1:1"), { addr: "192.0.2.1:1", type: 4 }], 0);
  assert.deepEqual(told(tracker.update([], 1)), ["192.0.2.1:1"]);
});
