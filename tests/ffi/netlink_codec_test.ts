import assert from "node:assert/strict";
import {
  attribute,
  attributeNested,
  attributeText,
  attributeU32,
  decodeAttributes,
  decodeError,
  decodeMessages,
  encodeMessage,
  join,
  readText,
  readU32,
} from "../../ffi/netlink_codec.ts";

const hex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text: string) =>
  Uint8Array.from(text.replace(/\s/g, "").match(/../g) ?? [], (pair) => parseInt(pair, 16));

Deno.test("encodeMessage() is the header, then padded parts", () => {
  const message = encodeMessage(0x18, 0x605, 7, [Uint8Array.of(1, 2, 3), attributeU32(4, 0x01020304)]);
  assert.equal(
    hex(message),
    "1c000000" + "1800" + "0506" + "07000000" + "00000000" + "01020300" + "08000400" + "04030201",
  );
});

Deno.test("attributes carry their unpadded length, and nesting sets bit 15", () => {
  assert.equal(hex(attributeText(3, "wg0")), "0800030077673000");
  assert.equal(hex(attribute(1, Uint8Array.of(9))), "0500010009000000");
  assert.equal(hex(attributeNested(18, [attributeText(1, "veth")])), "10001280" + "09000100" + "76657468" + "00000000");
});

Deno.test("decodeAttributes() undoes the encoding, nested ones too", () => {
  const bytes = join([
    attributeU32(4, 1280),
    attributeText(3, "tailscale0"),
    attributeNested(18, [attributeText(1, "tun")]),
  ]);
  const attributes = decodeAttributes(bytes);
  assert.equal(readU32(attributes, 4), 1280);
  assert.equal(readText(attributes, 3), "tailscale0");
  assert.equal(readText(decodeAttributes(attributes.get(18)!), 1), "tun");
  assert.equal(readU32(attributes, 99), undefined);
  assert.equal(readText(attributes, 99), undefined);
});

Deno.test("decodeMessages() reads what lies in one datagram, and stops at what is cut short", () => {
  const first = encodeMessage(16, 2, 1, [Uint8Array.of(1, 2, 3, 4, 5)]);
  const second = encodeMessage(3, 2, 1, []);
  const both = join([first, second]);
  assert.deepEqual(decodeMessages(both).map(({ type, sequence }) => [type, sequence]), [[16, 1], [3, 1]]);
  assert.deepEqual([...decodeMessages(both)[0].body], [1, 2, 3, 4, 5, 0, 0, 0]);
  assert.equal(decodeMessages(both.subarray(0, both.length - 1)).length, 1);
  both[0] = 15;
  assert.equal(decodeMessages(both).length, 0, "a length smaller than the header must not loop");
});

Deno.test("decodeError() reads errno and the kernel's words behind a capped request", () => {
  const words = attributeText(1, "Nexthop has invalid gateway");
  const body = join([unhex("9bffffff"), new Uint8Array(16), words]);
  assert.deepEqual(decodeError({ type: 2, flags: 0x300, sequence: 1, body }), {
    errno: 101,
    detail: "Nexthop has invalid gateway",
  });
  assert.deepEqual(decodeError({ type: 2, flags: 0, sequence: 1, body: new Uint8Array(20) }), { errno: 0 });
});

Deno.test("the decoders never throw, whatever the bytes", () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] || 1;
  console.log(`seed ${seed}`);
  let state = seed;
  const random = (below: number) => {
    state ^= state << 13, state ^= state >>> 17, state ^= state << 5;
    return (state >>> 0) % below;
  };
  for (let round = 0; round < 5000; round++) {
    const bytes = Uint8Array.from({ length: random(80) }, () => random(4) ? random(24) : random(256));
    for (const message of decodeMessages(bytes)) decodeAttributes(message.body);
    for (const value of decodeAttributes(bytes).values()) decodeAttributes(value);
  }
});
