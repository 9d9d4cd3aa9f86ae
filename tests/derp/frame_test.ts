import assert from "node:assert/strict";
import { concat } from "../../base/bytes.ts";
import { encodeFrame, FrameReader, FrameType, MAX_BODY_LENGTH } from "../../derp/frame.ts";
import { mutate, SeededRandom } from "../support/random.ts";

function readAll(reader: FrameReader, chunks: readonly Uint8Array[]): [number, string][] {
  const frames: [number, string][] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      frames.push([frame.type, frame.body.toHex()]);
    }
  }
  return frames;
}

Deno.test("encodeFrame() writes type, big-endian length and body", () => {
  const frame = encodeFrame(FrameType.ping, Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6, 7, 8));
  assert.equal(
    frame.toHex(),
    "12" + // Ping
      "00000008" + // eight bytes follow
      "0102030405060708",
  );
});

Deno.test("encodeFrame() refuses what no reader would take", () => {
  assert.throws(() => encodeFrame(FrameType.sendPacket, new Uint8Array(MAX_BODY_LENGTH + 1)), RangeError);
});

Deno.test("FrameReader gives the same frames however the stream is cut", () => {
  const seed = 20260101;
  const random = new SeededRandom(seed);
  const want: [number, string][] = [];
  const parts: Uint8Array[] = [];
  for (let i = 0; i < 300; i++) {
    const body = random.bytes(random.chance(0.02) ? 60_000 : random.int(200));
    const type = random.int(256);
    want.push([type, body.toHex()]);
    parts.push(encodeFrame(type, body));
  }
  const stream = concat(...parts);
  for (const most of [1, 2, 7, 100, 1500, 65_536, stream.length]) {
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < stream.length;) {
      const length = 1 + random.int(most);
      chunks.push(stream.slice(at, at + length));
      at += length;
    }
    assert.deepEqual(readAll(new FrameReader(), chunks), want, `seed ${seed}, chunks up to ${most}`);
  }
});

Deno.test("FrameReader reads a body of the limit and fails for good one byte over it (W10)", () => {
  const reader = new FrameReader();
  assert.equal(readAll(reader, [encodeFrame(FrameType.recvPacket, new Uint8Array(MAX_BODY_LENGTH))]).length, 1);
  const over = Uint8Array.fromHex("0500010041"); // RecvPacket of 65 601 bytes
  assert.deepEqual(readAll(reader, [over]), []);
  assert.match(reader.failure!, /0x5 claims 65601 bytes, want at most 65600/);
  assert.deepEqual(readAll(reader, [encodeFrame(FrameType.keepAlive)]), []);
});

Deno.test("FrameReader holds what arrived, not what a lying length promises (W10)", () => {
  const before = Deno.memoryUsage().external;
  const readers = Array.from({ length: 1000 }, () => new FrameReader());
  for (const reader of readers) assert.deepEqual(readAll(reader, [Uint8Array.fromHex("05000100401122")]), []);
  assert.ok(Deno.memoryUsage().external - before < 4_000_000, "1000 readers promised 64 KiB each");
  assert.equal(readers.every((reader) => reader.failure === undefined), true);
});

Deno.test("FrameReader refuses a second chunk before the first is read", () => {
  const reader = new FrameReader();
  reader.push(encodeFrame(FrameType.keepAlive));
  assert.throws(() => reader.push(new Uint8Array(1)), TypeError);
});

Deno.test("FrameReader survives 100,000 mutated streams", () => {
  const seed = 1;
  const random = new SeededRandom(seed);
  const whole = concat(encodeFrame(FrameType.ping, random.bytes(8)), encodeFrame(FrameType.peerGone, random.bytes(33)));
  for (let i = 0; i < 100_000; i++) {
    const reader = new FrameReader(1000);
    const bytes = mutate(random, whole);
    let total = 0;
    reader.push(bytes);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) total += frame.body.length + 5;
    assert.ok(total <= bytes.length, `seed ${seed}, round ${i}`);
  }
});
