import assert from "node:assert/strict";
import { parseIp, parsePrefix } from "../../base/ip.ts";
import { AllowedIps } from "../../engine/wg/allowed_ips.ts";
import { Packet, parsePacket } from "../../engine/packet.ts";
import { mutate, SeededRandom } from "../support/random.ts";
import { tcpPacket, udpPacket } from "../support/packets.ts";

/** Parses at an odd offset in a larger buffer, with garbage around. */
function parse(bytes: Uint8Array, out = new Packet()): { packet: Packet; drop: ReturnType<typeof parsePacket> } {
  const buffer = new Uint8Array(bytes.length + 96).fill(0xee);
  buffer.set(bytes, 3);
  const drop = parsePacket(buffer, new DataView(buffer.buffer), 3, bytes.length, out);
  return { packet: out, drop };
}

function ip4(protocol: number, body: number[] | Uint8Array, fragment = 0, total?: number): Uint8Array<ArrayBuffer> {
  const packet = new Uint8Array(20 + body.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x45;
  view.setUint16(2, total ?? packet.length);
  view.setUint16(6, fragment);
  packet[9] = protocol;
  packet.set([100, 64, 0, 1], 12);
  packet.set([100, 64, 0, 2], 16);
  packet.set(body, 20);
  return packet;
}

function ip6(next: number, body: number[] | Uint8Array): Uint8Array<ArrayBuffer> {
  const packet = new Uint8Array(40 + body.length);
  packet[0] = 0x60;
  new DataView(packet.buffer).setUint16(4, body.length);
  packet[6] = next;
  packet.set(parseIp("fd7a:115c:a1e0::1")!, 8);
  packet.set(parseIp("fd7a:115c:a1e0::2")!, 24);
  packet.set(body, 40);
  return packet;
}

const TCP_SYN_80 = [0x12, 0x34, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0, 0, 0, 0, 0, 0];

Deno.test("parsePacket() reads IPv4 TCP, its annotated bytes", () => {
  // deno-fmt-ignore
  const bytes = Uint8Array.of(
    0x46, 0, 0, 44, 0, 1, 0x40, 0, 64, 6, 0, 0,  // version 4, header of 24 bytes, total 44, don't fragment, TCP
    100, 64, 0, 1, 100, 101, 102, 103,           // source, destination
    1, 1, 1, 1,                                  // options
    0x12, 0x34, 0x01, 0xbb,                      // ports 4660 and 443
    0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12, 0, 0, 0, 0, 0, 0, // data offset 5, SYN and ACK
    0xaa, 0xaa, 0xaa,                            // WireGuard's padding
  );
  const { packet, drop } = parse(bytes);
  assert.equal(drop, undefined);
  assert.deepEqual({ ...packet }, {
    ...new Packet(),
    version: 4,
    protocol: 6,
    src0: 0x64400001,
    dst0: 0x64656667,
    srcPort: 4660,
    dstPort: 443,
    tcpFlags: 0x12,
    length: 44,
    l4: 24,
  });
});

Deno.test("parsePacket() reads IPv6 UDP and unsigned words", () => {
  const source = parseIp("fd7a:115c:a1e0:ab12:4843:cd96:6258:b240")!;
  const destination = parseIp("ffee:ddcc:bbaa:9988:7766:5544:3322:1100")!;
  const { packet, drop } = parse(
    udpPacket({ source, destination, sourcePort: 65535, destinationPort: 53, payload: new Uint8Array(9) }),
  );
  assert.equal(drop, undefined);
  assert.deepEqual(
    [packet.src0, packet.src1, packet.src2, packet.src3],
    [0xfd7a115c, 0xa1e0ab12, 0x4843cd96, 0x6258b240],
  );
  assert.deepEqual(
    [packet.dst0, packet.dst1, packet.dst2, packet.dst3],
    [0xffeeddcc, 0xbbaa9988, 0x77665544, 0x33221100],
  );
  assert.deepEqual([packet.version, packet.protocol, packet.srcPort, packet.dstPort], [6, 17, 65535, 53]);
  assert.deepEqual([packet.length, packet.l4, packet.fragment], [40 + 8 + 9, 40, "none"]);
});

Deno.test("parsePacket() leaves nothing of the packet before", () => {
  const out = new Packet();
  parse(ip6(6, TCP_SYN_80), out);
  parse(ip4(1, [8, 3, 0, 0, 0, 0, 0, 0]), out);
  assert.deepEqual([out.icmpType, out.icmpCode], [8, 3]);
  parse(ip4(47, []), out);
  assert.deepEqual({ ...out }, {
    ...new Packet(),
    version: 4,
    protocol: 47,
    src0: 0x64400001,
    dst0: 0x64400002,
    length: 20,
    l4: 20,
  });
});

Deno.test("parsePacket() refuses what is not an IP packet of that length", () => {
  const cases: [string, Uint8Array, string][] = [
    ["empty", new Uint8Array(0), "too-short"],
    ["19 bytes", new Uint8Array(19).fill(0x45), "too-short"],
    ["39 bytes of IPv6", ip6(59, []).subarray(0, 39), "too-short"],
    ["version 5", ip4(6, TCP_SYN_80).map((byte, i) => (i === 0 ? 0x55 : byte)), "inner-malformed"],
    ["header of 16 bytes", ip4(6, TCP_SYN_80).map((byte, i) => (i === 0 ? 0x44 : byte)), "inner-malformed"],
    ["header longer than the packet", ip4(47, []).map((byte, i) => (i === 0 ? 0x4f : byte)), "inner-malformed"],
    ["total shorter than the header", ip4(6, TCP_SYN_80, 0, 19), "inner-malformed"],
    ["total longer than the bytes", ip4(6, TCP_SYN_80, 0, 41), "inner-length"],
    ["IPv6 longer than the bytes", ip6(6, TCP_SYN_80).subarray(0, 59), "inner-length"],
    ["TCP header cut, although padding follows", ip4(6, TCP_SYN_80, 0, 39), "inner-malformed"],
    ["UDP header cut", ip4(17, [0, 1, 0, 2, 0, 8, 0]), "inner-malformed"],
    ["SCTP header cut", ip4(132, new Uint8Array(11)), "inner-malformed"],
    ["ICMP header cut", ip4(1, [8, 0, 0]), "inner-malformed"],
    ["ICMPv6 header cut", ip6(58, [128, 0, 0]), "inner-malformed"],
    ["IGMP header cut", ip4(2, new Uint8Array(7)), "inner-malformed"],
    ["TSMP cut", ip4(99, new Uint8Array(6)), "inner-malformed"],
    ["protocol 0", ip4(0, new Uint8Array(8)), "inner-malformed"],
    ["protocol 255", ip4(255, new Uint8Array(8)), "inner-malformed"],
    ["hop-by-hop options", ip6(0, [6, 0, 1, 4, 0, 0, 0, 0, ...TCP_SYN_80]), "inner-malformed"],
    ["IPv6 fragment header cut", ip6(44, [6, 0, 0, 0, 0, 0, 0]), "inner-malformed"],
    ["255 in a fragment header", ip6(44, [255, 0, 0, 0, 0, 0, 0, 0, ...TCP_SYN_80]), "inner-malformed"],
  ];
  for (const [name, bytes, want] of cases) assert.equal(parse(bytes).drop, want, name);
});

Deno.test("parsePacket() keeps an IPv6 extension header it does not step over as the protocol", () => {
  for (const next of [43, 50, 51, 60]) {
    const { packet, drop } = parse(ip6(next, [6, 0, 0, 0, 0, 0, 0, 0, ...TCP_SYN_80]));
    assert.deepEqual([drop, packet.protocol, packet.dstPort], [undefined, next, 0]);
  }
});

Deno.test("parsePacket() reads the transport header of a first fragment", () => {
  const four = parse(ip4(6, TCP_SYN_80, 0x2000)).packet;
  assert.deepEqual([four.fragment, four.protocol, four.dstPort, four.tcpFlags], ["first", 6, 80, 2]);
  const six = parse(ip6(44, [6, 0, 0, 1, 9, 9, 9, 9, ...TCP_SYN_80])).packet;
  assert.deepEqual([six.fragment, six.protocol, six.dstPort, six.l4], ["first", 6, 80, 48]);
  const atomic = parse(ip6(44, [6, 0, 0, 0, 9, 9, 9, 9, ...TCP_SYN_80])).packet;
  assert.deepEqual([atomic.fragment, atomic.dstPort], ["none", 80]);
});

Deno.test("parsePacket() refuses fragments that hide a transport header (RFC 1858)", () => {
  assert.equal(parse(ip4(6, TCP_SYN_80.slice(0, 16), 0x2000)).drop, "filter-fragment", "tiny first fragment");
  assert.equal(parse(ip6(44, [17, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])).drop, "filter-fragment", "tiny first, IPv6");
  for (let offset = 1; offset < 10; offset++) {
    assert.equal(parse(ip4(6, TCP_SYN_80, 0x2000 | offset)).drop, "filter-fragment", `offset ${offset * 8}`);
    assert.equal(parse(ip6(44, [6, 0, 0, offset << 3, 0, 0, 0, 0, ...TCP_SYN_80])).drop, "filter-fragment");
  }
  assert.equal(parse(ip4(99, new Uint8Array(20), 0x2000)).drop, "filter-fragment", "TSMP is never fragmented");
  assert.equal(parse(ip6(44, [99, 0, 0, 1, 0, 0, 0, 0, ...new Uint8Array(20)])).drop, "filter-fragment");
});

Deno.test("parsePacket() lets a later fragment pass without ports", () => {
  const four = parse(ip4(6, TCP_SYN_80, 10));
  assert.deepEqual([four.drop, four.packet.fragment, four.packet.dstPort], [undefined, "later", 0]);
  const six = parse(ip6(44, [17, 0, 0, 10 << 3, 0, 0, 0, 0, ...TCP_SYN_80]));
  assert.deepEqual([six.drop, six.packet.fragment, six.packet.dstPort], [undefined, "later", 0]);
});

Deno.test("W4: what parsePacket() calls the source decides by allowed IPs, however the packet is dressed", () => {
  const seed = 0x5eed04;
  const random = new SeededRandom(seed);
  const [peer, exit] = [1, 2];
  const routes = new AllowedIps();
  for (const prefix of ["100.64.0.7/32", "fd7a:115c:a1e0::7/128"]) routes.insert(parsePrefix(prefix)!, peer);
  for (const prefix of ["0.0.0.0/0", "::/0"]) routes.insert(parsePrefix(prefix)!, exit);
  const out = new Packet();
  for (let i = 0; i < 5000; i++) {
    const six = random.chance(0.5);
    const own = random.chance(0.5);
    const source = own ? parseIp(six ? "fd7a:115c:a1e0::7" : "100.64.0.7")! : random.bytes(six ? 16 : 4);
    const packet = random.pick([tcpPacket, udpPacket])({
      source,
      destination: random.bytes(six ? 16 : 4),
      sourcePort: random.int(65536),
      destinationPort: random.int(65536),
      payload: random.bytes(random.int(40)),
    });
    assert.equal(parse(packet, out).drop, undefined);
    const owner = six ? routes.lookup6(out.src0, out.src1, out.src2, out.src3) : routes.lookup4(out.src0);
    assert.equal(owner, own ? peer : exit, `seed ${seed}, packet ${i}`);
  }
});

Deno.test("W7: parsePacket() never throws on 100,000 random and mutated packets, and stays within their bytes", () => {
  const seed = 0x5eed07;
  const random = new SeededRandom(seed);
  const bases = [
    ip4(6, TCP_SYN_80),
    ip4(1, [8, 0, 0, 0, 0, 0, 0, 0]),
    ip6(44, [17, 0, 0, 1, 0, 0, 0, 0, ...TCP_SYN_80]),
    ip6(58, [128, 0, 0, 0, 0, 0, 0, 0]),
    ip4(99, new Uint8Array(9)),
  ];
  const out = new Packet();
  const counts = new Map<string, number>();
  for (let i = 0; i < 100_000; i++) {
    const bytes = random.chance(0.3) ? random.bytes(random.int(64)) : mutate(random, random.pick(bases));
    // No byte behind the packet: reading one would throw here.
    const drop = parsePacket(bytes, new DataView(bytes.buffer), 0, bytes.length, out);
    counts.set(drop ?? "ok", (counts.get(drop ?? "ok") ?? 0) + 1);
    if (drop !== undefined) continue;
    assert.ok(out.length <= bytes.length && out.l4 <= out.length, `seed ${seed}, packet ${i}`);
  }
  for (const kind of ["ok", "too-short", "inner-length", "inner-malformed", "filter-fragment"]) {
    assert.ok((counts.get(kind) ?? 0) > 0, `seed ${seed}: no packet was ${kind}`);
  }
});
