import assert from "node:assert/strict";
import { createKernels, PlainKernels } from "../../../engine/dataplane/packet_kernels.ts";
import { instantiateKernels, KERNEL_SCRATCH } from "../../../engine/dataplane/kernels/kernel_module.ts";
import { DATA_HEADER, DATA_OVERHEAD, reserveLayout } from "../../../engine/dataplane/layout.ts";
import { describe, SuperPacket } from "../../../engine/dataplane/segment.ts";
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VIRTIO_LENGTH } from "../../../engine/dataplane/virtio.ts";
import { memoryArena, memoryProvider } from "../../support/memory_ports.ts";
import { slowChecksum, tcpPacket, udpPacket } from "../../support/packets.ts";
import { SeededRandom } from "../../support/random.ts";

const arena = memoryArena(8 << 20);
const layout = reserveLayout(arena);
const fast = createKernels(arena, arena.memory);
const slow = new PlainKernels(arena);
/** Room for one side's slots, and behind it a fence that nothing may be written over. */
const ROOM = 1 << 20;
const FENCE = 64;
const [left, right] = [layout.tx, layout.tx + ROOM + FENCE];

/** A new seed each run, printed, so that a failure can be repeated by writing it here. */
function random(): SeededRandom {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  console.log(`seed ${seed}`);
  return new SeededRandom(seed);
}

Deno.test("createKernels() takes WebAssembly where there is SIMD, and TypeScript where there is none", () => {
  assert.equal(fast.name, "wasm");
  assert.equal(createKernels(arena, undefined).name, "typescript");
  assert.equal(createKernels(memoryArena(1 << 20), arena.memory).name, "typescript", "another arena's memory");
  const original = WebAssembly.Module;
  try {
    WebAssembly.Module = class {
      constructor() {
        throw new WebAssembly.CompileError("Wasm SIMD unsupported");
      }
    } as unknown as typeof WebAssembly.Module;
    assert.equal(createKernels(arena, arena.memory).name, "typescript");
  } finally {
    WebAssembly.Module = original;
  }
});

Deno.test("Kernels.sumBytes() agrees with its twin at every alignment and length, and when all bits are set", () => {
  const rng = random();
  for (let length = 0; length < 200; length++) {
    for (let shift = 0; shift < 8; shift++) {
      const bytes = length % 3 === 0 ? new Uint8Array(length).fill(255) : rng.bytes(length);
      arena.u8.set(bytes, left + shift);
      assert.equal(fast.sumBytes(left + shift, length), slow.sumBytes(left + shift, length), `${length} at ${shift}`);
    }
  }
  arena.u8.fill(255, left, left + 65_536);
  assert.equal(fast.sumBytes(left, 65_535), slow.sumBytes(left, 65_535));
});

for (const family of [4, 6] as const) {
  for (const protocol of ["tcp", "udp"] as const) {
    Deno.test(`Kernels.writeSegments() writes the slots its twin writes: IPv${family} ${protocol}`, () => {
      const rng = random();
      for (let round = 0; round < 150; round++) {
        const payload = rng.bytes(1 + rng.int(rng.int(4) === 0 ? 60_000 : 6000));
        const size = 1 + rng.int(1400);
        const source = rng.bytes(family === 4 ? 4 : 16);
        const fields = { source, destination: rng.bytes(source.length), sourcePort: 1, destinationPort: 2, payload };
        const whole = protocol === "tcp"
          ? tcpPacket({
            ...fields,
            options: rng.bytes(4 * rng.int(11)),
            flags: rng.int(256),
            id: rng.int(65_536),
            sequence: rng.u32(),
          })
          : udpPacket(fields);
        const header = new DataView(new ArrayBuffer(VIRTIO_LENGTH));
        header.setUint8(0, NEEDS_CSUM);
        header.setUint8(1, protocol === "udp" ? GSO_UDP_L4 : family === 4 ? GSO_TCPV4 : GSO_TCPV6);
        header.setUint16(4, size, true);
        header.setUint16(6, family === 4 ? 20 : 40, true);
        arena.u8.set(new Uint8Array(header.buffer), layout.tunRead);
        arena.u8.set(whole, layout.tunRead + VIRTIO_LENGTH);
        const packet = new SuperPacket();
        assert.ok(describe(arena, layout.tunRead, VIRTIO_LENGTH + whole.length, packet));
        const stride = (packet.headers + size + DATA_OVERHEAD + 19) & ~3;
        const first = rng.int(packet.count);
        const most = Math.min(1 + rng.int(packet.count), Math.floor(ROOM / stride));
        const slots = { stride, receiver: rng.u32(), counter: rng.int(2) === 0 ? rng.int(1e6) : 2 ** 32 - 3 };
        arena.u8.fill(0x5a, left, left + most * stride + FENCE);
        arena.u8.fill(0x5a, right, right + most * stride);
        const written = fast.writeSegments(packet, first, most, { ...slots, at: left });
        assert.equal(written, slow.writeSegments(packet, first, most, { ...slots, at: right }));
        assert.equal(written, Math.min(most, packet.count - first));
        for (let i = 0; i < written; i++) {
          const payloadLength = Math.min(size, payload.length - (first + i) * size);
          // Behind the zeros only what no one looks at may differ: the rest of a short last slot.
          const used = DATA_HEADER + packet.headers + payloadLength + 16;
          const at = i * stride;
          assert.deepEqual(
            arena.u8.slice(left + at, left + at + used),
            arena.u8.slice(right + at, right + at + used),
            `round ${round}, slot ${i}`,
          );
        }
        const behind = left + written * stride;
        assert.ok(arena.u8.subarray(behind, behind + FENCE).every((b) => b === 0x5a), "nothing behind the last slot");
      }
    });
  }

  for (const protocol of ["tcp", "udp"] as const) {
    Deno.test(`Kernels.joins and checksumValid() agree with their twins: IPv${family} ${protocol}`, () => {
      const rng = random();
      const l4 = family === 4 ? 20 : 40;
      const [number, field] = protocol === "tcp" ? [6, 16] : [17, 6];
      let joined = 0;
      for (let round = 0; round < 4000; round++) {
        const source = rng.bytes(family === 4 ? 4 : 16);
        const options = protocol === "tcp" ? rng.bytes(4 * rng.int(11)) : new Uint8Array(0);
        const headers = l4 + (protocol === "tcp" ? 20 + options.length : 8);
        const fields = { source, destination: rng.bytes(source.length), sourcePort: 7, destinationPort: 8, options };
        const make = protocol === "tcp" ? tcpPacket : udpPacket;
        const [a, b] = [1, 2].map((id) =>
          make({ ...fields, id, sequence: rng.u32(), payload: rng.bytes(1 + rng.int(300)) })
        );
        if (round % 8 !== 0) b[rng.int(rng.int(2) === 0 ? headers : b.length)] ^= 1 << rng.int(8);
        // Half of those altered get a right checksum again, so that the headers alone decide.
        if (rng.int(2) === 0) {
          const body = b.length - l4;
          const pseudo = Uint8Array.from([
            ...b.subarray(family === 4 ? 12 : 8, family === 4 ? 20 : 40),
            ...[0, number, body >> 8, body & 255],
          ]);
          const view = new DataView(b.buffer);
          view.setUint16(l4 + field, 0);
          view.setUint16(l4 + field, slowChecksum(Uint8Array.from([...pseudo, ...b.subarray(l4)])));
        }
        const [first, second] = [left + rng.int(16), left + 4096 + rng.int(16)];
        arena.u8.set(a, first);
        arena.u8.set(b, second);
        const [answer, want] = [fast, slow].map((kernels) =>
          protocol === "tcp"
            ? kernels.joinsTcp(first, second, family, l4, headers, b.length)
            : kernels.joinsUdp(first, second, family, l4, b.length)
        );
        assert.equal(answer, want, `round ${round}`);
        assert.equal(
          fast.checksumValid(second, family, number, l4, b.length),
          slow.checksumValid(second, family, number, l4, b.length),
        );
        if (answer) joined++;
      }
      console.log(`joined ${joined} of 4000`);
      assert.ok(joined > 400 && joined < 3200);
    });
  }
}

Deno.test("The ChaCha20-Poly1305 kernel agrees with noble for every length to 700 and for long packets", () => {
  const rng = random();
  const { seal, open } = instantiateKernels(arena.memory);
  const noble = memoryProvider(arena);
  const scratch = arena.reserve(KERNEL_SCRATCH);
  const keyAt = arena.reserve(32);
  for (let round = 0; round < 1200; round++) {
    const length = round < 700 ? round : rng.int(rng.int(20) === 0 ? 65_000 : 2000);
    // All bits set drive the limbs of Poly1305 to their largest.
    const plain = rng.int(4) === 0 ? new Uint8Array(length).fill(255) : rng.bytes(length);
    const key = rng.int(8) === 0 ? new Uint8Array(32).fill(255) : rng.bytes(32);
    const [low, high] = [rng.u32(), rng.u32()];
    const handle = noble.createKey(key, "seal");
    const at = left + rng.int(32);
    arena.u8.set(key, keyAt);
    arena.u8.set(plain, at);
    arena.u8.set(plain, right);
    arena.u8[at + length + 16] = 0x77;
    seal(keyAt, scratch, at, length, low, high);
    noble.seal(handle, right, length, low, high);
    const sealed = arena.u8.slice(at, at + length + 16);
    assert.deepEqual(sealed, arena.u8.slice(right, right + length + 16), `${length} bytes`);
    assert.equal(arena.u8[at + length + 16], 0x77, "nothing behind the tag is touched");
    const flipped = at + rng.int(length + 16);
    arena.u8[flipped] ^= 1 << rng.int(8);
    const damaged = arena.u8.slice(at, at + length + 16);
    assert.equal(open(keyAt, scratch, at, length, low, high), 0, `${length} bytes, one altered`);
    assert.deepEqual(arena.u8.slice(at, at + length + 16), damaged, "a forged packet is left as it was");
    arena.u8.set(sealed, at);
    assert.equal(open(keyAt, scratch, at, length, low, high), 1);
    assert.deepEqual(arena.u8.slice(at, at + length), plain);
    noble.freeKey(handle);
  }
});
