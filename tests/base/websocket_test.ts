import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";
import { concat, toHex, utf8 } from "../../base/bytes.ts";
import { encodeClientFrame, openWebSocket, type ServerFrame, ServerFrameReader } from "../../base/websocket.ts";
import { SeededRandom } from "../support/random.ts";
import { socketPair } from "../support/socket_pair.ts";

const never = new AbortController().signal;
const target = { authority: "c.example", path: "/x?y=1", subprotocol: "derp" };

Deno.test("encodeClientFrame(): the masked example of RFC 6455 5.7, and the three lengths", () => {
  const mask = Uint8Array.of(0x37, 0xfa, 0x21, 0x3d);
  assert.equal(toHex(encodeClientFrame(1, utf8("Hello"), mask)), "818537fa213d7f9f4d5158");
  assert.equal(toHex(encodeClientFrame(2, new Uint8Array(126), mask)).slice(0, 8), "82fe007e");
  assert.equal(toHex(encodeClientFrame(2, new Uint8Array(65_536), mask)).slice(0, 20), "82ff0000000000010000");
});

function read(bytes: Uint8Array, cut: (left: number) => number): { data: string; others: string[] } {
  const reader = new ServerFrameReader();
  const frames: ServerFrame[] = [];
  for (let at = 0; at < bytes.length;) {
    const step = Math.max(1, cut(bytes.length - at));
    frames.push(...reader.push(bytes.subarray(at, at + step)));
    at += step;
  }
  const data = frames.map((frame) => frame.kind === "data" ? toHex(frame.payload) : "").join("");
  const others = frames.filter(({ kind }) => kind !== "data");
  return { data, others: others.map((frame) => frame.kind === "bad" ? `bad: ${frame.seen}` : frame.kind) };
}

function frame(first: number, payload: Uint8Array): Uint8Array {
  const length = payload.length < 126 ? [payload.length] : [126, payload.length >> 8, payload.length & 0xff];
  return concat(Uint8Array.of(first, ...length), payload);
}

Deno.test("ServerFrameReader: fragments, pings between them and a close, cut anywhere", () => {
  const random = new SeededRandom(7);
  const [a, b] = [random.bytes(300), random.bytes(5)];
  const bytes = concat(frame(0x02, a), frame(0x89, utf8("p")), frame(0x80, b), frame(0x8a, b), frame(0x88, utf8("")));
  for (let round = 0; round < 200; round++) {
    const seen = read(bytes, () => random.int(40));
    assert.deepEqual(seen, { data: toHex(concat(a, b)), others: ["ping", "close"] });
  }
});

Deno.test("ServerFrameReader refuses what no server sends, and nothing follows", () => {
  const cases: [number[], RegExp][] = [
    [[0x82, 0x81, 0, 0, 0, 0, 1], /masked/],
    [[0xc2, 0x01, 1], /extension/],
    [[0x81, 0x01, 1], /opcode 1/],
    [[0x83, 0x00], /opcode 3/],
    [[0x09, 0x00], /control frame/],
    [[0x89, 126, 0, 200], /control frame/],
    [[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], /longer than any/],
  ];
  for (const [bytes, seen] of cases) {
    const { others } = read(concat(Uint8Array.from(bytes), frame(0x89, utf8("p"))), () => 1000);
    assert.equal(others.length, 1);
    assert.match(others[0], seen);
  }
});

Deno.test("fuzz ServerFrameReader: 20000 random inputs never throw", () => {
  const random = new SeededRandom(11);
  for (let i = 0; i < 20_000; i++) read(random.bytes(1 + random.int(40)), () => 1 + random.int(20));
});

/** A server that answers the request with a head made of the key it was sent. */
function server(
  head: (key: string) => string,
  behind: Uint8Array = new Uint8Array(0),
): { near: Duplex; far: Duplex; request: Promise<string> } {
  const [near, far] = socketPair();
  far.on("error", () => {});
  const request = new Promise<string>((resolve) => {
    far.once("data", (chunk) => {
      const text = new TextDecoder().decode(chunk);
      resolve(text);
      far.write(concat(utf8(head(/Sec-WebSocket-Key: (\S+)/.exec(text)![1])), behind));
    });
  });
  return { near, far, request };
}

const accept = (key: string) =>
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: derp\r\n" +
  `Sec-WebSocket-Accept: ${
    createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
  }\r\n\r\n`;

Deno.test("openWebSocket(): bytes pass both ways, a ping is answered, a close ends the stream", async () => {
  const { near, far, request } = server(accept, frame(0x82, utf8("hi")));
  const socket = await openWebSocket(near, target, new SeededRandom(1).bytes, never);
  assert.match(await request, /^GET \/x\?y=1 HTTP\/1\.1\r\nHost: c\.example\r\nUpgrade: websocket\r\n/);
  const got: Uint8Array[] = [];
  const back: Uint8Array[] = [];
  far.on("data", (chunk) => back.push(chunk));
  socket.on("data", (chunk) => got.push(chunk));
  const ended = new Promise((resolve) => socket.once("end", resolve));
  socket.write(utf8("there"));
  far.write(concat(frame(0x89, utf8("?")), frame(0x82, utf8("!")), frame(0x88, utf8(""))));
  await ended;
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(new TextDecoder().decode(concat(...got)), "hi!");
  const sent = concat(...back);
  assert.deepEqual([sent[0], sent[1], sent[11], sent[12]], [0x82, 0x85, 0x8a, 0x81]);
  socket.destroy();
});

Deno.test("openWebSocket() refuses another status, key or subprotocol, and destroys the stream", async () => {
  const cases: [(key: string) => string, RegExp][] = [
    [() => "HTTP/1.1 404 Not Found\r\n\r\n", /answered a WebSocket with 404 Not Found/],
    [() => accept("x"), /another WebSocket's key/],
    [(key) => accept(key).replace("derp", "chat"), /subprotocol "chat"/],
    [() => "SSH-2.0-OpenSSH\r\n", /begins "SSH-2.0/],
  ];
  for (const [head, seen] of cases) {
    const { near } = server(head);
    await assert.rejects(openWebSocket(near, target, new SeededRandom(2).bytes, never), seen);
    assert.equal(near.destroyed, true);
  }
});
