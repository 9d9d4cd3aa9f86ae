import assert from "node:assert/strict";
import { zstdCompressSync } from "node:zlib";
import { concat, fromHex, fromUtf8, utf8 } from "../../../base/bytes.ts";
import { decodeMapResponse, isMalformed } from "../../../control/wire/decode.ts";
import {
  decompressMapFrame,
  encodeMapFrame,
  MapFrameReader,
  MAX_FRAME,
  MAX_MESSAGE,
} from "../../../control/wire/map_frame.ts";
import { SeededRandom } from "../../support/random.ts";
import vectors from "../../vectors/tailscale_tailcfg.json" with { type: "json" };

Deno.test("MapFrameReader and decompressMapFrame() read the frames Go writes", () => {
  for (const { wire, json } of vectors.frames) {
    const [body, ...more] = new MapFrameReader().push(fromHex(wire)!);
    assert.equal(more.length, 0);
    assert.equal(fromUtf8(decompressMapFrame(body) as Uint8Array), json);
  }
});

Deno.test("MapFrameReader gives back what was written, however the stream is cut", () => {
  const random = new SeededRandom(4711);
  for (let round = 0; round < 40; round++) {
    const texts = Array.from({ length: 1 + random.int(6) }, () => "x".repeat(random.int(3000)) + round);
    const wire = concat(...texts.map((text) => encodeMapFrame(utf8(text), random.chance(0.5))));
    const plain = concat(...texts.map((text) => encodeMapFrame(utf8(text), false)));
    const reader = new MapFrameReader();
    const bodies: Uint8Array[] = [];
    for (let at = 0; at < plain.length;) {
      const size = 1 + random.int(700);
      bodies.push(...reader.push(plain.subarray(at, at + size)));
      at += size;
    }
    assert.deepEqual(bodies.map((body) => fromUtf8(body)), texts, `seed ${random.seed} round ${round}`);
    assert.ok(reader.idle);
    assert.ok(new MapFrameReader().push(wire).length === texts.length);
  }
});

Deno.test("MapFrameReader takes a frame that comes a byte at a time", () => {
  const wire = encodeMapFrame(utf8("y".repeat(5000)), false);
  const reader = new MapFrameReader();
  const bodies: Uint8Array[] = [];
  for (const byte of wire) bodies.push(...reader.push(Uint8Array.of(byte)));
  assert.equal(bodies.length, 1);
  assert.equal(bodies[0].length, 5000);
});

Deno.test("W11 a map frame claiming 4 GiB is refused at its header, and for good", () => {
  for (const length of [0xffff_ffff, MAX_FRAME + 1]) {
    const header = new Uint8Array(4);
    new DataView(header.buffer).setUint32(0, length, true);
    const reader = new MapFrameReader();
    assert.deepEqual(reader.push(header), []);
    assert.match(reader.failure!, new RegExp(`map frame of ${length} bytes`));
    assert.deepEqual(reader.push(encodeMapFrame(utf8("{}"), false)), []);
  }
});

Deno.test("W11 a zstd bomb ends at the limit", () => {
  const bomb = zstdCompressSync(new Uint8Array(MAX_MESSAGE + 1));
  assert.ok(bomb.length < 10_000);
  const outcome = decompressMapFrame(bomb);
  assert.ok("malformed" in outcome);
  assert.match(outcome.malformed, /more than 67108864 bytes/);
});

Deno.test("decompressMapFrame() refuses what is not zstd", () => {
  for (const bytes of [Uint8Array.of(1, 2, 3, 4), utf8('{"KeepAlive":true}')]) {
    assert.ok("malformed" in decompressMapFrame(bytes));
  }
});

Deno.test("W11 a map of 50,000 peers is within the limits, one of a million is not", () => {
  const peer = `{"ID":1000000,"Name":"n.tail-scale.ts.net.","Key":"nodekey:${
    "a".repeat(64)
  }","Addresses":["100.64.0.1/32"]}`;
  const frame = encodeMapFrame(utf8(`{"Peers":[${Array(50_000).fill(peer).join()}]}`), true);
  const [body] = new MapFrameReader().push(frame);
  const decoded = decodeMapResponse(decompressMapFrame(body) as Uint8Array);
  assert.ok(!isMalformed(decoded) && decoded.value.Peers!.length === 50_000);
  assert.ok(peer.length * 1_000_000 > MAX_MESSAGE);
});
