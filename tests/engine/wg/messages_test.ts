import assert from "node:assert/strict";
import { toHex } from "../../../base/bytes.ts";
import {
  COOKIE_REPLY_LENGTH,
  decodeCookieReply,
  decodeInitiation,
  decodeResponse,
  encodeCookieReply,
  encodeInitiation,
  encodeResponse,
  handshakeType,
  INITIATION_LENGTH,
  RESPONSE_LENGTH,
  writeDataHeader,
} from "../../../engine/wg/messages.ts";

const filled = (length: number, byte: number) => new Uint8Array(length).fill(byte);

Deno.test("encodeInitiation() puts each field where the whitepaper has it", () => {
  const fields = {
    sender: 0x0403_0201,
    ephemeral: filled(32, 0xe0),
    sealedStatic: filled(48, 0x50),
    sealedTimestamp: filled(28, 0x70),
  };
  const message = encodeInitiation(fields);
  const expected = "01000000" + "01020304" + "e0".repeat(32) + "50".repeat(48) + "70".repeat(28) + "00".repeat(32);
  assert.equal(toHex(message), expected);
  assert.deepEqual(decodeInitiation(message), fields);
});

Deno.test("encodeResponse() puts each field where the whitepaper has it", () => {
  const fields = {
    sender: 0x0403_0201,
    receiver: 0xfcfd_feff,
    ephemeral: filled(32, 0xe0),
    sealedEmpty: filled(16, 0x10),
  };
  const message = encodeResponse(fields);
  const expected = "02000000" + "01020304" + "fffefdfc" + "e0".repeat(32) + "10".repeat(16) + "00".repeat(32);
  assert.equal(toHex(message), expected);
  assert.deepEqual(decodeResponse(message), fields);
});

Deno.test("encodeCookieReply() puts each field where the whitepaper has it", () => {
  const fields = { receiver: 0xfcfd_feff, nonce: filled(24, 0xc0), sealedCookie: filled(32, 0xc1) };
  const message = encodeCookieReply(fields);
  assert.equal(toHex(message), "03000000" + "fffefdfc" + "c0".repeat(24) + "c1".repeat(32));
  assert.deepEqual(decodeCookieReply(message), fields);
});

Deno.test("writeDataHeader() writes receiver and 64-bit counter little-endian at the offset", () => {
  const bytes = new Uint8Array(20);
  writeDataHeader(new DataView(bytes.buffer), 2, 0xfcfd_feff, 2 ** 40 + 3);
  assert.equal(toHex(bytes), "0000" + "04000000" + "fffefdfc" + "0300000000010000" + "0000");
});

Deno.test("handshakeType() names why a message is none: size, type byte, reserved bytes", () => {
  const lengths = new Map([[1, INITIATION_LENGTH], [2, RESPONSE_LENGTH], [3, COOKIE_REPLY_LENGTH]]);
  for (let type = 0; type < 256; type++) {
    for (let length = 0; length < 200; length++) {
      const message = new Uint8Array(length);
      if (length > 0) message[0] = type;
      const right = lengths.get(type);
      if (length < 4) assert.equal(handshakeType(message), "too-short");
      else if (right === undefined) assert.equal(handshakeType(message), "unknown-type");
      else assert.equal(handshakeType(message), length === right ? type : length < right ? "too-short" : "too-long");
      for (let at = 1; at < 4 && length >= 4 && right !== undefined; at++) {
        message[at] = 1;
        assert.equal(handshakeType(message), "reserved-bytes");
        message[at] = 0;
      }
    }
  }
});
