import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { parseIp, parsePrefix } from "../../base/ip.ts";
import { createArena, type FfiArena } from "../../ffi/arena.ts";
import { EAGAIN, FfiError } from "../../ffi/libc.ts";
import { createPoll } from "../../ffi/poll.ts";
import { addAddress } from "../../ffi/rt_addr.ts";
import { linkByName, setLink } from "../../ffi/rt_link.ts";
import { createAddrTable } from "../../ffi/sockaddr.ts";
import { attachTun, createTun, type FfiTunPort } from "../../ffi/tun.ts";
import { createUdp, type FfiUdpPort } from "../../ffi/udp.ts";
import { Lab, privilegedTest } from "../netlab/lab.ts";

const VIRTIO = 10;
const MTU = 1280;

interface Setup {
  arena: FfiArena;
  tun: FfiTunPort;
  /** A socket of this end, bound to `own`; what it sends to `peer` comes out of the TUN. */
  udp: FfiUdpPort;
  peer: number;
  buffer: number;
  out: number;
}

async function withTun(family: 4 | 6, body: (setup: Setup) => void): Promise<void> {
  const [own, peer, prefix] = family === 4
    ? ["10.5.0.1", "10.5.0.2", "10.5.0.1/24"]
    : ["fd05::1", "fd05::2", "fd05::1/64"];
  await using lab = await Lab.create();
  const host = lab.namespace("tun");
  const arena = createArena(16 << 20);
  const addrs = createAddrTable(arena, 64);
  const tun = host.within<FfiTunPort>(() => createTun({ arena, name: "agent%d" }));
  host.configure(tun.name, [prefix], MTU);
  host.awaitReady(tun.name, []);
  const udp = host.within<FfiUdpPort>(() =>
    createUdp({ arena, addrs, family, address: parseIp(own)!, port: 7000, mark: 0 })
  );
  try {
    const setup = { arena, tun, udp, peer: addrs.intern(parseIp(peer)!, 7001) };
    const whole = { ...setup, buffer: arena.reserve(66_000), out: arena.reserve(65_536) };
    awaitDelivery(whole, family);
    body(whole);
  } finally {
    udp.close();
    tun.close();
  }
}

/** A new device drops what comes in for an IPv6 address until the kernel has noticed its carrier: knock until it does not. */
function awaitDelivery(setup: Setup, family: 4 | 6): void {
  const { arena, tun, udp, peer, buffer, out } = setup;
  const poll = createPoll(arena);
  poll.watch([udp.fd]);
  for (let tries = 0; tries < 200; tries++) {
    udp.queue(peer, out, 5, 5);
    udp.flush();
    const length = readUdp(setup, family);
    turn(arena.u8.subarray(buffer + VIRTIO, buffer + length), family);
    tun.writev(Int32Array.of(buffer, length), 1);
    if (poll.wait(20) === 0) continue;
    while (udp.recv(out, 65_535) > 0);
    return;
  }
  assert.fail("nothing comes through a new TUN device");
}

/** The next packet for the peer; the kernel's own (router solicitations and the like) are passed over. */
function readUdp({ arena, tun, buffer }: Setup, family: 4 | 6): number {
  for (;;) {
    const length = tun.read(buffer, 66_000);
    if (length === -EAGAIN) awaitReadable(arena, tun.fd);
    else if (isUdp(arena.u8.subarray(buffer + VIRTIO), family)) return length;
  }
}

function awaitReadable(arena: FfiArena, fd: number): void {
  const poll = createPoll(arena);
  poll.watch([fd]);
  assert.equal(poll.wait(2000), 1, "nothing came");
}

function isUdp(packet: Uint8Array, family: 4 | 6): boolean {
  return packet[0] >> 4 === family && packet[family === 4 ? 9 : 6] === 17;
}

/** Turns a packet round: a sum of 16-bit words does not care, so the checksums stay right. */
function turn(packet: Uint8Array, family: 4 | 6): void {
  const [at, length, ports] = family === 4 ? [12, 4, 20] : [8, 16, 40];
  const swap = (a: number, b: number, n: number) => {
    const kept = packet.slice(a, a + n);
    packet.copyWithin(a, b, b + n);
    packet.set(kept, b);
  };
  swap(at, at + length, length);
  swap(ports, ports + 2, 2);
}

for (const family of [4, 6] as const) {
  const headers = family === 4 ? 28 : 48;

  privilegedTest(
    `TUN over IPv${family}: a datagram comes out behind a virtio header, and goes back in by iovecs`,
    () =>
      withTun(family, (setup) => {
        const { arena, tun, udp, peer, buffer, out } = setup;
        arena.u8.set(new TextEncoder().encode("through the tunnel"), out);
        udp.queue(peer, out, 18, 18);
        assert.equal(udp.flush(), 0);
        const length = readUdp(setup, family);
        assert.equal(length, VIRTIO + headers + 18);
        assert.equal(arena.u8[buffer + 1], 0, "no GSO");
        const packet = arena.u8.subarray(buffer + VIRTIO, buffer + length);
        turn(packet, family);
        const iovecs = Int32Array.of(buffer, VIRTIO, buffer + VIRTIO, headers, buffer + VIRTIO + headers, 18);
        assert.equal(tun.writev(iovecs, 3), length);
        awaitReadable(arena, udp.fd);
        assert.equal(udp.recv(out, 65_535), 18);
        assert.equal(new TextDecoder().decode(arena.u8.slice(out, out + 18)), "through the tunnel");
        assert.equal(udp.source, peer);
      }),
  );

  privilegedTest(
    `TUN over IPv${family}: a UDP superpacket comes out whole and goes back in whole`,
    () =>
      withTun(family, (setup) => {
        const { arena, tun, udp, peer, buffer, out } = setup;
        if (!tun.offloads.uso || !udp.offloads.gso) return console.log("not checked: this kernel has no USO");
        const segment = 1200, total = segment * 40 + 77;
        crypto.getRandomValues(arena.u8.subarray(out, out + total));
        const hash = (at: number, n: number) => createHash("sha256").update(arena.u8.slice(at, at + n)).digest("hex");
        const sent = hash(out, total);
        udp.queue(peer, out, total, segment);
        assert.equal(udp.flush(), 0);
        const length = readUdp(setup, family);
        assert.equal(length, VIRTIO + headers + total, "one read");
        assert.deepEqual([arena.u8[buffer], arena.u8[buffer + 1]], [1, 5], "NEEDS_CSUM, GSO_UDP_L4");
        assert.equal(arena.view.getUint16(buffer + 4, true), segment);
        assert.equal(hash(buffer + VIRTIO + headers, total), sent);
        turn(arena.u8.subarray(buffer + VIRTIO, buffer + length), family);
        assert.equal(tun.writev(Int32Array.of(buffer, length), 1), length);
        arena.u8.fill(0, out, out + total);
        let got = 0, receives = 0;
        while (got < total) {
          awaitReadable(arena, udp.fd);
          const n = udp.recv(out + got, 65_535 - got);
          assert.ok(n > 0, `recv gave ${n} after ${got} of ${total}`);
          assert.equal(udp.segment, Math.min(segment, n));
          got += n;
          receives++;
        }
        assert.equal(hash(out, total), sent);
        assert.ok(receives < 5, `coalesced by the kernel: ${receives} receives for 41 datagrams`);
      }),
  );
}

privilegedTest("createTun() says who holds a device, and what a foreign interface of that name means", async () => {
  await using lab = await Lab.create();
  const [a, b] = [lab.namespace("a"), lab.namespace("b")];
  const { aDevice } = lab.link(a, [], b, []);
  const arena = createArena(1 << 20);
  const open = (name: string) => a.within<FfiTunPort>(() => createTun({ arena, name }));
  const first = open("agent0");
  const says = (code: string, text: RegExp) => (error: unknown) =>
    error instanceof FfiError && error.code === code && text.test(error.message);
  assert.throws(() => open("agent0"), says("EBUSY", /^Cannot create TUN device agent0: .*another process holds it/));
  assert.throws(() => open(aDevice), says("EINVAL", /exists and is no TUN device/));
  assert.throws(() => open("0123456789abcdef"), RangeError);
  assert.throws(() => open(""), RangeError);
  first.close();
  first.close();
  assert.equal(linkByName(a.netlink, "agent0"), undefined, "closing removes the device");
});

privilegedTest("setOffloads() steps down as asked, and attachTun() is the same device", async () => {
  await using lab = await Lab.create();
  const host = lab.namespace("a");
  const arena = createArena(1 << 20);
  const tun = host.within<FfiTunPort>(() => createTun({ arena, name: "agent0" }));
  console.log(`this kernel grants ${JSON.stringify(tun.offloads)}`);
  tun.setOffloads({ csum: true, tso: true, uso: false });
  assert.deepEqual(tun.offloads, { csum: true, tso: true, uso: false });
  tun.setOffloads({ csum: false, tso: true, uso: true });
  assert.deepEqual(tun.offloads, { csum: false, tso: false, uso: false });
  const { fd, name, offloads } = tun;
  const other = attachTun(arena, { fd, name, offloads });
  const device = linkByName(host.netlink, "agent0")!;
  assert.equal(device.kind, "tun");
  setLink(host.netlink, device.index, { up: true });
  addAddress(host.netlink, device.index, parsePrefix("10.5.0.1/24")!);
  const buffer = arena.reserve(2048);
  while (other.read(buffer, 2048) > 0);
  assert.equal(other.read(buffer, 2048), -EAGAIN);
  tun.close();
});
