// What is answered here, what goes to which servers, and what goes to nobody.

import assert from "node:assert/strict";
import { encodeAnswer, parseQuery, type Query } from "../../../base/dns_message.ts";
import type { DNSConfig } from "../../../control/wire/dns_config.ts";
import { Forwarder } from "../../../daemon/dns/forwarder.ts";
import { planDns } from "../../../daemon/dns/plan.ts";
import { Resolver } from "../../../daemon/dns/resolver.ts";
import {
  answerText,
  ask,
  dnsNode,
  dnsView,
  FakeServers,
  manyRecords,
  type Reaction,
  reverse4,
} from "../../support/dns.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { SeededRandom } from "../../support/random.ts";

const SERVICE = ["100.100.100.100", "fd7a:115c:a1e0::53"];
const NODES = [
  dnsNode("me.tail.test", ["100.64.0.1", "fd7a:115c:a1e0::1"]),
  dnsNode("Peer.tail.test", ["100.64.0.2", "fd7a:115c:a1e0::2"]),
  dnsNode("six.tail.test", ["fd7a:115c:a1e0::6"]),
  dnsNode("apps.tail.test", ["100.64.0.9"], ["dns-subdomain-resolve"]),
];

function world(
  config: DNSConfig,
  reactions: Record<string, Reaction> = {},
  base: readonly string[] = [],
  nodes = NODES,
) {
  const servers = new FakeServers(reactions);
  const scheduler = new FakeScheduler();
  const forwarder = new Forwarder({ transport: servers, scheduler, random: new SeededRandom(9).bytes });
  const resolver = new Resolver(forwarder, () => 0);
  resolver.setPlan(planDns(dnsView(nodes), config, {
    acceptDns: true,
    exitNode: false,
    splits: false,
    base: { nameservers: base, searchDomains: [] },
    serviceAddresses: SERVICE,
  }));
  const resolve = async (wire: Uint8Array, transport: "udp" | "tcp" = "udp") =>
    (await resolver.resolve(wire, transport))?.bytes;
  return {
    servers,
    scheduler,
    resolver,
    resolve,
    text: async (...args: Parameters<typeof ask>) => answerText(await resolve(ask(...args))),
  };
}

Deno.test("MagicDNS: nodes by name, in any case, and what is missing in our own zone is asked of nobody", async () => {
  const { text, servers } = world({ Proxied: true }, { "9.9.9.99": "192.0.2.1" }, ["9.9.9.99"]);
  for (
    const [name, type, want] of [
      ["me.tail.test", "A", "NOERROR A 100.64.0.1"],
      ["PEER.Tail.Test", "A", "NOERROR A 100.64.0.2"],
      ["peer.tail.test", "AAAA", "NOERROR"],
      ["six.tail.test", "AAAA", "NOERROR AAAA fd7a:115c:a1e0::6"],
      ["six.tail.test", "A", "NOERROR"],
      ["peer.tail.test", "TXT", "NOERROR"],
      ["peer.tail.test", "NS", "NOTIMP"],
      ["gone.tail.test", "A", "NXDOMAIN"],
      ["x.apps.tail.test", "A", "NOERROR A 100.64.0.9"],
      ["x.peer.tail.test", "A", "NXDOMAIN"],
      [reverse4("100.64.0.2"), "PTR", "NOERROR PTR peer.tail.test."],
      [reverse4("100.64.0.77"), "PTR", "NXDOMAIN"],
      [reverse4("100.100.100.100"), "PTR", "NOERROR PTR magicdns.localhost-tailscale-daemon."],
      ["magicdns.localhost-tailscale-daemon", "A", "NOERROR A 100.100.100.100"],
      ["10-1-1-16-via-7.tail.test", "AAAA", "NOERROR AAAA fd7a:115c:a1e0:b1a:0:7:a01:110"],
      ["10-1-1-16-via-0x10", "AAAA", "NOERROR AAAA fd7a:115c:a1e0:b1a:0:10:a01:110"],
      ["10-1-1-16-via-7.ts.net", "A", "NOERROR"],
      ["localhost", "A", "NOERROR A 127.0.0.1"],
    ] as const
  ) assert.equal(await text(name, type), want, `${name} ${type}`);
  assert.deepEqual(servers.asked, []);
});

Deno.test("AAAA of a peer with both families: where control allows it, or when we have IPv6 only", async () => {
  const allowed = [dnsNode("me.tail.test", ["100.64.0.1"], ["magicdns-aaaa"]), NODES[1]];
  assert.equal(
    await world({ Proxied: true }, {}, [], allowed).text("peer.tail.test", "AAAA"),
    "NOERROR AAAA fd7a:115c:a1e0::2",
  );
  const only6 = [dnsNode("me.tail.test", ["fd7a:115c:a1e0::1"]), NODES[1]];
  assert.equal(await world({ Proxied: true }, {}, [], only6).text("peer.tail.test", "A"), "NOERROR");
});

Deno.test("a negative answer carries an SOA that lets it be kept for ten seconds, a positive one lives five", async () => {
  const { resolve } = world({ Proxied: true });
  const negative = (await resolve(ask("gone.tail.test")))!;
  assert.equal(new DataView(negative.buffer).getUint16(8), 1, "one authority record");
  assert.ok(negative.toHex().includes("0000000a".repeat(4)));
  assert.ok((await resolve(ask("me.tail.test")))!.toHex().includes("c00c000100010000000500046440"));
});

Deno.test("extra records of control: addresses, several of a name, others left out", async () => {
  const ExtraRecords = [
    { Name: "db.corp.test", Value: "100.64.0.50" },
    { Name: "db.corp.test.", Type: "AAAA", Value: "fd7a:115c:a1e0::50" },
    { Name: "db.corp.test", Type: "TXT", Value: "hello" },
    { Name: "peer.tail.test", Type: "A", Value: "100.64.0.60" },
  ];
  const { text } = world({ Proxied: true, ExtraRecords });
  assert.equal(await text("db.corp.test"), "NOERROR A 100.64.0.50");
  assert.equal(await text("db.corp.test", "AAAA"), "NOERROR AAAA fd7a:115c:a1e0::50");
  assert.equal(await text("peer.tail.test"), "NOERROR A 100.64.0.60");
});

Deno.test("TS-2024-007 split DNS: the longest suffix decides, and its names go to its servers alone, alive or dead", async () => {
  const Routes = {
    "corp.test.": [{ Addr: "10.0.0.1" }],
    "dead.corp.test": [{ Addr: "10.0.0.2" }],
    "local": [{ Addr: "10.0.0.3" }],
    "here.test": [],
  };
  const { text, servers } = world(
    { Proxied: true, Routes, Resolvers: [{ Addr: "10.0.0.9" }] },
    { "10.0.0.1": "192.0.2.1", "10.0.0.2": 2, "10.0.0.3": "192.0.2.3", "10.0.0.9": "192.0.2.9" },
  );
  assert.equal(await text("a.corp.test"), "NOERROR A 192.0.2.1");
  assert.equal(await text("corp.test"), "NOERROR A 192.0.2.1");
  assert.equal(await text("notcorp.test"), "NOERROR A 192.0.2.9");
  assert.equal(await text("dc.local"), "NOERROR A 192.0.2.3");
  assert.equal(await text("x.here.test"), "NXDOMAIN");
  assert.equal(await text("b.dead.corp.test"), "SERVFAIL");
  const strangers = servers.asked.filter((line) => /corp|local/.test(line) && line.startsWith("10.0.0.9 "));
  assert.deepEqual(strangers, ["10.0.0.9 udp notcorp.test"]);
});

Deno.test("TS-2024-007 special names: what stands for no host of the DNS is asked of nobody", async () => {
  const { text, servers } = world({ Proxied: true }, { "10.0.0.9": "192.0.2.9" }, ["10.0.0.9"]);
  for (
    const name of [
      "x.onion",
      "printer.local",
      "use-application-dns.net",
      "a.invalid",
      "lb._dns-sd._udp.0.1.168.192.in-addr.arpa",
    ]
  ) {
    assert.equal(await text(name, name.endsWith("arpa") ? "PTR" : "A"), "NXDOMAIN", name);
  }
  assert.equal(await text("a.localhost", "AAAA"), "NOERROR AAAA ::1");
  assert.deepEqual(servers.asked, []);
  assert.equal(await text("web"), "NOERROR A 192.0.2.9", "a single label goes where the machine asked before");
});

Deno.test("without a plan every question is refused; with no server for a name it fails", async () => {
  const { resolver, text } = world({ Proxied: true });
  assert.equal(await text("example.com"), "SERVFAIL");
  resolver.setPlan(undefined);
  assert.equal(await text("me.tail.test"), "REFUSED");
});

Deno.test("an answer too large for UDP is cut to its question and marked; by TCP it comes whole", async () => {
  const big: Reaction = (query) => encodeAnswer(query, { rcode: 0, records: manyRecords(200) });
  const { resolve } = world({ Resolvers: [{ Addr: "10.0.0.9" }] }, { "10.0.0.9": big });
  const [udp, tcp] = [(await resolve(ask("big.test", "TXT")))!, (await resolve(ask("big.test", "TXT"), "tcp"))!];
  assert.deepEqual([udp[2] & 2, udp.length < 512, answerText(udp)], [2, true, "NOERROR"]);
  assert.deepEqual([tcp[2] & 2, tcp.length > 3000], [0, true]);
});

Deno.test("what a server answers counts only for the question asked; its number is the asker's again", async () => {
  const other = parseQuery(ask("evil.test", "A", 5)) as Query;
  const forged: Reaction = (query, by) =>
    by === "udp" ? encodeAnswer({ ...other, id: query.id }, { rcode: 0 }) : encodeAnswer(query, { rcode: 3 });
  const { resolve, scheduler } = world({ Resolvers: [{ Addr: "10.0.0.9" }] }, { "10.0.0.9": forged });
  const waiting = resolve(ask("good.test", "A", 0xbeef));
  await scheduler.advance(2_000);
  const answer = (await waiting)!;
  assert.deepEqual([answer.subarray(0, 2).toHex(), answerText(answer)], ["beef", "NXDOMAIN"]);
});
