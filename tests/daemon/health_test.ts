import assert from "node:assert/strict";
import { Health } from "../../daemon/health.ts";
import { updateRelayHealth } from "../../daemon/derp_health.ts";
import type { RelayFacts } from "../../daemon/derp_health.ts";
import type { RegionStatus } from "../../derp/pool.ts";

Deno.test("Health shows a warning only when its grace time is over, and counts from its beginning", () => {
  const health = new Health();
  health.warn("not-in-map-poll", 1000, { error: "first" });
  assert.deepEqual(health.strings(10_999), []);
  health.warn("not-in-map-poll", 9_000, { error: "second" });
  assert.match(health.strings(11_000)[0], /\(second\)$/);
  const state = health.state(11_000).Warnings!["not-in-map-poll"];
  assert.deepEqual([state.BrokenSince, state.Severity, state.Title], [
    new Date(1000).toISOString(),
    "medium",
    "Out of sync",
  ]);
  health.clear("not-in-map-poll");
  assert.equal(health.state(11_000).Warnings, null);
});

Deno.test("Health is silent about what follows from something worse", () => {
  const health = new Health();
  health.warn("login-state", 0, { error: "no" });
  assert.equal(health.strings(0).length, 1);
  health.warn("wantrunning-false", 0);
  assert.deepEqual(health.strings(0), ["This node is stopped."]);
});

Deno.test("Health warns of a slower crypto provider with the reason", () => {
  const health = new Health();
  health.warn("agent-slow-crypto", 0, { name: "libcrypto-fast", failure: "libcrypto.so.3 is not there" });
  assert.match(health.strings(0)[0], /libcrypto-fast, cannot be used: libcrypto.so.3 is not there/);
});

Deno.test("Health.changed() speaks once a change", () => {
  const health = new Health();
  assert.deepEqual(health.changed(0), { Warnings: null });
  assert.equal(health.changed(1), undefined);
  health.warn("no-udp4-bind", 1);
  assert.ok(health.changed(1)?.Warnings);
  assert.equal(health.changed(500), undefined);
});

Deno.test("Health passes on the control server's messages", () => {
  const health = new Health();
  health.setControlMessages({
    a: { Title: "Update", Text: "Please", Severity: "low", PrimaryAction: { URL: "https://x", Label: "Go" } },
    b: { Title: "Only title", Text: "", Severity: "high", ImpactsConnectivity: true },
  });
  assert.deepEqual(health.strings(0), ["Only title.", "Update: Please Go: https://x"]);
  const warnings = health.state(0).Warnings!;
  assert.deepEqual(Object.keys(warnings), ["control-health.a", "control-health.b"]);
  assert.equal(warnings["control-health.b"].ImpactsConnectivity, true);
});

function region(fields: Partial<RegionStatus>): RegionStatus {
  return {
    region: 1,
    home: true,
    node: "1a",
    kind: "connected",
    since: 0,
    lastFrame: 0,
    queuedBytes: 0,
    rxPackets: 0,
    rxBytes: 0,
    txPackets: 0,
    txBytes: 0,
    ...fields,
  };
}

const RELAYS: RelayFacts = {
  up: true,
  online: true,
  map: { Regions: { "1": { RegionID: 1, RegionCode: "fra", RegionName: "Frankfurt", Nodes: [] } } },
  home: 1,
  regions: [region({})],
  complaints: new Map(),
};

/** What is shown a minute after it began. */
function relayWarnings(facts: Partial<RelayFacts>, now = 60_000): string[] {
  const health = new Health();
  updateRelayHealth(health, { ...RELAYS, ...facts }, 0);
  updateRelayHealth(health, { ...RELAYS, ...facts }, now);
  return Object.keys(health.state(now).Warnings ?? {});
}

Deno.test("updateRelayHealth() warns of no home, no connection, silence and complaints", () => {
  assert.deepEqual(relayWarnings({}), []);
  assert.deepEqual(relayWarnings({ home: 0 }), ["no-derp-home"]);
  assert.deepEqual(relayWarnings({ home: 0, map: undefined }), []);
  assert.deepEqual(relayWarnings({ regions: [] }), ["no-derp-connection"]);
  assert.deepEqual(relayWarnings({ regions: [region({ kind: "failed", error: "refused" })] }), ["no-derp-connection"]);
  assert.deepEqual(relayWarnings({ regions: [region({ lastFrame: 10 })] }, 200_000), ["derp-timed-out"]);
  assert.deepEqual(relayWarnings({ complaints: new Map([[1, "connected twice"]]) }), ["derp-region-error"]);
  assert.deepEqual(relayWarnings({ up: false, home: 0, regions: [] }), []);
  // Without control there may be no home yet; a home that is known is missed all the same.
  assert.deepEqual(relayWarnings({ online: false, home: 0 }), []);
  assert.deepEqual(relayWarnings({ online: false, regions: [] }), ["no-derp-connection"]);
});
