import assert from "node:assert/strict";
import type { EngineStatus } from "../../engine/config.ts";
import { allMetrics, userMetrics } from "../../daemon/metrics.ts";
import { NodeView } from "../../daemon/node_view.ts";
import { statusJson } from "../../daemon/status.ts";
import type { StatusInput } from "../../daemon/status.ts";
import { grantedCaps, parseWhoIsQuery, whoIs } from "../../daemon/whois.ts";
import { parseIp } from "../../base/ip.ts";
import { testNetmap, testNode } from "../support/fake_control.ts";

const NOW = Date.UTC(2026, 0, 1);

const PEER = testNode(2, {
  Tags: ["tag:a"],
  PrimaryRoutes: ["10.0.0.0/8"],
  KeyExpiry: "2026-06-01T00:00:00.7Z",
  LastSeen: "2025-12-31T00:00:00Z",
  Online: false,
  CapMap: { b: null, a: [1] },
  Hostinfo: {
    OS: "linux",
    Hostname: "two",
    Services: [{ Proto: "peerapi4", Port: 99 }],
    sshHostKeys: ["ssh-ed25519 x"],
  },
});

const NETMAP = testNetmap([PEER], {
  derpMap: { Regions: { "1": { RegionID: 1, RegionCode: "fra", RegionName: "Frankfurt", Nodes: [] } } },
  dns: { Proxied: true, CertDomains: ["node1.tail.test"] },
});

const ENGINE: EngineStatus = {
  cryptoProvider: "libcrypto-fast",
  offloads: { csum: true },
  drops: { "filter-acl": 2, decrypt: 3, "no-route": 4 },
  paths: { direct_ipv4: { rxPackets: 1, rxBytes: 2, txPackets: 3, txBytes: 4 } },
  turns: { turns: 9, longByCpu: 1, longByWall: 2, longestCpuMs: 6.5, longestWallMs: 12.25 },
  peers: [{
    key: PEER.Key.slice(8),
    currentAddress: "192.0.2.1:1",
    derp: 1,
    rxBytes: 10,
    txBytes: 20,
    lastHandshake: NOW - 1000,
    lastSend: NOW,
    lastReceive: NOW,
    active: true,
  }],
};

const INPUT: StatusInput = {
  version: "1.2.3",
  state: "Running",
  authUrl: "",
  haveNodeKey: true,
  health: ["something"],
  hostname: "one",
  view: new NodeView(NETMAP, [PEER]),
  engine: ENGINE,
  online: true,
  homeDerp: 1,
  endpoints: ["192.0.2.9:41641"],
  controlNow: NOW,
  tunName: "agent0",
  controlUrl: "https://control.test",
  netfilter: {
    backend: "nftables",
    localUse: { prefixes: [{ prefix: "100.72.0.0/16", use: "network of eth0" }], tunnels: [] },
  },
};

// deno-lint-ignore no-explicit-any
function json(input: Partial<StatusInput> = {}, peers = true): any {
  return JSON.parse(JSON.stringify(statusJson({ ...INPUT, ...input }, peers)));
}

/** Field names and order of Go's `ipnstate.Status{}` and `PeerStatus{}`, recorded from `json.Marshal` at v1.102.5. */
const GO_STATUS =
  "Version TUN BackendState AuthURL TailscaleIPs Self Health MagicDNSSuffix CurrentTailnet CertDomains " +
  "ExtraRecords Peer User ClientVersion";
const GO_PEER =
  "ID NodeID PublicKey HostName DNSName OS UserID TailscaleIPs Addrs CurAddr Relay PeerRelay RxBytes TxBytes " +
  "Created LastWrite LastSeen LastHandshake Online ExitNode ExitNodeOption Active PeerAPIURL TaildropTarget " +
  "NoFileSharingReason InNetworkMap InMagicSock InEngine";

Deno.test("statusJson() has Go's fields in Go's order, and ours in one object of its own", () => {
  const status = json({ view: undefined, engine: undefined, haveNodeKey: false, state: "NeedsLogin" });
  assert.equal(Object.keys(status).join(" "), `${GO_STATUS} Agent`);
  assert.equal(Object.keys(status.Self).join(" "), GO_PEER);
  assert.deepEqual([status.TailscaleIPs, status.Peer, status.User, status.CurrentTailnet], [null, null, null, null]);
  assert.equal(json().HaveNodeKey, true);
});

Deno.test("statusJson() tells of oneself", () => {
  const { Self, TailscaleIPs, MagicDNSSuffix, CurrentTailnet, CertDomains, User } = json();
  assert.deepEqual(TailscaleIPs, ["100.64.0.1", "fd7a:115c:a1e0::1"]);
  assert.deepEqual([Self.Relay, Self.Online, Self.Addrs, Self.DNSName], [
    "fra",
    true,
    ["192.0.2.9:41641"],
    "node1.tail.test.",
  ]);
  assert.deepEqual([MagicDNSSuffix, CertDomains], ["tail.test", ["node1.tail.test"]]);
  assert.deepEqual(CurrentTailnet, { Name: "example.com", MagicDNSSuffix: "tail.test", MagicDNSEnabled: true });
  assert.equal(User["1"].LoginName, "alice@example.com");
});

Deno.test("statusJson() tells of a peer what netmap and engine know", () => {
  const peer = json().Peer[PEER.Key];
  assert.deepEqual([peer.CurAddr, peer.Relay, peer.RxBytes, peer.TxBytes, peer.Active], [
    "192.0.2.1:1",
    "fra",
    10,
    20,
    true,
  ]);
  assert.deepEqual([peer.LastSeen, peer.Online, peer.KeyExpiry], [
    "2025-12-31T00:00:00Z",
    false,
    "2026-06-01T00:00:01Z",
  ]);
  assert.deepEqual([peer.Tags, peer.PrimaryRoutes, peer.Capabilities], [["tag:a"], ["10.0.0.0/8"], ["a", "b"]]);
  assert.deepEqual(peer.PeerAPIURL, ["http://100.64.0.2:99"]);
  assert.equal(peer.LastHandshake, "2025-12-31T23:59:59.000Z");
  assert.ok(!("Expired" in peer));
  assert.equal(json({ controlNow: Date.parse("2026-06-02T00:00:00Z") }).Peer[PEER.Key].Expired, true);
});

Deno.test("statusJson() without peers leaves their users out too", () => {
  const status = json({}, false);
  assert.equal(status.Peer, null);
  assert.deepEqual(Object.keys(status.User), ["1"]);
});

Deno.test("statusJson() says which crypto provider is in use and what was dropped", () => {
  const { Agent } = json();
  assert.deepEqual([Agent.CryptoProvider, Agent.Drops["filter-acl"], Agent.TUN], ["libcrypto-fast", 2, "agent0"]);
  assert.deepEqual([Agent.Offloads.csum, Agent.Turns.longByCpu], [true, 1]);
});

Deno.test("userMetrics() and allMetrics() are Prometheus text with Tailscale's names", () => {
  const input = {
    version: "1.2.3",
    engine: ENGINE,
    healthMessages: 1,
    homeDerp: 1,
    advertisedRoutes: 0,
    approvedRoutes: 0,
    peers: 1,
    watchers: 0,
    lock: { condition: "synced", enforced: true, rejected: 3, unknownSigners: 1, headAge: 60, confirmedAge: undefined },
  };
  const text = userMetrics(input);
  assert.match(text, /^tailscaled_inbound_bytes_total\{path="direct_ipv4"\} 2$/m);
  assert.match(text, /^tailscaled_inbound_dropped_packets_total\{reason="acl"\} 2$/m);
  assert.match(text, /^tailscaled_inbound_dropped_packets_total\{reason="error"\} 3$/m);
  assert.match(text, /^tailscaled_outbound_dropped_packets_total\{reason="error"\} 4$/m);
  assert.match(text, /^tailscaled_home_derp_region_id 1$/m);
  assert.ok(!text.includes("agent_"));
  const all = allMetrics(input);
  assert.match(all, /^agent_info\{version="1\.2\.3",crypto_provider="libcrypto-fast"\} 1$/m);
  assert.match(all, /^agent_dropped_packets_total\{reason="no-route"\} 4$/m);
  assert.match(all, /^agent_offload\{offload="csum"\} 1$/m);
  assert.match(all, /^agent_worker_long_turns_total\{by="cpu"\} 1$/m);
  assert.match(all, /^agent_worker_longest_turn_seconds\{by="wall"\} 0\.01225$/m);
  for (const line of all.split("\n")) assert.match(line, /^(|# (TYPE|HELP) \w+ .+|\w+(\{[^}]*\})? \d+(\.\d+)?)$/);
});

Deno.test("parseWhoIsQuery() reads addresses, ports and keys", () => {
  assert.deepEqual(parseWhoIsQuery("[fd7a::1]:80"), { kind: "address", address: "fd7a::1" });
  assert.deepEqual(parseWhoIsQuery(PEER.Key), { kind: "key", key: PEER.Key });
  assert.equal(parseWhoIsQuery(""), "missing 'addr' parameter");
  assert.equal(parseWhoIsQuery("nodekey:zz"), "invalid nodekey in 'addr' parameter");
  assert.equal(parseWhoIsQuery("host"), "invalid 'addr' parameter");
});

Deno.test("whoIs() knows nobody the lock rejects", () => {
  assert.equal(whoIs(new NodeView(NETMAP, []), { kind: "address", address: "100.64.0.2" }), undefined);
  assert.equal(whoIs(new NodeView(NETMAP, []), { kind: "key", key: PEER.Key }), undefined);
  assert.equal(whoIs(new NodeView(NETMAP, []), { kind: "address", address: "100.64.0.1" })?.Node.ID, 1);
});

Deno.test("grantedCaps() adds up the grants whose source and destination fit", () => {
  const rules = [
    { SrcIPs: ["100.64.0.2"], CapGrant: [{ Dsts: ["100.64.0.1/32"], CapMap: { x: [1] }, Caps: ["old"] }] },
    { SrcIPs: ["cap:a"], CapGrant: [{ Dsts: ["0.0.0.0/0"], CapMap: { x: [2], y: null } }] },
    { SrcIPs: ["*"], CapGrant: [{ Dsts: ["100.64.0.9/32"], CapMap: { z: [3] } }] },
    { SrcIPs: ["100.64.0.3"], CapGrant: [{ Dsts: ["*"], CapMap: { w: [4] } }] },
  ];
  const caps = grantedCaps(rules, PEER, parseIp("100.64.0.2")!, parseIp("100.64.0.1")!);
  assert.deepEqual(caps, { x: [1, 2], old: null, y: null });
});
