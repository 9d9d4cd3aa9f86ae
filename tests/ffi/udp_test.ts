import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { parseIp } from "../../base/ip.ts";
import { createArena, type FfiArena } from "../../ffi/arena.ts";
import { EAGAIN, EMSGSIZE, FfiError } from "../../ffi/libc.ts";
import { createPoll } from "../../ffi/poll.ts";
import { createAddrTable } from "../../ffi/sockaddr.ts";
import { createUdp, type FfiUdpPort } from "../../ffi/udp.ts";

const LOOPBACK = { 4: parseIp("127.0.0.1")!, 6: parseIp("::1")! };
const GROUP = 60_000;

interface Pair {
  arena: FfiArena;
  a: FfiUdpPort;
  b: FfiUdpPort;
  toA: number;
  toB: number;
  out: number;
  into: number;
}

function pair(family: 4 | 6, offload = true): Pair & Disposable {
  const arena = createArena(16 << 20);
  const addrs = createAddrTable(arena, 64);
  const open = () => createUdp({ arena, addrs, family, address: LOOPBACK[family], port: 0, offload });
  const a = open(), b = open();
  const id = (udp: FfiUdpPort) => addrs.intern(LOOPBACK[family], udp.port);
  const [out, into] = [arena.reserve(1 << 20), arena.reserve(65536)];
  return { arena, a, b, toA: id(a), toB: id(b), out, into, [Symbol.dispose]: () => (a.close(), b.close()) };
}

/** One receive, waited for: under load loopback delivers a little after the send returns. */
function receive(arena: FfiArena, port: FfiUdpPort, into: number, max = 65536): number {
  const poll = createPoll(arena);
  poll.watch([port.fd]);
  assert.equal(poll.wait(2000), 1, "nothing came");
  return port.recv(into, max);
}

/** The next `count` datagrams, and that no more follow. */
function drain(port: FfiUdpPort, { arena, into }: Pair, count: number): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  while (datagrams.length < count) {
    const length = receive(arena, port, into);
    assert.ok(length > 0, `recv gave ${length}`);
    for (let at = 0; at < length; at += port.segment) {
      datagrams.push(arena.u8.slice(into + at, into + Math.min(length, at + port.segment)));
    }
  }
  assert.equal(port.recv(into, 65536), -EAGAIN);
  return datagrams;
}

const digest = (parts: Uint8Array[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");

for (const family of [4, 6] as const) {
  Deno.test(`UDP over IPv${family}: groups sent by GSO arrive whole and in order through GRO`, () => {
    using net = pair(family);
    const { arena, a, b, toB, out } = net;
    for (let at = out; at < out + (1 << 20); at += 65536) crypto.getRandomValues(arena.u8.subarray(at, at + 65536));
    const sent: Uint8Array[] = [];
    let at = out;
    for (
      const [length, segment] of [[1, 1], [1452, 1452], [1452 * 40, 1452], [1452 * 3 + 17, 1452], [64, 1], [
        65000,
        1280,
      ]]
    ) {
      assert.equal(a.queue(toB, at, length, segment), true);
      for (let i = 0; i < length; i += segment) sent.push(arena.u8.slice(at + i, at + Math.min(length, i + segment)));
      at += length;
    }
    assert.equal(a.flush(), 0);
    assert.equal(a.lastError, 0);
    const got = drain(b, net, sent.length);
    assert.deepEqual(got.map((d) => d.length), sent.map((d) => d.length));
    assert.equal(digest(got), digest(sent));
    assert.equal(b.source, net.toA, "the source is the interned address of the sender");
    assert.deepEqual(a.offloads, { gso: true, gro: true });
  });
}

Deno.test("UDP without offloads sends a group as single datagrams", () => {
  using net = pair(4, false);
  const { a, b, toB, out } = net;
  assert.deepEqual(a.offloads, { gso: false, gro: false });
  assert.equal(a.queue(toB, out, 64 * 900, 900), true);
  assert.equal(a.queue(toB, out, 63 * 900, 900), true);
  assert.equal(a.queue(toB, out, 2 * 900, 900), false, "127 of 128 entries are taken");
  assert.equal(a.flush(), 0);
  assert.equal(drain(b, net, 127).filter((d) => d.length === 900).length, 127);
});

Deno.test("UDP queue() says when the batch is full and flush() empties it", () => {
  using net = pair(4);
  const { a, b, toB, out } = net;
  for (let i = 0; i < 128; i++) assert.equal(a.queue(toB, out, 100, 100), true);
  assert.equal(a.queue(toB, out, 100, 100), false);
  assert.equal(a.queue(toB, out, 200, 100), false);
  assert.equal(a.flush(), 0);
  assert.equal(a.flush(), 0, "nothing is sent twice");
  assert.equal(drain(b, net, 128).length, 128);
});

Deno.test("UDP queue() refuses groups that no kernel takes", () => {
  using net = pair(4);
  assert.throws(() => net.a.queue(net.toB, net.out, 65001, 1400), RangeError);
  assert.throws(() => net.a.queue(net.toB, net.out, 65, 1), RangeError);
  assert.throws(() => net.a.queue(net.toB, net.out, 10, 0), RangeError);
});

Deno.test("UDP: a datagram of length 0 is received as 0, one larger than the buffer as -EMSGSIZE and counted", () => {
  using net = pair(4);
  const { arena, a, b, toB, out, into } = net;
  const sender = Deno.dlopen("libc.so.6", {
    sendto: { parameters: ["i32", "pointer", "u32", "i32", "pointer", "u32"], result: "i32" },
  });
  const address = new Uint8Array([2, 0, b.port >> 8, b.port, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  sender.symbols.sendto(a.fd, null, 0, 0, Deno.UnsafePointer.of(address), 16);
  sender.close();
  assert.equal(receive(arena, b, into), 0);
  a.queue(toB, out, 1000, 1000);
  a.queue(toB, out, 10, 10);
  a.flush();
  assert.equal(receive(arena, b, into, 999), -EMSGSIZE);
  assert.equal(receive(arena, b, into, 999), 10);
  assert.equal(b.truncated, 1);
  assert.equal(b.recv(into, 999), -EAGAIN);
});

Deno.test("UDP flush() loses the group that cannot be sent and sends the others", () => {
  const arena = createArena(16 << 20);
  const addrs = createAddrTable(arena, 8);
  const a = createUdp({ arena, addrs, family: 4, address: LOOPBACK[4], port: 0 });
  const b = createUdp({ arena, addrs, family: 4, address: LOOPBACK[4], port: 0 });
  const good = addrs.intern(LOOPBACK[4], b.port);
  const away = addrs.intern(parseIp("203.0.113.1")!, 9); // bound to loopback: EINVAL
  const [out, into] = [arena.reserve(GROUP), arena.reserve(65536)];
  assert.equal(a.queue(good, out, 100, 100), true);
  assert.equal(a.queue(away, out, 101, 101), true);
  assert.equal(a.queue(good, out, 102, 102), true);
  assert.equal(a.flush(), 1);
  assert.ok(a.lastError < 0);
  assert.deepEqual([receive(arena, b, into), receive(arena, b, into), b.recv(into, 65536)], [100, 102, -EAGAIN]);
  assert.equal(a.sent.lost, 1);
  a.close();
  b.close();
});

Deno.test("createUdp() says which port is taken", () => {
  using net = pair(4);
  const arena = createArena(16 << 20);
  const options = { arena, addrs: createAddrTable(arena, 8), family: 4, address: LOOPBACK[4] } as const;
  assert.throws(
    () => createUdp({ ...options, port: net.a.port }),
    (error) => error instanceof FfiError && error.code === "EADDRINUSE" && error.message.includes(`port ${net.a.port}`),
  );
});
