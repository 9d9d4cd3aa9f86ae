import assert from "node:assert/strict";
import { Health } from "../../daemon/health.ts";
import { updateRelayHealth } from "../../daemon/derp_health.ts";
import type { RelayFacts } from "../../daemon/derp_health.ts";
import { WARNABLES } from "../../daemon/warnables.ts";
import type { RegionStatus } from "../../derp/pool.ts";
import upstream from "../vectors/tailscale_health.json" with { type: "json" };

Deno.test("Health shows a warning only when it has lasted its time, counted from its beginning", () => {
  const health = new Health();
  health.warn("agent-control-unreachable", 1000, { error: "first" });
  assert.deepEqual(health.strings(10_999), []);
  assert.equal(health.untilVisible(10_999), 1);
  health.warn("agent-control-unreachable", 9_000, { error: "second" });
  assert.match(health.strings(11_000)[0], /\(second\)$/);
  assert.equal(health.untilVisible(11_000), undefined);
  const state = health.state(11_000).Warnings!["agent-control-unreachable"];
  assert.deepEqual([state.BrokenSince, state.Severity, state.DependsOn], [
    new Date(1000).toISOString(),
    "medium",
    ["network-status", "wantrunning-false", "agent-server-key-changed", "warming-up"],
  ]);
  health.clear("agent-control-unreachable");
  assert.equal(health.state(11_000).Warnings, null);
});

Deno.test("Health is silent about what follows from something worse, and speaks when only that is explained away", () => {
  const health = new Health();
  health.warn("login-state", 0, { error: "no" });
  assert.equal(health.strings(0).length, 1);
  health.warn("wantrunning-false", 0);
  assert.deepEqual(health.strings(0), ["Tailscale is stopped."]);

  const relays = new Health();
  relays.warn("derp-timed-out", 0, { "derp-region-id": "1", duration: "3m" });
  relays.warn("no-derp-connection", 0);
  assert.deepEqual(Object.keys(relays.state(60_000).Warnings!), ["no-derp-connection"]);
  relays.warn("network-status", 0);
  assert.deepEqual(Object.keys(relays.state(60_000).Warnings!), ["network-status"]);
});

Deno.test("Health gives a state another ETag whenever it says something else", () => {
  const health = new Health();
  const tag = () => health.state(60_000).Warnings!["derp-region-error"].ETag;
  health.warn("derp-region-error", 0, { "derp-region-id": "1", error: "busy" });
  const first = tag();
  assert.match(first!, /^[0-9a-f]{64}$/);
  health.warn("derp-region-error", 5, { "derp-region-id": "1", error: "busy" });
  assert.equal(tag(), first);
  health.warn("derp-region-error", 5, { "derp-region-id": "2", error: "busy" });
  assert.notEqual(tag(), first);
});

/** Tailscale's warnings that cannot befall this program, and why. */
const NOT_OURS: Readonly<Record<string, string>> = {
  "apply-disk-config": "there is no file of environment variables",
  "blockblame-mitm-detected": "not looked for: a certificate that is not to be trusted is named in the error",
  "tls-connection-failed": "not looked for: a certificate that is not to be trusted is named in the error",
  "dns": "the same as dns-set-os-config-failed, which says it",
  "dns-manager": "nothing sets it",
  "dns-read-os-config-failed": "a machine whose DNS cannot be read is not told either: dns-set-os-config-failed",
  "invalid-packet-filter": "a rule that names nodes outside the lock has no effect here (L4)",
  "is-using-unstable-version": "no release of ours is unstable",
  "local-log-config-error": "no log is sent anywhere",
  "magicsock-receive-func-error": "a worker that does not answer is restarted by the service manager",
  "mapresponse-timeout": "a silent map poll is ended and begun again before that",
  "macos-screen-time": "macOS",
  "macos-screen-time-controlclient": "macOS",
  "resolv-conf-relabel-failed": "no SELinux label is changed",
  "ssh-unavailable-selinux-enabled": "no SSH server",
  "state-store-health": "a state that cannot be opened ends the daemon with exit code and reason",
  "sync-disabled": "--sync has no effect, which agent-not-implemented says",
  "tls-cert-pending": "no certificates are asked for",
  "update-available": "control speaks of Tailscale's versions, not of ours",
  "security-update-available": "control speaks of Tailscale's versions, not of ours",
};

Deno.test("WARNABLES has Tailscale's warnings to the letter, and every one is there or excused", () => {
  const args = Object.fromEntries(
    ["LegacyError", "duration", "error", "derp-region-id", "derp-region-name"].map((name) => [name, `<${name}>`]),
  );
  const theirs = new Map(upstream.warnables.map((one) => [one.code, one]));
  const shared = Object.entries(WARNABLES).filter(([code]) => !code.startsWith("agent-"));
  for (const [code, ours] of shared) {
    const their = theirs.get(code);
    assert.ok(their, `${code} is not Tailscale's`);
    const takesError = their.text.includes("<error>");
    assert.deepEqual({
      severity: ours.severity,
      title: ours.title,
      text: ours.text(takesError ? args : { ...args, error: "" }),
      dependsOn: ours.dependsOn ?? [],
      impactsConnectivity: ours.impactsConnectivity ?? false,
      visibleAfterMs: ours.visibleAfterMs ?? 0,
    }, {
      severity: their.severity,
      title: their.title,
      text: their.text,
      dependsOn: their.dependsOn,
      impactsConnectivity: their.impactsConnectivity,
      visibleAfterMs: their.visibleAfterMs,
    }, code);
    assert.equal(ours.text({}), their.bare, code);
  }
  const missing = [...theirs.keys()].filter((code) => !(code in WARNABLES) && !(code in NOT_OURS));
  assert.deepEqual(missing, []);
  assert.deepEqual(Object.keys(NOT_OURS).filter((code) => !theirs.has(code) || code in WARNABLES), []);
  console.log(
    `${shared.length} of Tailscale's ${theirs.size}, ${Object.keys(WARNABLES).length - shared.length} of ours on top`,
  );
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
