import assert from "node:assert/strict";
import { concat, utf8 } from "../../../base/bytes.ts";
import { EarlyPayloadReader, encodeEarlyPayload } from "../../../control/wire/early_payload.ts";

const CHALLENGE = { nodeKeyChallenge: `chalpub:${"ab".repeat(32)}` };
const SETTINGS = Uint8Array.fromHex("000000040000000000");

/** All that comes out of the reader for a stream cut every `size` bytes. */
function read(wire: Uint8Array<ArrayBuffer>, size: number): { reader: EarlyPayloadReader; rest: Uint8Array } {
  const reader = new EarlyPayloadReader();
  const parts: Uint8Array[] = [];
  for (let at = 0; at < wire.length; at += size) parts.push(reader.push(wire.slice(at, at + size)));
  return { reader, rest: concat(...parts) };
}

Deno.test("EarlyPayloadReader takes the payload off and passes the rest, however the stream is cut", () => {
  const wire = concat(encodeEarlyPayload(CHALLENGE), SETTINGS);
  for (let size = 1; size <= wire.length; size++) {
    const { reader, rest } = read(wire, size);
    assert.deepEqual(reader.payload, CHALLENGE);
    assert.deepEqual(rest, SETTINGS);
    assert.ok(reader.done);
  }
});

Deno.test("EarlyPayloadReader passes a stream without payload unchanged", () => {
  for (let size = 1; size <= SETTINGS.length; size++) {
    const { reader, rest } = read(SETTINGS, size);
    assert.deepEqual(rest, SETTINGS);
    assert.equal(reader.payload, undefined);
  }
});

Deno.test("EarlyPayloadReader: the header is ff ff ff T S and a big-endian length", () => {
  const wire = encodeEarlyPayload(CHALLENGE);
  assert.deepEqual([...wire.subarray(0, 5)], [0xff, 0xff, 0xff, 0x54, 0x53]);
  assert.equal(new DataView(wire.buffer).getUint32(5), wire.length - 9);
});

Deno.test("EarlyPayloadReader refuses a payload too long or not a challenge", () => {
  const header = (length: number) => {
    const bytes = concat(encodeEarlyPayload(CHALLENGE).subarray(0, 9));
    new DataView(bytes.buffer).setUint32(5, length);
    return bytes;
  };
  for (const wire of [header(1 << 30), concat(header(4), utf8("nope")), concat(header(2), utf8("{}"))]) {
    const { reader, rest } = read(wire, 5);
    assert.ok(reader.failure);
    assert.equal(rest.length, 0);
    assert.equal(reader.push(SETTINGS).length, 0);
  }
});
