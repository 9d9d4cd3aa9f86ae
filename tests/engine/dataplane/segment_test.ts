import assert from "node:assert/strict";
import { Coalescer } from "../../../engine/dataplane/coalesce.ts";
import { sumBytes } from "../../../engine/dataplane/checksum.ts";
import { createKernels } from "../../../engine/dataplane/packet_kernels.ts";
import { reserveLayout } from "../../../engine/dataplane/layout.ts";
import { completeChecksum, describe, SuperPacket, writeSegment } from "../../../engine/dataplane/segment.ts";
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VIRTIO_LENGTH } from "../../../engine/dataplane/virtio.ts";
import { memoryArena, MemoryTun } from "../../support/memory_ports.ts";
import { checksumsRight, slowChecksum, tcpPacket, udpPacket } from "../../support/packets.ts";
import { SeededRandom } from "../../support/random.ts";

const arena = memoryArena(8 << 20);
const layout = reserveLayout(arena);
const kernels = createKernels(arena, arena.memory);

function virtioHeader(gsoType: number, size: number, l4: number, field: number): Uint8Array {
  const header = new Uint8Array(VIRTIO_LENGTH);
  const view = new DataView(header.buffer);
  header[0] = NEEDS_CSUM;
  header[1] = gsoType;
  view.setUint16(4, size, true);
  view.setUint16(6, l4, true);
  view.setUint16(8, field, true);
  return header;
}

Deno.test("sumBytes() agrees with the slow checksum at every alignment and length", () => {
  const random = new SeededRandom(20261122);
  for (let i = 0; i < 500; i++) {
    const bytes = random.bytes(random.int(90));
    const at = layout.tx + random.int(8);
    arena.u8.set(bytes, at);
    const folded = sumBytes(arena, at, bytes.length);
    const swapped = ((folded & 0xff) << 8) | (folded >>> 8);
    const slow = ~slowChecksum(bytes) & 0xffff;
    // Ones' complement has two zeros.
    assert.equal(swapped % 0xffff, slow % 0xffff);
  }
});

for (const family of [4, 6] as const) {
  for (const protocol of ["tcp", "udp"] as const) {
    Deno.test(`writeSegment() cuts an IPv${family} ${protocol} super-packet into the packets the kernel meant`, () => {
      const random = new SeededRandom(20261122);
      for (let round = 0; round < 40; round++) {
        const size = 1 + random.int(1200);
        const payload = random.bytes(1 + random.int(20_000));
        const source = random.bytes(family === 4 ? 4 : 16);
        const destination = random.bytes(source.length);
        const options = random.bytes(4 * random.int(5));
        const base = { source, destination, sourcePort: 4000, destinationPort: 80, id: 65_530, sequence: 0xfffffff0 };
        const whole = protocol === "tcp"
          ? tcpPacket({ ...base, payload, options, flags: 0x99 })
          : udpPacket({ ...base, payload });
        const l4 = family === 4 ? 20 : 40;
        const type = protocol === "udp" ? GSO_UDP_L4 : family === 4 ? GSO_TCPV4 : GSO_TCPV6;
        arena.u8.set(virtioHeader(type, size, l4, protocol === "tcp" ? 16 : 6), layout.tunRead);
        arena.u8.set(whole, layout.tunRead + VIRTIO_LENGTH);
        const packet = new SuperPacket();
        assert.ok(describe(arena, layout.tunRead, VIRTIO_LENGTH + whole.length, packet));
        assert.equal(packet.count, Math.ceil(payload.length / size));
        for (let i = 0; i < packet.count; i++) {
          const length = writeSegment(arena, packet, i, layout.tx);
          const part = payload.subarray(i * size, (i + 1) * size);
          const last = i === packet.count - 1;
          const flags = 0x10 | (i === 0 ? 0x80 : 0) | (last ? 0x09 : 0);
          const want = protocol === "tcp"
            ? tcpPacket({
              ...base,
              payload: part,
              options,
              flags,
              id: (base.id + i) & 0xffff,
              sequence: (base.sequence + i * size) >>> 0,
            })
            : udpPacket({ ...base, payload: part, id: (base.id + i) & 0xffff });
          assert.deepEqual(arena.u8.slice(layout.tx, layout.tx + length), want);
        }
      }
    });
  }
}

Deno.test("describe() refuses geometry that would reach outside the packet", () => {
  const random = new SeededRandom(20261122);
  const packet = new SuperPacket();
  for (let i = 0; i < 20_000; i++) {
    const bytes = random.bytes(VIRTIO_LENGTH + random.int(200));
    arena.u8.set(bytes, layout.tunRead);
    if (describe(arena, layout.tunRead, bytes.length, packet)) {
      assert.ok(packet.headers < packet.length && packet.size > 0 && packet.count > 0);
    }
  }
});

Deno.test("completeChecksum() finishes what the kernel left, and refuses a place outside", () => {
  const fields = { source: Uint8Array.of(1, 2, 3, 4), destination: Uint8Array.of(5, 6, 7, 8) };
  const right = udpPacket({ ...fields, sourcePort: 1, destinationPort: 2, payload: Uint8Array.of(9, 8, 7) });
  const partial = right.slice();
  const pseudo = [...fields.source, ...fields.destination, 0, 17, 0, 11];
  new DataView(partial.buffer).setUint16(26, ~slowChecksum(Uint8Array.from(pseudo)) & 0xffff);
  const ip = layout.tunRead + VIRTIO_LENGTH;
  arena.u8.set(virtioHeader(0, 0, 20, 6), layout.tunRead);
  arena.u8.set(partial, ip);
  assert.ok(completeChecksum(arena, kernels, layout.tunRead, ip, partial.length));
  assert.deepEqual(arena.u8.slice(ip, ip + right.length), right);
  arena.u8.set(virtioHeader(0, 0, 20, 60_000), layout.tunRead);
  assert.equal(completeChecksum(arena, kernels, layout.tunRead, ip, partial.length), false);
});

/** Splits a written super-packet again with our own segmenter and returns the packets. */
function resegment(written: Uint8Array): Uint8Array[] {
  if (written[1] === 0) return [written.slice(VIRTIO_LENGTH)];
  arena.u8.set(written, layout.tunRead);
  const packet = new SuperPacket();
  assert.ok(describe(arena, layout.tunRead, written.length, packet));
  return Array.from({ length: packet.count }, (_, i) => {
    const length = writeSegment(arena, packet, i, layout.tx);
    return arena.u8.slice(layout.tx, layout.tx + length);
  });
}

for (const family of [4, 6] as const) {
  Deno.test(`Coalescer joins IPv${family} flows so that cutting them again gives the same packets in order`, () => {
    const random = new SeededRandom(20261122);
    for (let round = 0; round < 60; round++) {
      const tun = new MemoryTun(arena);
      const coalescer = new Coalescer(arena, kernels, tun, layout, { tunWriteFailed: () => assert.fail() });
      const source = random.bytes(family === 4 ? 4 : 16);
      const destination = random.bytes(source.length);
      const sequences = [0xfffff000, 5];
      const sent: Uint8Array[] = [];
      let at = layout.rx;
      let corrupted = -1;
      for (let i = 0; i < 30; i++) {
        const flow = random.int(6) === 0 ? 1 : 0;
        const payload = random.bytes(random.int(8) === 0 ? random.int(900) : 900);
        const packet = tcpPacket({
          source,
          destination,
          sourcePort: 1000 + flow,
          destinationPort: 80,
          payload,
          sequence: sequences[flow],
          flags: random.int(10) === 0 ? 0x18 : 0x10,
          id: i,
          options: new Uint8Array(12),
        });
        sequences[flow] = (sequences[flow] + payload.length) >>> 0;
        if (i === 17) {
          packet[packet.length - 1] ^= 0x55;
          corrupted = sent.length;
        }
        arena.u8.set(packet, at);
        coalescer.add(at, packet.length, family, 6, family === 4 ? 20 : 40);
        sent.push(packet);
        at += (packet.length + 3) & ~3;
      }
      coalescer.flush();
      assert.ok(tun.written.length < sent.length, "something was joined");
      const got = tun.written.flatMap(resegment);
      assert.equal(got.length, sent.length);
      for (const [i, packet] of got.entries()) {
        // The identification of a joined packet counts on from the first one's; a damaged packet stays as it was.
        assert.deepEqual(
          packet.subarray(family === 4 ? 12 : 0),
          sent[i].subarray(family === 4 ? 12 : 0),
          `packet ${i}`,
        );
        assert.equal(checksumsRight(packet), i !== corrupted || sent[i].length === 0 || checksumsRight(sent[i]));
      }
    }
  });
}

for (const family of [4, 6] as const) {
  Deno.test(`Coalescer joins IPv${family} UDP of one flow and size, and nothing else`, () => {
    const random = new SeededRandom(20261122);
    let joined = 0;
    for (let round = 0; round < 60; round++) {
      const tun = new MemoryTun(arena);
      const coalescer = new Coalescer(arena, kernels, tun, layout, { tunWriteFailed: () => assert.fail() });
      const source = random.bytes(family === 4 ? 4 : 16);
      const destination = random.bytes(source.length);
      const sent: Uint8Array[] = [];
      let at = layout.rx;
      for (let i = 0; i < 200; i++) {
        const packet = udpPacket({
          source,
          destination,
          sourcePort: 1000 + (random.int(20) === 0 ? 1 : 0),
          destinationPort: 53,
          payload: random.bytes(random.int(20) === 0 ? random.int(300) : 300),
          id: i,
        });
        const l4 = family === 4 ? 20 : 40;
        const kind = random.int(40);
        if (kind === 0) packet[packet.length - 1] ^= 0x55;
        if (kind === 1) packet[l4 + 5] ^= 1; // a length field that lies
        if (kind === 2) packet.fill(0, l4 + 6, l4 + 8); // no checksum
        arena.u8.set(packet, at);
        coalescer.add(at, packet.length, family, 17, l4);
        sent.push(packet);
        at += (packet.length + 3) & ~3;
      }
      coalescer.flush();
      joined += sent.length - tun.written.length;
      const got = tun.written.flatMap(resegment);
      assert.equal(got.length, sent.length);
      for (const [i, packet] of got.entries()) {
        const from = family === 4 ? 12 : 0;
        assert.deepEqual(packet.subarray(from), sent[i].subarray(from), `packet ${i}`);
        assert.equal(checksumsRight(packet), checksumsRight(sent[i]));
      }
      for (const written of tun.written) assert.ok(written.length <= VIRTIO_LENGTH + 65_535);
    }
    assert.ok(joined > 6000, `joined ${joined}`);
  });
}

Deno.test("Coalescer fills a super-packet as the sending kernel does, and no more", () => {
  const tun = new MemoryTun(arena);
  const coalescer = new Coalescer(arena, kernels, tun, layout, { tunWriteFailed: () => assert.fail() });
  const [source, destination] = [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6, 7, 8)];
  const payload = new Uint8Array(1228);
  for (let i = 0, at = layout.rx; i < 106; i++, at += 1280) {
    const options = new Uint8Array(12);
    const fields = { source, destination, sourcePort: 1, destinationPort: 2, payload, options, sequence: i * 1228 };
    arena.u8.set(tcpPacket(fields), at);
    coalescer.add(at, 1280, 4, 6, 20);
  }
  coalescer.flush();
  assert.deepEqual(tun.written.map(({ length }) => length), [65_146, 65_146]);
});
