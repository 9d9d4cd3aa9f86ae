import assert from "node:assert/strict";
import {
  ByteReader,
  ByteWriter,
  compareBytes,
  concat,
  equalBytes,
  fromBase64,
  fromHex,
  fromUtf8,
  isZero,
  toBase64,
  toHex,
  utf8,
} from "../../base/bytes.ts";
import { SeededRandom } from "../support/random.ts";

Deno.test("ByteWriter writes and ByteReader reads every field, at an offset of its buffer", () => {
  const written = new ByteWriter(1)
    .u8(0xab).u16be(0x0102).u32be(0x0304_0506).u32le(0x0304_0506)
    .u64be(0x0102_0304_0506_0708n).u64le(0x0102_0304_0506_0708n)
    .bytes(Uint8Array.of(9, 9)).zeros(2).finish();
  assert.equal(
    toHex(written),
    "ab" + "0102" + "03040506" + "06050403" + "0102030405060708" + "0807060504030201" + "09090000",
  );
  const reader = new ByteReader(concat(new Uint8Array(3), written).subarray(3));
  assert.equal(reader.u8(), 0xab);
  assert.equal(reader.u16be(), 0x0102);
  assert.equal(reader.u32be(), 0x0304_0506);
  assert.equal(reader.u32le(), 0x0304_0506);
  assert.equal(reader.u64be(), 0x0102_0304_0506_0708n);
  assert.equal(reader.u64le(), 0x0102_0304_0506_0708n);
  assert.deepEqual(reader.bytes(2), Uint8Array.of(9, 9));
  assert.equal(reader.remaining, 2);
  assert.equal(reader.done, false);
  assert.deepEqual(reader.rest(), new Uint8Array(2));
  assert.equal(reader.done, true);
});

Deno.test("ByteReader fails for good once a read goes past the end, and gives zeros from there", () => {
  const reader = new ByteReader(Uint8Array.of(1, 2, 3, 4, 5));
  assert.equal(reader.u32be(), 0x0102_0304);
  assert.equal(reader.u16be(), 0);
  assert.equal(reader.failed, true);
  assert.equal(reader.u8(), 0);
  assert.equal(reader.u64le(), 0n);
  assert.deepEqual(reader.bytes(1), new Uint8Array(0));
  assert.deepEqual(reader.rest(), new Uint8Array(0));
  assert.equal(reader.remaining, 0);
  assert.equal(reader.done, false);
});

Deno.test("ByteReader refuses a negative count, and never throws on random scripts", () => {
  assert.equal(new ByteReader(new Uint8Array(4)).bytes(-1).length, 0);
  const random = new SeededRandom(1);
  for (let i = 0; i < 5000; i++) {
    const reader = new ByteReader(random.bytes(random.int(30)));
    for (let step = 0; step < 8; step++) {
      const field = random.pick(["u8", "u16be", "u32be", "u32le", "u64be", "u64le"] as const);
      if (random.chance(0.2)) reader.bytes(random.int(40) - 4);
      else reader[field]();
    }
    assert.ok(!(reader.failed && reader.done));
  }
});

Deno.test("ByteWriter.finish() gives a copy that later writes do not touch", () => {
  const writer = new ByteWriter(4).u8(1);
  const first = writer.finish();
  writer.u8(2);
  assert.deepEqual(first, Uint8Array.of(1));
  assert.deepEqual(writer.finish(), Uint8Array.of(1, 2));
  assert.equal(writer.length, 2);
});

Deno.test("ByteWriter.zeros() writes zeros where something else stood before it grew", () => {
  const writer = new ByteWriter(2);
  for (let i = 0; i < 50; i++) writer.u8(0xff).zeros(3);
  assert.equal(toHex(writer.finish()), "ff000000".repeat(50));
});

Deno.test("fromHex() takes either case and nothing else", () => {
  assert.equal(toHex(fromHex("00fFAb")!), "00ffab");
  assert.deepEqual(fromHex(""), new Uint8Array(0));
  for (const text of ["0", "0g", "0x00", " 00", "00 ", "00\n", "０0"]) assert.equal(fromHex(text), undefined, text);
});

Deno.test("fromBase64() takes the standard alphabet, padded or not, and nothing else", () => {
  assert.equal(toBase64(Uint8Array.of(0xfb, 0xff, 0xfe)), "+//+");
  assert.deepEqual(fromBase64("+//+"), Uint8Array.of(0xfb, 0xff, 0xfe));
  assert.deepEqual(fromBase64("AA=="), Uint8Array.of(0));
  assert.deepEqual(fromBase64("AA"), Uint8Array.of(0));
  for (const text of ["A", "-__-", "A A=", "AA==A", "=", "====", "AAA=="]) {
    assert.equal(fromBase64(text), undefined, text);
  }
});

Deno.test("fromUtf8() refuses what is not UTF-8", () => {
  assert.equal(fromUtf8(utf8("grüße 🦀")), "grüße 🦀");
  assert.equal(fromUtf8(Uint8Array.of(0xff)), undefined);
  assert.equal(fromUtf8(Uint8Array.of(0xed, 0xa0, 0x80)), undefined);
  assert.equal(fromUtf8(Uint8Array.of(0xc0, 0x80)), undefined);
});

Deno.test("equalBytes(), isZero() and compareBytes() agree with their plain meaning", () => {
  const random = new SeededRandom(3);
  for (let i = 0; i < 2000; i++) {
    const a = random.bytes(random.int(4)).map((byte) => byte & 1);
    const b = random.bytes(random.int(4)).map((byte) => byte & 1);
    const [x, y] = [toHex(a), toHex(b)];
    assert.equal(equalBytes(a, b), x === y);
    assert.equal(Math.sign(compareBytes(a, b)), x < y ? -1 : x > y ? 1 : 0);
    assert.equal(isZero(a), a.every((byte) => byte === 0));
  }
});
