import assert from "node:assert/strict";
import { formatAddrPort, parseAddrPort } from "../../base/ip.ts";
import {
  crc32,
  encodeStunRequest,
  encodeStunResponse,
  isStun,
  parseStunRequest,
  parseStunResponse,
} from "../../derp/stun.ts";
import { mutate, SeededRandom } from "../support/random.ts";

const TRANSACTION = Uint8Array.fromHex("0102030405060708090a0b0c");

function mappedOf(hex: string): string | undefined {
  const response = parseStunResponse(Uint8Array.fromHex(hex.replaceAll(/\s/g, "")));
  return response && formatAddrPort(response.mapped);
}

Deno.test("crc32() gives the check value of its catalogue", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
});

Deno.test("encodeStunRequest() is a binding request with SOFTWARE and FINGERPRINT", () => {
  const request = encodeStunRequest(TRANSACTION);
  assert.equal(
    request.subarray(0, 36).toHex(),
    "0001" + // Binding request
      "0014" + // 20 bytes follow the header
      "2112a442" + // magic cookie
      "0102030405060708090a0b0c" + // transaction ID
      "8022" + "0008" + "7461696c6e6f6465" + // SOFTWARE "tailnode"
      "8028" + "0004", // FINGERPRINT
  );
  assert.equal(
    new DataView(request.buffer).getUint32(36),
    (crc32(request.subarray(0, 32)) ^ 0x5354554e) >>> 0,
  );
  assert.equal(isStun(request), true);
  assert.deepEqual(parseStunRequest(request), TRANSACTION);
});

Deno.test("parseStunRequest() answers only who says to be a node and adds up", () => {
  const request = encodeStunRequest(TRANSACTION);
  const other = request.slice();
  other[24] ^= 1; // SOFTWARE "uailnode", fingerprint now wrong as well
  assert.equal(parseStunRequest(other), undefined);
  new DataView(other.buffer).setUint32(36, (crc32(other.subarray(0, 32)) ^ 0x5354554e) >>> 0);
  assert.equal(parseStunRequest(other), undefined, "a correct fingerprint over foreign software");
  const forged = request.slice();
  forged[39] ^= 1;
  assert.equal(parseStunRequest(forged), undefined, "a wrong fingerprint");
  assert.equal(parseStunRequest(request.subarray(0, 32)), undefined, "no fingerprint");
  assert.equal(parseStunRequest(request.subarray(0, 20)), undefined, "no attributes");
  const response = request.slice();
  response[0] = 1;
  assert.equal(parseStunRequest(response), undefined, "not a request");
});

Deno.test("encodeStunResponse() and parseStunResponse() carry IPv4 and IPv6", () => {
  const v4 = encodeStunResponse(TRANSACTION, parseAddrPort("192.0.2.1:32853")!);
  assert.equal(
    v4.toHex(),
    "0101" + "000c" + "2112a442" + "0102030405060708090a0b0c" +
      "0020" + "0008" + "00" + "01" + // XOR-MAPPED-ADDRESS, IPv4
      "a147" + // 32853 ^ 0x2112
      "e112a643", // 192.0.2.1 ^ cookie
  );
  for (const text of ["192.0.2.1:32853", "[2001:db8::5]:1", "[fe80::1]:65535", "0.0.0.0:0"]) {
    const parsed = parseStunResponse(encodeStunResponse(TRANSACTION, parseAddrPort(text)!))!;
    assert.equal(formatAddrPort(parsed.mapped), text);
    assert.deepEqual(parsed.transaction, TRANSACTION);
  }
});

Deno.test("parseStunResponse() reads the vectors of RFC 5769", () => {
  assert.equal(
    mappedOf(`0101003c 2112a442 b7e7a701bc34d686fa87dfae
      8022000b 7465737420766563746f7220
      00200008 0001a147 e112a643
      00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7
      80280004 c07d4c96`),
    "192.0.2.1:32853",
  );
  assert.equal(
    mappedOf(`01010048 2112a442 b7e7a701bc34d686fa87dfae
      8022000b 7465737420766563746f7220
      00200014 0002a147 0113a9faa5d3f179bc25f4b5bed2b9d9
      00080014 a382954e4be67bf11784c97c8292c275bfe3ed41
      80280004 c8fb0b4c`),
    "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
  );
});

Deno.test("parseStunResponse() falls back to MAPPED-ADDRESS and reads the mistaken attribute 0x8020", () => {
  const header = (length: string) => `0101${length}2112a4420102030405060708090a0b0c`;
  assert.equal(mappedOf(header("000c") + "00010008" + "0001" + "1f90" + "c0000201"), "192.0.2.1:8080");
  assert.equal(mappedOf(header("000c") + "80200008" + "0001" + "a147" + "e112a643"), "192.0.2.1:32853");
  assert.equal(
    mappedOf(header("0018") + "000100080001" + "1f900a000001" + "002000080001" + "a147e112a643"),
    "192.0.2.1:32853",
    "XOR-MAPPED-ADDRESS wins",
  );
  assert.equal(
    mappedOf(header("000c") + "00010008" + "0001" + "1f90" + "c0000201" + "ffff"),
    "192.0.2.1:8080",
    "trailing",
  );
});

Deno.test("parseStunResponse() refuses lengths that lie and addresses that are none", () => {
  const header = (length: string) => `0101${length}2112a4420102030405060708090a0b0c`;
  assert.equal(mappedOf(header("0010") + "00010008" + "00011f90c0000201"), undefined, "message longer than the packet");
  assert.equal(
    mappedOf(header("000c") + "00010010" + "00011f90c0000201"),
    undefined,
    "attribute longer than the message",
  );
  assert.equal(mappedOf(header("000c") + "00010008" + "00031f90c0000201"), undefined, "family 3");
  assert.equal(mappedOf(header("000c") + "00010008" + "00021f90c0000201"), undefined, "IPv6 in four bytes");
  assert.equal(mappedOf(header("0000")), undefined, "no address");
  assert.equal(mappedOf(header("0002") + "0001"), undefined, "half an attribute");
});

Deno.test("STUN parsers survive 100,000 mutated messages", () => {
  const seed = 2;
  const random = new SeededRandom(seed);
  const request = encodeStunRequest(TRANSACTION);
  const responses = ["192.0.2.1:1", "[2001:db8::1]:2"].map((text) =>
    encodeStunResponse(TRANSACTION, parseAddrPort(text)!)
  );
  let requests = 0;
  for (let i = 0; i < 100_000; i++) {
    if (parseStunRequest(mutate(random, request)) !== undefined) requests++;
    const parsed = parseStunResponse(mutate(random, random.pick(responses)));
    if (parsed !== undefined) assert.ok(parsed.mapped.port <= 65_535, `seed ${seed}, round ${i}`);
  }
  assert.ok(requests < 1000, `${requests} mutated requests were taken`);
});
