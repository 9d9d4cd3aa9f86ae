import assert from "node:assert/strict";
import { concat, equalBytes } from "../../base/bytes.ts";
import { NodePrivate } from "../../base/keys.ts";
import { encodeFrame, FrameReader, FrameType } from "../../derp/frame.ts";
import type { Frame } from "../../derp/frame.ts";
import {
  decodeServerMessage,
  encodeClientInfo,
  encodeServerInfo,
  encodeServerKey,
  looksLikeDisco,
  parseClientInfo,
  parseServerInfo,
  parseServerKey,
} from "../../derp/messages.ts";
import { mutate, SeededRandom } from "../support/random.ts";

const random = new SeededRandom(7);
const server = NodePrivate.generate(random.bytes);
const client = NodePrivate.generate(random.bytes);
const INFO = { version: 2, canAckPings: true, isProber: false };

function frameOf(bytes: Uint8Array): Frame {
  const reader = new FrameReader();
  reader.push(bytes);
  return reader.next()!;
}

function decode(hex: string): ReturnType<typeof decodeServerMessage> {
  return decodeServerMessage(frameOf(Uint8Array.fromHex(hex)));
}

Deno.test("encodeServerKey() greets with the magic, and parseServerKey() allows more behind the key", () => {
  const greeting = encodeServerKey(server.public);
  assert.equal(
    greeting.toHex(),
    "01" + "00000028" + // ServerKey, 40 bytes
      "44455250f09f9491" + // "DERP🔑"
      server.public.hex,
  );
  assert.equal(parseServerKey(frameOf(greeting))!.hex, server.public.hex);
  const longer = encodeFrame(FrameType.serverKey, greeting.subarray(5), Uint8Array.of(1, 2));
  assert.equal(parseServerKey(frameOf(longer))!.hex, server.public.hex);
});

Deno.test("parseServerKey() refuses another magic, a short frame, another type and the zero key", () => {
  const greeting = encodeServerKey(server.public);
  const body = greeting.slice(5);
  assert.equal(parseServerKey({ type: FrameType.serverKey, body: body.subarray(0, 39) }), undefined);
  assert.equal(parseServerKey({ type: FrameType.serverInfo, body }), undefined);
  assert.equal(
    parseServerKey({ type: FrameType.serverKey, body: concat(body.subarray(0, 8), new Uint8Array(32)) }),
    undefined,
  );
  body[0] ^= 1;
  assert.equal(parseServerKey({ type: FrameType.serverKey, body }), undefined);
});

Deno.test("ClientInfo opens for the server it was sealed to, and for no other", () => {
  const frame = frameOf(encodeClientInfo(client, server.public, random.bytes(24), INFO)!);
  const login = parseClientInfo(server, frame)!;
  assert.equal(login.key.hex, client.public.hex);
  assert.deepEqual(login.info, INFO);
  assert.equal(parseClientInfo(NodePrivate.generate(random.bytes), frame), undefined);
});

Deno.test("ServerInfo proves the announced key (W10: a server that does not hold it)", () => {
  const frame = frameOf(encodeServerInfo(server, client.public, random.bytes(24))!);
  assert.deepEqual(parseServerInfo(client, server.public, frame), { version: 2, bytesPerSecond: 0, bytesBurst: 0 });
  assert.equal(parseServerInfo(client, NodePrivate.generate(random.bytes).public, frame), undefined);
});

Deno.test("a key of low order gives no box", () => {
  const low = { type: FrameType.clientInfo, body: concat(Uint8Array.of(1), new Uint8Array(31), random.bytes(60)) };
  assert.equal(parseClientInfo(server, low), undefined);
});

Deno.test("decodeServerMessage() reads every frame of the steady state", () => {
  const key = "aa".repeat(32);
  assert.deepEqual(decode("05" + "00000022" + key + "0102"), {
    kind: "packet",
    source: Uint8Array.fromHex(key),
    payload: Uint8Array.of(1, 2),
  });
  assert.deepEqual(decode("0600000000"), { kind: "keep-alive" });
  assert.deepEqual(decode("0800000021" + key + "01"), { kind: "peer-gone", peer: Uint8Array.fromHex(key), reason: 1 });
  assert.deepEqual(decode("0800000020" + key), { kind: "peer-gone", peer: Uint8Array.fromHex(key), reason: 0 });
  assert.deepEqual(decode("12000000080102030405060708"), { kind: "ping", data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) });
  assert.deepEqual(decode("13000000080102030405060708"), { kind: "pong", data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) });
  assert.deepEqual(decode("1400000003647570"), { kind: "health", problem: "dup" });
  assert.deepEqual(decode("1400000000"), { kind: "health", problem: "" });
  assert.deepEqual(decode("1500000008" + "000003e8" + "00001388"), {
    kind: "restarting",
    reconnectInMs: 1000,
    tryForMs: 5000,
  });
});

Deno.test("decodeServerMessage() drops bodies too short for their type and ignores unknown types (W10)", () => {
  for (const type of ["05", "08", "12", "13", "15"]) {
    assert.deepEqual(decode(type + "00000007" + "00".repeat(7)), { kind: "malformed" }, `type ${type}`);
  }
  for (const type of ["00", "09", "16", "ff"]) assert.deepEqual(decode(type + "0000000100"), { kind: "unknown" });
  assert.deepEqual(decode("0300000000"), { kind: "handshake", type: 3 });
});

Deno.test("looksLikeDisco() wants the magic and room for key and nonce", () => {
  const disco = concat(Uint8Array.fromHex("5453f09f92ac"), new Uint8Array(56));
  assert.equal(looksLikeDisco(disco), true);
  assert.equal(looksLikeDisco(disco.subarray(0, 61)), false);
  disco[0] ^= 1;
  assert.equal(looksLikeDisco(disco), false);
});

Deno.test("message decoders survive 100,000 mutated frames", () => {
  const seed = 3;
  const fuzz = new SeededRandom(seed);
  const info = encodeServerInfo(server, client.public, fuzz.bytes(24))!;
  const login = encodeClientInfo(client, server.public, fuzz.bytes(24), INFO)!;
  const bodies = [info, login, encodeServerKey(server.public), fuzz.bytes(60)].map((frame) => frame.slice(5));
  for (let i = 0; i < 100_000; i++) {
    const original = fuzz.pick(bodies);
    const body = mutate(fuzz, original);
    decodeServerMessage({ type: fuzz.int(24), body });
    parseServerKey({ type: FrameType.serverKey, body });
    // Boxes cost a Diffie-Hellman each; a hundredth of the rounds is enough for those.
    if (i % 100 !== 0 || equalBytes(body, original)) continue;
    const where = `seed ${seed}, round ${i}`;
    assert.equal(parseServerInfo(client, server.public, { type: FrameType.serverInfo, body }), undefined, where);
    assert.equal(parseClientInfo(server, { type: FrameType.clientInfo, body }), undefined, where);
  }
});
