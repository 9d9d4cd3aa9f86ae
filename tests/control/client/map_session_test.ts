/** The netmap reducer, field by field. */
import assert from "node:assert/strict";
import { type Applied, applyMapResponse, type MapState } from "../../../control/client/map_session.ts";
import type { Netmap, NetmapChange } from "../../../control/client/netmap.ts";
import { isExpired } from "../../../control/client/netmap.ts";
import type { MapResponse, Node } from "../../../control/wire/tailcfg.ts";
import { ZERO_TIME } from "../../../control/wire/tailcfg.ts";

const NOW = Date.UTC(2026, 7, 1);
const keyOf = (id: number) => `nodekey:${id.toString(16).padStart(64, "0")}`;

function node(id: number, more: Partial<Node> = {}): Node {
  return {
    ID: id,
    StableID: `n${id}`,
    Name: `n${id}.lab.`,
    User: 1,
    Key: keyOf(id),
    Addresses: [`100.64.0.${id}/32`],
    ...more,
  };
}

/** A poll so far; `send` applies a message and returns the netmap. */
class Session {
  state: MapState | undefined;
  change: NetmapChange | undefined;
  notes: readonly string[] = [];

  constructor(first: MapResponse = {}) {
    this.send({ Node: node(1), ...first });
  }

  send(response: MapResponse): Netmap {
    const applied = applyMapResponse(this.state, response, NOW) as Applied;
    assert.ok("state" in applied, JSON.stringify(applied));
    this.state = applied.state;
    this.change = applied.change;
    this.notes = applied.notes;
    return applied.state.netmap;
  }

  get netmap(): Netmap {
    return this.state!.netmap;
  }

  /** Names of the netmap's fields that the last message changed. */
  get fields(): string[] {
    assert.ok(this.change?.kind === "delta");
    return [...this.change.fields].sort();
  }
}

const withPeers = (more: MapResponse = {}) => new Session({ Peers: [node(2), node(3)], ...more });

Deno.test("first message: without Node the poll fails", () => {
  assert.ok("failed" in applyMapResponse(undefined, { Peers: [node(2)] }, NOW));
});

Deno.test("first message: what is absent has its default, and the change is full", () => {
  const session = new Session();
  const { peers, derpMap, dns, domain, packetFilter, tkaEnabled, collectServices, sshPolicy } = session.netmap;
  assert.deepEqual({ size: peers.size, derpMap, dns, domain, packetFilter, tkaEnabled, collectServices, sshPolicy }, {
    size: 0,
    derpMap: undefined,
    dns: {},
    domain: "",
    packetFilter: [],
    tkaEnabled: false,
    collectServices: false,
    sshPolicy: undefined,
  });
  assert.equal(session.change!.kind, "full");
});

Deno.test("an empty message changes nothing and keeps every object", () => {
  const session = withPeers({ Domain: "lab", Health: ["x"], PacketFilter: [{ SrcIPs: ["*"] }] });
  const before = session.netmap;
  const after = session.send({});
  for (const [name, value] of Object.entries(before)) assert.equal(after[name as keyof Netmap], value, name);
  assert.deepEqual(session.fields, []);
});

Deno.test("Node: replaces oneself; absent is unchanged", () => {
  const session = new Session();
  assert.equal(session.send({ Node: node(1, { Name: "new." }) }).self.Name, "new.");
  assert.deepEqual(session.fields, ["self"]);
  assert.equal(session.send({}).self.Name, "new.");
});

Deno.test("Node: the old Capabilities become CapMap, of oneself", () => {
  const { self } = new Session({ Node: node(1, { Capabilities: ["a", "b"], CapMap: { b: [1] } }) }).netmap;
  assert.deepEqual(self.CapMap, { a: null, b: [1] });
});

Deno.test("Node: the old DERP becomes HomeDERP unless that is there", () => {
  const home = (more: Partial<Node>) => new Session({ Peers: [node(2, more)] }).netmap.peers.get(2)!.HomeDERP;
  assert.equal(home({ DERP: "127.3.3.40:17" }), 17);
  assert.equal(home({ DERP: "127.3.3.40:17", HomeDERP: 5 }), 5);
  assert.equal(home({ DERP: "127.0.0.1:17" }), 0);
  assert.equal(home({ DERP: "127.3.3.40:0" }), 0);
  assert.equal(home({}), 0);
});

Deno.test("Node: absent AllowedIPs are the Addresses, empty ones are none", () => {
  const allowed = (more: Partial<Node>) => new Session({ Peers: [node(2, more)] }).netmap.peers.get(2)!.AllowedIPs;
  assert.deepEqual(allowed({}), ["100.64.0.2/32"]);
  assert.deepEqual(allowed({ AllowedIPs: [] }), []);
  assert.deepEqual(allowed({ AllowedIPs: ["10.0.0.0/8"] }), ["10.0.0.0/8"]);
  assert.deepEqual(allowed({ Addresses: undefined }), []);
});

Deno.test("L4 Node: a peer outside the lock gets no routes, in a full map or a delta", () => {
  const unsigned = { UnsignedPeerAPIOnly: true, AllowedIPs: ["0.0.0.0/0"] };
  const session = new Session({ Peers: [node(2, unsigned)] });
  assert.deepEqual(session.netmap.peers.get(2)!.AllowedIPs, ["100.64.0.2/32"]);
  session.send({ PeersChanged: [node(3, unsigned)] });
  assert.deepEqual(session.netmap.peers.get(3)!.AllowedIPs, ["100.64.0.3/32"]);
});

Deno.test("Peers: not empty replaces all; empty changes nothing", () => {
  const session = withPeers();
  assert.deepEqual([...session.netmap.peers.keys()].sort(), [2, 3]);
  session.send({ Peers: [] });
  assert.equal(session.netmap.peers.size, 2);
  session.send({ Peers: [node(4)] });
  assert.deepEqual([...session.netmap.peers.keys()], [4]);
  assert.equal(session.change!.kind, "full");
});

Deno.test("Peers: precludes every other change of peers in the same message", () => {
  const session = withPeers();
  session.send({
    Peers: [node(4)],
    PeersChanged: [node(5)],
    PeersRemoved: [4],
    OnlineChange: { "4": true },
    PeersChangedPatch: [{ NodeID: 4, Cap: 9 }],
  });
  assert.deepEqual([...session.netmap.peers].map(({ ID, Online, Cap }) => [ID, Online, Cap]), [[
    4,
    undefined,
    undefined,
  ]]);
});

Deno.test("PeersChanged: adds and replaces whole nodes", () => {
  const session = withPeers({ Peers: [node(2, { Online: true })] });
  session.send({ PeersChanged: [node(2, { Cap: 7 }), node(5)] });
  assert.equal(session.netmap.peers.get(2)!.Online, undefined);
  assert.equal(session.netmap.peers.get(2)!.Cap, 7);
  assert.ok(session.change?.kind === "delta");
  assert.deepEqual([...session.change.upserted], [2, 5]);
  assert.deepEqual(session.fields, ["peers"]);
});

Deno.test("PeersRemoved: removes; a stranger is ignored", () => {
  const session = withPeers();
  session.send({ PeersRemoved: [2, 99] });
  assert.deepEqual([...session.netmap.peers.keys()], [3]);
  assert.ok(session.change?.kind === "delta");
  assert.deepEqual([...session.change.removed], [2]);
});

Deno.test("PeersRemoved with PeersChanged: a node removed and sent again is there, and counts as changed", () => {
  const session = withPeers();
  session.send({ PeersRemoved: [2], PeersChanged: [node(2, { Cap: 3 })] });
  assert.equal(session.netmap.peers.get(2)!.Cap, 3);
  assert.ok(session.change?.kind === "delta");
  assert.deepEqual([[...session.change.upserted], [...session.change.removed]], [[2], []]);
});

for (
  const [field, patch, expected] of [
    ["DERPRegion", { DERPRegion: 7 }, { HomeDERP: 7 }],
    ["Cap", { Cap: 130 }, { Cap: 130 }],
    ["CapMap", { CapMap: { x: null } }, { CapMap: { x: null } }],
    ["empty CapMap", { CapMap: {} }, { CapMap: {} }],
    ["Endpoints", { Endpoints: ["192.0.2.1:1"] }, { Endpoints: ["192.0.2.1:1"] }],
    ["empty Endpoints", { Endpoints: [] }, { Endpoints: [] }],
    ["Key", { Key: keyOf(77) }, { Key: keyOf(77), KeySignature: "AQ==" }],
    ["KeySignature", { KeySignature: "Ag==" }, { KeySignature: "Ag==" }],
    ["DiscoKey", { DiscoKey: "discokey:1" }, { DiscoKey: "discokey:1" }],
    ["Online", { Online: false }, { Online: false }],
    ["LastSeen", { LastSeen: "2026-01-01T00:00:00Z" }, { LastSeen: "2026-01-01T00:00:00Z" }],
    ["KeyExpiry", { KeyExpiry: "2027-01-01T00:00:00Z" }, { KeyExpiry: "2027-01-01T00:00:00Z" }],
    ["zero DERPRegion and Cap", { DERPRegion: 0, Cap: 0 }, { HomeDERP: 3, Cap: 113 }],
  ] as const
) {
  Deno.test(`PeersChangedPatch: ${field}, and nothing else`, () => {
    const before = node(2, { HomeDERP: 3, Cap: 113, KeySignature: "AQ==", Online: true, Endpoints: ["192.0.2.9:9"] });
    const session = new Session({ Peers: [before, node(3)] });
    const { peers } = session.netmap;
    const other = peers.get(3);
    session.send({ PeersChangedPatch: [{ NodeID: 2, ...patch }] });
    const plain = (peer: Node) => JSON.parse(JSON.stringify(peer));
    assert.deepEqual(plain(session.netmap.peers.get(2)!), { ...plain(peers.get(2)!), ...expected });
    assert.equal(session.netmap.peers.get(3), other);
  });
}

Deno.test("W11 PeersChangedPatch, OnlineChange and PeerSeenChange of unknown nodes are ignored and noted once", () => {
  const session = withPeers();
  const before = session.netmap.peers;
  session.send({
    PeersChangedPatch: [{ NodeID: 98, Key: keyOf(2) }],
    OnlineChange: { "99": true },
    PeerSeenChange: { "99": true },
  });
  assert.equal(session.netmap.peers, before);
  assert.deepEqual(session.notes, ["ignored 3 changes of nodes that are not in the netmap"]);
});

Deno.test("PeerSeenChange: true is now, false is unknown", () => {
  const session = withPeers();
  session.send({ PeerSeenChange: { "2": true } });
  assert.equal(session.netmap.peers.get(2)!.LastSeen, "2026-08-01T00:00:00.000Z");
  session.send({ PeerSeenChange: { "2": false } });
  assert.equal(session.netmap.peers.get(2)!.LastSeen, undefined);
});

Deno.test("OnlineChange: sets Online, also of a node whose ID is beyond 2^53", () => {
  const session = withPeers();
  session.send({ OnlineChange: { "2": true, "3": false } });
  assert.deepEqual([2, 3].map((id) => session.netmap.peers.get(id)!.Online), [true, false]);
});

Deno.test("DERPMap: replaces; absent parts stay; malformed regions are left out and noted", () => {
  const region = (id: number) => ({
    RegionID: id,
    RegionCode: `r${id}`,
    RegionName: "",
    Nodes: [{ Name: `${id}a`, RegionID: id, HostName: "h.example" }],
  });
  const session = new Session({ DERPMap: { Regions: { "1": region(1), "2": region(2) }, omitDefaultRegions: true } });
  assert.deepEqual(Object.keys(session.netmap.derpMap!.Regions), ["1", "2"]);
  session.send({ DERPMap: { HomeParams: { RegionScore: { "1": 0.5 } } } });
  assert.deepEqual(Object.keys(session.netmap.derpMap!.Regions), ["1", "2"]);
  assert.equal(session.netmap.derpMap!.omitDefaultRegions, true);
  assert.deepEqual(session.netmap.derpMap!.HomeParams, { RegionScore: { "1": 0.5 } });
  session.send({ DERPMap: { HomeParams: {} } });
  assert.deepEqual(session.netmap.derpMap!.HomeParams, { RegionScore: { "1": 0.5 } });
  session.send({ DERPMap: { Regions: { "3": region(3), "4": null as never } } });
  assert.deepEqual(Object.keys(session.netmap.derpMap!.Regions), ["3"]);
  assert.equal(session.notes.length, 1);
  assert.deepEqual(session.netmap.derpMap!.HomeParams, { RegionScore: { "1": 0.5 } });
});

Deno.test("DNSConfig, SSHPolicy: replaced whole; absent is unchanged", () => {
  const session = new Session({ DNSConfig: { Domains: ["a"], Proxied: true }, SSHPolicy: { rules: [] } });
  const { dns, sshPolicy } = session.netmap;
  session.send({});
  assert.equal(session.netmap.dns, dns);
  assert.equal(session.netmap.sshPolicy, sshPolicy);
  session.send({ DNSConfig: { Domains: ["b"] }, SSHPolicy: { rules: [{ acceptEnv: ["X"] }] } });
  assert.deepEqual(session.netmap.dns, { Domains: ["b"] });
  assert.equal(session.netmap.sshPolicy!.rules!.length, 1);
});

Deno.test("Domain: empty is unchanged", () => {
  const session = new Session({ Domain: "lab" });
  assert.equal(session.send({ Domain: "" }).domain, "lab");
  assert.equal(session.send({ Domain: "other" }).domain, "other");
});

Deno.test("CollectServices: false counts, absent does not", () => {
  const session = new Session({ CollectServices: true });
  assert.equal(session.send({}).collectServices, true);
  assert.equal(session.send({ CollectServices: false }).collectServices, false);
});

Deno.test("PacketFilter: absent is unchanged, empty blocks everything", () => {
  const session = new Session({ PacketFilter: [{ SrcIPs: ["*"] }] });
  assert.equal(session.send({}).packetFilter.length, 1);
  assert.deepEqual(session.send({ PacketFilter: [] }).packetFilter, []);
});

Deno.test("PacketFilters: named, null deletes, '*' null clears first, order is by name, PacketFilter is 'base'", () => {
  const rule = (source: string) => [{ SrcIPs: [source] }];
  const sources = (netmap: Netmap) => netmap.packetFilter.map(({ SrcIPs }) => SrcIPs![0]);
  const session = new Session({ PacketFilter: rule("base"), PacketFilters: { z: rule("z"), a: rule("a") } });
  assert.deepEqual(sources(session.netmap), ["a", "base", "z"]);
  assert.deepEqual(sources(session.send({ PacketFilters: { a: null } })), ["base", "z"]);
  assert.deepEqual(sources(session.send({ PacketFilters: { base: rule("b2") } })), ["b2", "z"]);
  assert.deepEqual(sources(session.send({ PacketFilters: { x: rule("x"), "*": null } })), ["x"]);
  assert.deepEqual(sources(session.send({ PacketFilter: rule("n"), PacketFilters: { "*": null } })), []);
  assert.deepEqual(sources(session.send({ PacketFilters: {} })), []);
});

Deno.test("UserProfiles: merged by ID", () => {
  const profile = (id: number, name: string) => ({ ID: id, LoginName: name, DisplayName: name });
  const session = new Session({ UserProfiles: [profile(1, "a"), profile(2, "b")] });
  session.send({ UserProfiles: [profile(2, "c")] });
  assert.deepEqual([1, 2].map((id) => session.netmap.users.get(id)!.LoginName), ["a", "c"]);
});

Deno.test("Health: absent is unchanged, empty is good, each problem is a message", () => {
  const session = new Session({ Health: ["disk"] });
  const [[id, message]] = Object.entries(session.netmap.displayMessages);
  assert.match(id, /^health-[0-9a-f]{64}$/);
  assert.equal(message.Text, "The coordination server is reporting a health issue: disk");
  session.send({});
  assert.equal(Object.keys(session.netmap.displayMessages).length, 1);
  session.send({ Health: [] });
  assert.deepEqual(session.netmap.displayMessages, {});
});

Deno.test("DisplayMessages: a patch; null deletes, '*' null clears first; they go before Health", () => {
  const message = (title: string) => ({ Title: title, Text: "", Severity: "low" });
  const session = new Session({ Health: ["disk"], DisplayMessages: { a: message("A"), b: message("B") } });
  assert.deepEqual(Object.keys(session.netmap.displayMessages), ["a", "b"]);
  session.send({ DisplayMessages: { a: null, b: message("B2") } });
  assert.deepEqual(session.netmap.displayMessages, { b: message("B2") });
  session.send({ DisplayMessages: { "*": null, c: message("C") } });
  assert.deepEqual(Object.keys(session.netmap.displayMessages), ["c"]);
  session.send({ DisplayMessages: { c: null } });
  assert.equal(Object.keys(session.netmap.displayMessages)[0].startsWith("health-"), true);
});

Deno.test("TKAInfo: first absent is off; sticky; Disabled is off; a bad head does not switch it off", () => {
  const session = new Session();
  assert.equal(session.netmap.tkaEnabled, false);
  assert.equal(session.send({ TKAInfo: { Head: "AAAA" } }).tkaEnabled, true);
  assert.equal(session.send({}).tkaInfo!.Head, "AAAA");
  assert.equal(session.send({ TKAInfo: { Head: "not base32!" } }).tkaEnabled, true);
  assert.equal(session.send({ TKAInfo: { Disabled: true } }).tkaEnabled, false);
});

Deno.test("isExpired(): by time, by control's word, never for Go's zero time", () => {
  assert.equal(isExpired(node(1, { KeyExpiry: "2026-01-01T00:00:00Z" }), NOW), true);
  assert.equal(isExpired(node(1, { KeyExpiry: "2027-01-01T00:00:00Z" }), NOW), false);
  assert.equal(isExpired(node(1, { KeyExpiry: ZERO_TIME }), NOW), false);
  assert.equal(isExpired(node(1), NOW), false);
  assert.equal(isExpired(node(1, { Expired: true }), NOW), true);
});

Deno.test("earlier snapshots do not change", () => {
  const session = withPeers();
  const before = session.netmap;
  const text = JSON.stringify([...before.peers]);
  session.send({ PeersChangedPatch: [{ NodeID: 2, Online: true }], PeersRemoved: [3], UserProfiles: [] });
  assert.equal(JSON.stringify([...before.peers]), text);
});
