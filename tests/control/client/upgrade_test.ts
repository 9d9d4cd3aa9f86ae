import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { concat, fromBase64, utf8 } from "../../../base/bytes.ts";
import { MachinePrivate } from "../../../base/keys.ts";
import { ControlError } from "../../../control/client/errors.ts";
import { upgrade, upgradeRequest } from "../../../control/client/upgrade.ts";
import {
  answerHandshake,
  ClientHandshake,
  errorMessage,
  type ServerHandshake,
} from "../../../control/wire/handshake.ts";
import { RecordSealer } from "../../../control/wire/record.ts";
import { socketPair } from "../../support/socket_pair.ts";

const keyOf = (byte: number) => new MachinePrivate(new Uint8Array(32).fill(byte));
const handshake = () => new ClientHandshake(keyOf(1), keyOf(2).public, 113, keyOf(3));
const answer = () => answerHandshake(keyOf(2), handshake().initiation, keyOf(4)) as ServerHandshake;
const SWITCH = utf8(
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n",
);
const never = new AbortController().signal;

/** Upgrades against a server that says `wire`, in chunks of `size`, and then closes if told so. */
async function run(wire: Uint8Array, { size = 1 << 20, close = false } = {}) {
  const [near, far] = socketPair();
  const done = upgrade(near, "control.example", handshake(), never);
  done.catch(() => {});
  for (let at = 0; at < wire.length; at += size) far.write(wire.subarray(at, at + size));
  if (close) far.end();
  return { stream: await done, near, far };
}

async function failure(wire: Uint8Array): Promise<{ error: ControlError; text: string }> {
  try {
    await run(wire, { close: true });
  } catch (error) {
    assert.ok(error instanceof ControlError, String(error));
    return { error, text: error.message };
  }
  throw new Error("it was taken");
}

Deno.test("upgrade() sends the initiation in a header and takes 101, response and the first records, cut anywhere", async () => {
  const { response, session } = answer();
  const wire = concat(SWITCH, response, new RecordSealer(session.sendKey).seal(utf8("PRI * hello")));
  for (const size of [1, 7, 50, wire.length]) {
    const { stream, far } = await run(wire, { size });
    const [chunk] = await Promise.race([once(stream, "data")]);
    assert.ok(new TextDecoder().decode(chunk).startsWith("PRI"));
    const request = new TextDecoder().decode(far.read());
    assert.ok(request.startsWith("POST /ts2021 HTTP/1.1\r\nHost: control.example\r\n"));
    const header = /X-Tailscale-Handshake: (\S+)\r\n/.exec(request)!;
    assert.deepEqual(fromBase64(header[1]), handshake().initiation);
    stream.destroy();
    far.destroy();
  }
});

function once(stream: Duplex, event: string): Promise<Uint8Array[]> {
  return new Promise((resolve) => stream.once(event, (...args) => resolve(args)));
}

Deno.test("upgrade(): a server that is none says what it answered", async () => {
  const http = (text: string) => utf8(text + "\r\n\r\n");
  const cases: [Uint8Array, string][] = [
    [
      http("HTTP/1.1 404 Not Found"),
      "Cannot use control.example: answered 404 Not Found: is this a Tailscale control server?",
    ],
    [http("HTTP/1.1 301 Moved Permanently\r\nLocation: https://evil.example/ts2021"), "answered 301 Moved Permanently"],
    [http("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket"), 'switched to protocol "websocket"'],
    [http("HTTP/1.1 101 Switching Protocols"), "switched to protocol undefined"],
    [utf8("SSH-2.0-OpenSSH_9.9\r\n"), "it begins"],
    [concat(utf8("HTTP/1.1 200 OK\r\nX: "), new Uint8Array(20_000).fill(120)), "longer than"],
  ];
  for (const [wire, text] of cases) {
    const { error, text: seen } = await failure(wire);
    assert.equal(error.code, "not-control", seen);
    assert.ok(seen.includes(text), seen);
  }
});

Deno.test("W11 upgrade() follows no redirect", async () => {
  const { error } = await failure(utf8("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://other/\r\n\r\n"));
  assert.equal(error.code, "not-control");
});

Deno.test("upgrade(): the server's error message, a close after 101 and a forged response are handshake failures", async () => {
  const told = await failure(concat(SWITCH, errorMessage("wrong handshake initiation size")));
  assert.equal(told.error.code, "handshake");
  assert.ok(told.text.includes('it says "wrong handshake initiation size"'));
  assert.equal((await failure(SWITCH)).error.code, "handshake");
  const forged = answer().response.map((byte, i) => i === 40 ? byte ^ 1 : byte);
  assert.equal((await failure(concat(SWITCH, forged))).error.code, "handshake");
  assert.equal((await failure(concat(SWITCH, Uint8Array.of(9, 0, 0)))).error.code, "handshake");
});

Deno.test("upgrade(): a connection closed before an answer is lost", async () => {
  assert.equal((await failure(new Uint8Array(0))).error.code, "connection-lost");
});

Deno.test("upgrade() destroys the stream when aborted", async () => {
  const [near, far] = socketPair();
  const stop = new AbortController();
  const done = upgrade(near, "x", handshake(), stop.signal);
  stop.abort(new Error("enough"));
  await assert.rejects(done, /enough/);
  assert.ok(near.destroyed);
  far.destroy();
});

Deno.test("upgradeRequest() has no room for header injection", () => {
  const text = new TextDecoder().decode(upgradeRequest("host:80", Uint8Array.of(1)));
  assert.equal(text.split("\r\n").length, 8);
});
