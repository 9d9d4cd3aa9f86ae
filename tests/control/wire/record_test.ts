import assert from "node:assert/strict";
import { createDecipheriv } from "node:crypto";
import { seal } from "../../../base/aead.ts";
import { concat } from "../../../base/bytes.ts";
import { MAX_PLAINTEXT, MAX_RECORD, RecordOpener, RecordSealer } from "../../../control/wire/record.ts";
import { SeededRandom } from "../../support/random.ts";

const key = new Uint8Array(32).fill(7);
const filled = (length: number) => Uint8Array.from({ length }, (_, i) => i * 31);

Deno.test("RecordSealer: the largest record is 4096 bytes with 4077 of plaintext", () => {
  assert.equal(MAX_PLAINTEXT, 4077);
  const one = new RecordSealer(key).seal(filled(4077));
  assert.equal(one.length, MAX_RECORD);
  assert.deepEqual([...one.subarray(0, 3)], [4, 0x0f, 0xfd]);
  const two = new RecordSealer(key).seal(filled(4078));
  assert.equal(two.length, 4096 + 3 + 1 + 16);
  assert.deepEqual([...two.subarray(4096, 4099)], [4, 0, 17]);
  assert.equal(new RecordSealer(key).seal(new Uint8Array(0)).length, 0);
});

Deno.test("RecordSealer: the nonce is four zero bytes and a big-endian counter", () => {
  const sealer = new RecordSealer(key, 0x0102030405060708n);
  const record = sealer.seal(Uint8Array.of(42));
  const nonce = Uint8Array.fromHex("000000000102030405060708");
  const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  decipher.setAuthTag(record.subarray(4));
  assert.deepEqual([...decipher.update(record.subarray(3, 4))], [42]);
  decipher.final();
});

Deno.test("RecordSealer and RecordOpener stop before nonce 2^64 - 1", () => {
  const last = 0xffff_ffff_ffff_fffen;
  const sealer = new RecordSealer(key, last);
  const record = sealer.seal(Uint8Array.of(1));
  assert.throws(() => sealer.seal(Uint8Array.of(2)), RangeError);
  const opener = new RecordOpener(key, last);
  assert.deepEqual(opener.push(record), [Uint8Array.of(1)]);
  assert.deepEqual(opener.push(record), []);
  assert.ok(opener.failure);
});

Deno.test("RecordOpener gives back what was sealed, however the stream is cut", () => {
  const random = new SeededRandom(20260801);
  for (let round = 0; round < 50; round++) {
    const sealer = new RecordSealer(key);
    const plain = random.bytes(random.int(20_000));
    const wire = sealer.seal(plain);
    const opener = new RecordOpener(key);
    const parts: Uint8Array[] = [];
    for (let at = 0; at < wire.length;) {
      const size = 1 + random.int(random.chance(0.2) ? 3 : 6000);
      parts.push(...opener.push(wire.subarray(at, at + size)));
      at += size;
    }
    assert.deepEqual(concat(...parts), plain, `seed ${random.seed} round ${round}`);
    assert.ok(opener.idle);
  }
});

Deno.test("RecordOpener takes an empty record as nothing", () => {
  const sealed = new RecordSealer(key).seal(Uint8Array.of(1));
  const opener = new RecordOpener(key);
  assert.equal(opener.push(sealed).length, 1);
  assert.deepEqual(opener.push(emptyRecord(1n)), []);
  assert.equal(opener.failure, undefined);
});

/** Sealing nothing gives nothing, so the tag of an empty plaintext is made here. */
function emptyRecord(counter: bigint): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, counter);
  return concat(Uint8Array.of(4, 0, 16), seal(key, nonce, new Uint8Array(0), new Uint8Array(0)));
}

Deno.test("RecordOpener refuses another type, too long a record, a replay and a swap, and stays failed", () => {
  const sealer = new RecordSealer(key);
  const first = sealer.seal(Uint8Array.of(1));
  const second = sealer.seal(Uint8Array.of(2));
  const cases: [string, Uint8Array[]][] = [
    ["type", [Uint8Array.of(3, 0, 2, 1, 1)]],
    ["4097 bytes", [Uint8Array.of(4, 0x0f, 0xfe)]],
    ["no room for a tag", [Uint8Array.of(4, 0, 2, 1, 1)]],
    ["replay", [first, first]],
    ["order", [second]],
    ["changed", [first.map((byte, i) => i === 5 ? byte ^ 1 : byte)]],
  ];
  for (const [name, chunks] of cases) {
    const opener = new RecordOpener(key);
    for (const chunk of chunks) opener.push(chunk);
    assert.ok(opener.failure, name);
    assert.deepEqual(opener.push(first), [], name);
  }
});

Deno.test("RecordOpener announces nothing beyond what came: a lying length waits and takes no memory", () => {
  const opener = new RecordOpener(key);
  assert.deepEqual(opener.push(Uint8Array.of(4, 0x0f, 0xfd)), []);
  assert.equal(opener.failure, undefined);
  assert.equal(opener.idle, false);
});
