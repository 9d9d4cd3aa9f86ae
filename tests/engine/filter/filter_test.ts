import assert from "node:assert/strict";
import { parseAddrPort, parseIp } from "../../../base/ip.ts";
import type { FilterConfig, FilterRuleConfig } from "../../../engine/config.ts";
import { compileFilter } from "../../../engine/filter/filter.ts";
import { FlowCache, MAX_FLOWS } from "../../../engine/filter/flows.ts";
import { Packet, PROTO } from "../../../engine/packet.ts";
import { SeededRandom } from "../../support/random.ts";
import { checkDestinationSlow, checkInSlow, SlowFlows } from "./slow_filter.ts";

function setAddress(p: Packet, which: "src" | "dst", ip: Uint8Array): void {
  const view = new DataView(ip.buffer, ip.byteOffset, ip.length);
  p.version = ip.length === 4 ? 4 : 6;
  p[`${which}0`] = view.getUint32(0);
  p[`${which}1`] = ip.length === 4 ? 0 : view.getUint32(4);
  p[`${which}2`] = ip.length === 4 ? 0 : view.getUint32(8);
  p[`${which}3`] = ip.length === 4 ? 0 : view.getUint32(12);
}

/** A packet from `from` to `to`, each `ip:port`. */
function packet(protocol: number, from: string, to: string, more: Partial<Packet> = {}): Packet {
  const p = new Packet();
  const source = parseAddrPort(from)!;
  const destination = parseAddrPort(to)!;
  setAddress(p, "src", source.ip);
  setAddress(p, "dst", destination.ip);
  p.protocol = protocol;
  const ports = protocol === PROTO.TCP || protocol === PROTO.UDP || protocol === PROTO.SCTP;
  p.srcPort = ports ? source.port : 0;
  p.dstPort = ports ? destination.port : 0;
  if (protocol === PROTO.TCP) p.tcpFlags = 0x02;
  return Object.assign(p, more);
}

const rule = (sources: string[], destinations: [string, number, number][], protocols: number[] = []) => ({
  sources,
  destinations: destinations.map(([prefix, first, last]) => ({ prefix, first, last })),
  protocols,
});

const LOCAL = ["100.64.0.1/32", "fd7a:115c:a1e0::1/128", "10.9.0.0/16"];
const filter = (rules: FilterRuleConfig[], shieldsUp = false) => compileFilter({ rules, local: LOCAL, shieldsUp });

Deno.test("Filter.checkIn() admits a SYN by source, destination, port and protocol together", () => {
  const f = filter([rule(["100.64.0.2"], [["100.64.0.1", 22, 80]]), rule(["100.64.0.3/32"], [["10.9.0.0/24", 1, 9]])]);
  assert.equal(f.checkIn(packet(6, "100.64.0.2:5", "100.64.0.1:22")), undefined);
  assert.equal(f.checkIn(packet(6, "100.64.0.2:5", "100.64.0.1:80")), undefined);
  assert.equal(f.checkIn(packet(6, "100.64.0.2:5", "100.64.0.1:81")), "filter-acl");
  assert.equal(f.checkIn(packet(6, "100.64.0.2:5", "100.64.0.1:21")), "filter-acl");
  assert.equal(f.checkIn(packet(6, "100.64.0.3:5", "100.64.0.1:22")), "filter-acl", "the other rule's source");
  assert.equal(f.checkIn(packet(6, "100.64.0.3:5", "10.9.0.77:9")), undefined);
  assert.equal(f.checkIn(packet(6, "100.64.0.3:5", "10.9.1.77:9")), "filter-acl");
  assert.equal(f.checkIn(packet(132, "100.64.0.2:5", "100.64.0.1:22")), "filter-acl", "SCTP is not a default protocol");
});

Deno.test("TS-2025-006: Filter.checkIn() keeps the protocol of a rule", () => {
  const f = filter([rule(["0.0.0.0/0", "::/0"], [["0.0.0.0/0", 0, 65535], ["::/0", 0, 65535]], [17])]);
  assert.equal(f.checkIn(packet(17, "100.64.0.2:5", "100.64.0.1:53")), undefined);
  assert.equal(f.checkIn(packet(6, "100.64.0.2:5", "100.64.0.1:53")), "filter-acl");
  assert.equal(f.checkIn(packet(17, "[fd7a::2]:5", "[fd7a:115c:a1e0::1]:53")), undefined);
  assert.equal(f.checkIn(packet(6, "[fd7a::2]:5", "[fd7a:115c:a1e0::1]:53")), "filter-acl");
  assert.equal(f.checkIn(packet(47, "100.64.0.2:5", "100.64.0.1:0")), "filter-acl");
  const onlyBogus = filter([rule(["0.0.0.0/0"], [["0.0.0.0/0", 0, 65535]], [300])]);
  assert.equal(onlyBogus.checkIn(packet(6, "100.64.0.2:5", "100.64.0.1:53")), "filter-acl", "not the default set");
});

Deno.test("Filter.checkIn() lets all of TCP but a lone SYN continue", () => {
  const f = filter([]);
  for (let flags = 0; flags < 256; flags++) {
    const want = (flags & 0x12) === 0x02 ? "filter-acl" : undefined;
    assert.equal(f.checkIn(packet(6, "100.64.0.2:5", "100.64.0.1:22", { tcpFlags: flags })), want, `flags ${flags}`);
  }
});

Deno.test("Filter.checkIn() drops what is not for this node, whatever the rules say", () => {
  const f = filter([rule(["0.0.0.0/0", "::/0"], [["0.0.0.0/0", 0, 65535], ["::/0", 0, 65535]])]);
  assert.equal(f.checkIn(packet(6, "100.64.0.2:5", "100.64.0.9:22")), "filter-destination");
  assert.equal(f.checkIn(packet(6, "100.64.0.2:5", "100.64.0.9:22", { tcpFlags: 0x10 })), "filter-destination");
  assert.equal(f.checkIn(packet(99, "100.64.0.2:5", "100.64.0.9:22")), "filter-destination");
  assert.equal(f.checkIn(packet(17, "100.64.0.2:5", "100.64.0.9:0", { fragment: "later" })), "filter-destination");
  assert.equal(f.checkIn(packet(17, "100.64.0.2:5", "100.64.0.1:0", { fragment: "later" })), undefined);
  assert.equal(f.checkIn(packet(6, "[fd7a::2]:5", "[::ffff:100.64.0.1]:22")), "filter-destination");
});

Deno.test("TS-2026-007, -011: nothing reaches loopback that was not made local", () => {
  const f = filter([rule(["0.0.0.0/0", "::/0"], [["0.0.0.0/0", 0, 65535], ["::/0", 0, 65535]])]);
  for (const to of ["127.0.0.1:22", "[::1]:22", "[::ffff:127.0.0.1]:22", "[fd7a:115c:a1e0:b1a::7f00:1]:22"]) {
    assert.equal(f.checkIn(packet(6, to.startsWith("[") ? "[fd7a::2]:5" : "100.64.0.2:5", to)), "filter-destination");
  }
});

Deno.test("Filter drops multicast and link-local both ways, but for the cloud's metadata address", () => {
  const f = compileFilter({ rules: [], local: ["0.0.0.0/0", "::/0"], shieldsUp: false });
  const verdicts = (to: string) => {
    const p = packet(6, to.startsWith("[") ? "[fd7a::2]:5" : "100.64.0.2:5", to, { tcpFlags: 0x10 });
    return [f.checkIn(p), f.checkOut(p)];
  };
  assert.deepEqual(verdicts("224.0.0.251:5353"), ["filter-multicast", "filter-multicast"]);
  assert.deepEqual(verdicts("239.255.255.255:1"), ["filter-multicast", "filter-multicast"]);
  assert.deepEqual(verdicts("240.0.0.1:1"), [undefined, undefined]);
  assert.deepEqual(verdicts("[ff02::fb]:5353"), ["filter-multicast", "filter-multicast"]);
  assert.deepEqual(verdicts("169.254.1.1:1"), ["filter-link-local", "filter-link-local"]);
  assert.deepEqual(verdicts("169.254.169.254:53"), [undefined, undefined]);
  assert.deepEqual(verdicts("[fe80::1]:1"), ["filter-link-local", "filter-link-local"]);
  assert.deepEqual(verdicts("[febf::1]:1"), ["filter-link-local", "filter-link-local"]);
  assert.deepEqual(verdicts("[fec0::1]:1"), [undefined, undefined]);
});

Deno.test("Filter.checkIn() admits ICMP answers and errors always, requests where any port is open", () => {
  const open = filter([rule(["100.64.0.2"], [["100.64.0.1", 443, 443]], [6])]);
  const icmp = (type: number, code = 0, from = "100.64.0.2:0") =>
    packet(1, from, "100.64.0.1:0", { icmpType: type, icmpCode: code });
  assert.equal(open.checkIn(icmp(8)), undefined, "TCP 443 is open to it");
  assert.equal(open.checkIn(icmp(8, 0, "100.64.0.3:0")), "filter-acl");
  const closed = filter([]);
  for (const type of [3, 11, 12]) assert.equal(closed.checkIn(icmp(type, 1)), undefined, `type ${type}`);
  assert.equal(closed.checkIn(icmp(0)), undefined);
  assert.equal(closed.checkIn(icmp(0, 1)), "filter-acl");
  for (const type of [-1, 4, 5, 8, 13, 17, 18]) assert.equal(closed.checkIn(icmp(type)), "filter-acl", `type ${type}`);
  const icmp6 = (type: number) => packet(58, "[fd7a::2]:0", "[fd7a:115c:a1e0::1]:0", { icmpType: type, icmpCode: 0 });
  for (const type of [1, 2, 3, 4, 129]) assert.equal(closed.checkIn(icmp6(type)), undefined, `type ${type}`);
  for (const type of [-1, 0, 5, 128, 133, 135]) assert.equal(closed.checkIn(icmp6(type)), "filter-acl", `type ${type}`);
  assert.equal(closed.checkIn(packet(1, "[fd7a::2]:0", "[fd7a:115c:a1e0::1]:0", { icmpType: 0 })), "filter-acl");
});

Deno.test("Filter.checkIn() admits a protocol without ports only by a rule for all ports that names it", () => {
  const gre = packet(47, "100.64.0.2:0", "100.64.0.1:0");
  assert.equal(filter([rule(["100.64.0.2"], [["100.64.0.1", 0, 65535]], [47])]).checkIn(gre), undefined);
  assert.equal(filter([rule(["100.64.0.2"], [["100.64.0.1", 0, 65534]], [47])]).checkIn(gre), "filter-acl");
  assert.equal(filter([rule(["100.64.0.2"], [["100.64.0.1", 0, 65535]])]).checkIn(gre), "filter-acl");
});

Deno.test("Filter admits UDP and SCTP that answer what went out, also after it was replaced", () => {
  for (const protocol of [17, 132]) {
    const flows = new FlowCache();
    const before = compileFilter({ rules: [], local: LOCAL, shieldsUp: true }, flows);
    const answer = packet(protocol, "100.64.0.2:53", "100.64.0.1:999");
    assert.equal(before.checkIn(answer), "filter-shields");
    assert.equal(before.checkOut(packet(protocol, "100.64.0.1:999", "100.64.0.2:53")), undefined);
    assert.equal(before.checkIn(answer), undefined);
    const after = compileFilter({ rules: [], local: LOCAL, shieldsUp: false }, before.flows);
    assert.equal(after.checkIn(answer), undefined);
    assert.equal(after.checkIn(packet(protocol, "100.64.0.2:54", "100.64.0.1:999")), "filter-acl", "other port");
    assert.equal(after.checkIn(packet(protocol, "100.64.0.3:53", "100.64.0.1:999")), "filter-acl", "other source");
    assert.equal(after.checkIn(packet(149 - protocol, "100.64.0.2:53", "100.64.0.1:999")), "filter-acl");
  }
});

Deno.test("Filter with shields up ignores the rules and says so", () => {
  const f = filter([rule(["0.0.0.0/0"], [["0.0.0.0/0", 0, 65535]])], true);
  assert.equal(f.checkIn(packet(6, "100.64.0.2:5", "100.64.0.1:22")), "filter-shields");
  assert.equal(f.checkIn(packet(1, "100.64.0.2:0", "100.64.0.1:0", { icmpType: 8, icmpCode: 0 })), "filter-shields");
  assert.equal(f.checkIn(packet(1, "100.64.0.2:0", "100.64.0.1:0", { icmpType: 0, icmpCode: 0 })), undefined);
  assert.equal(f.checkIn(packet(6, "100.64.0.2:5", "100.64.0.1:22", { tcpFlags: 0x12 })), undefined);
});

Deno.test("compileFilter() refuses a prefix that is none", () => {
  assert.throws(() => filter([rule(["100.64.0.0/33"], [["100.64.0.1", 0, 1]])]), TypeError);
});

Deno.test("FlowCache forgets the flow longest unused after 512", () => {
  const flows = new FlowCache();
  const out = (port: number) => packet(17, "100.64.0.1:1", `100.64.0.2:${port}`);
  const back = (port: number) => packet(17, `100.64.0.2:${port}`, "100.64.0.1:1");
  for (let port = 1; port <= MAX_FLOWS; port++) flows.remember(out(port));
  assert.ok(flows.answers(back(1)), "which makes it the youngest");
  flows.remember(out(MAX_FLOWS + 1));
  assert.ok(flows.answers(back(1)));
  assert.ok(!flows.answers(back(2)));
  assert.ok(flows.answers(back(3)));
  assert.equal(flows.size, MAX_FLOWS);
});

Deno.test("FlowCache tells IPv4 and IPv6 with equal words apart", () => {
  const flows = new FlowCache();
  flows.remember(packet(17, "100.64.0.1:1", "100.64.0.2:2"));
  assert.ok(!flows.answers(packet(17, "[6440:2::]:2", "[6440:1::]:1")));
});

Deno.test("FlowCache equals its slow twin over 100,000 random packets", () => {
  const seed = 0xf10335;
  const random = new SeededRandom(seed);
  const fast = new FlowCache(16);
  const slow = new SlowFlows(16);
  const hosts = ["10.0.0.1", "10.0.0.2", "[fd00::1]", "[fd00::2]"];
  let answered = 0;
  for (let i = 0; i < 100_000; i++) {
    const six = random.int(2) * 2;
    const end = () => `${hosts[six + random.int(2)]}:${random.int(3)}`;
    const p = packet(random.pick([17, 132]), end(), end());
    if (random.chance(0.3)) {
      fast.remember(p);
      slow.remember(p);
    } else {
      const want = slow.answers(p);
      if (want) answered++;
      assert.equal(fast.answers(p), want, `seed ${seed}, packet ${i}`);
    }
  }
  assert.ok(answered > 1000 && answered < 69_000, `seed ${seed}: ${answered} answered proves little`);
});

/** Prefixes from a small pool, so that rules and packets meet. */
function randomPrefix(random: SeededRandom): string {
  const v4 = ["10.0.0.0/8", "10.0.0.1/32", "10.0.0.0/30", "10.0.0.4/31", "0.0.0.0/0", "100.64.0.0/10", "10.0.0.6"];
  const v6 = ["fd00::/8", "fd00::1/128", "fd00::/126", "::/0", "fd00::4/127", "2000::/3", "fd00::6"];
  return random.pick(random.chance(0.5) ? v4 : v6);
}

function randomConfig(random: SeededRandom): FilterConfig {
  const some = <T>(max: number, make: () => T) => Array.from({ length: random.int(max + 1) }, make);
  const range = () => {
    if (random.chance(0.3)) return { first: 0, last: 65535 };
    const first = random.int(6);
    return { first, last: first + random.int(4) - 1 };
  };
  return {
    rules: some(4, () => ({
      sources: some(3, () => randomPrefix(random)),
      destinations: some(3, () => ({ prefix: randomPrefix(random), ...range() })),
      protocols: random.chance(0.5) ? [] : some(3, () => random.pick([1, 6, 17, 47, 58, 99, 132, 300, -1])),
    })),
    local: some(4, () => randomPrefix(random)),
    shieldsUp: random.chance(0.1),
  };
}

function randomPacket(random: SeededRandom): Packet {
  const six = random.chance(0.5);
  const last = () => random.int(8);
  const odd = six ? ["ff02::1", "fe80::1", "::1"] : ["224.0.0.1", "169.254.1.1", "169.254.169.254", "100.64.0.1"];
  const host = () => (random.chance(0.15) ? random.pick(odd) : six ? `fd00::${last()}` : `10.0.0.${last()}`);
  const p = new Packet();
  setAddress(p, "src", parseIp(host())!);
  setAddress(p, "dst", parseIp(host())!);
  p.protocol = random.pick([1, 2, 6, 17, 47, 58, 99, 132]);
  if (p.protocol === 6 || p.protocol === 17 || p.protocol === 132) {
    p.srcPort = random.int(8);
    p.dstPort = random.int(8);
  }
  if (p.protocol === 6) p.tcpFlags = random.pick([0x02, 0x10, 0x12, 0xc2, random.int(256)]);
  if (p.protocol === 1 || p.protocol === 58) {
    p.icmpType = random.pick([-1, 0, 1, 2, 3, 4, 8, 11, 12, 18, 128, 129]);
    p.icmpCode = p.icmpType < 0 ? -1 : random.int(2);
  }
  p.fragment = random.pick(["none", "none", "none", "first", "later"]);
  return p;
}

Deno.test("Filter equals its slow twin on 300 random rule sets of 200 packets each way", () => {
  const seed = 0xf117e7;
  const random = new SeededRandom(seed);
  const verdicts = new Map<string, number>();
  for (let round = 0; round < 300; round++) {
    const config = randomConfig(random);
    const f = compileFilter(config);
    const slowFlows = new SlowFlows(MAX_FLOWS);
    for (let i = 0; i < 200; i++) {
      const where = `seed ${seed}, rules ${round}, packet ${i}`;
      const out = randomPacket(random);
      const wantOut = checkDestinationSlow(out);
      const flows = (out.protocol === 17 || out.protocol === 132) && out.fragment !== "later";
      if (wantOut === undefined && flows) slowFlows.remember(out);
      assert.equal(f.checkOut(out), wantOut, where);
      const p = randomPacket(random);
      const want = checkInSlow(config, slowFlows, p);
      assert.equal(f.checkIn(p), want, `${where}: ${JSON.stringify(p)} ${JSON.stringify(config)}`);
      verdicts.set(want ?? "accept", (verdicts.get(want ?? "accept") ?? 0) + 1);
    }
  }
  console.log(`seed ${seed}:`, Object.fromEntries(verdicts));
  assert.equal(verdicts.size, 6, "every verdict happened");
});
