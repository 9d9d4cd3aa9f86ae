import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { concat, toHex, utf8 } from "../../../base/bytes.ts";
import { MachinePrivate } from "../../../base/keys.ts";
import { EarlyPayloadReader, encodeEarlyPayload } from "../../../control/wire/early_payload.ts";
import { http2Client, http2Request, http2Server } from "../../../control/wire/h2.ts";
import {
  answerHandshake,
  ClientHandshake,
  type ServerHandshake,
  type Session,
} from "../../../control/wire/handshake.ts";
import { NoiseDuplex } from "../../../control/wire/noise_duplex.ts";
import { RecordSealer } from "../../../control/wire/record.ts";
import { socketPair } from "../../support/socket_pair.ts";
import { SeededRandom } from "../../support/random.ts";

const keyOf = (byte: number) => new MachinePrivate(new Uint8Array(32).fill(byte));

function sessions(): { client: Session; server: Session } {
  const handshake = new ClientHandshake(keyOf(1), keyOf(2).public, 113, keyOf(3));
  const answer = answerHandshake(keyOf(2), handshake.initiation, keyOf(4)) as ServerHandshake;
  return { client: handshake.finish(answer.response) as Session, server: answer.session };
}

async function readAll(stream: Duplex): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return concat(...parts);
}

Deno.test("NoiseDuplex carries a megabyte both ways, in order, and ends", async () => {
  const [a, b] = socketPair();
  const { client, server } = sessions();
  const left = new NoiseDuplex(a, client);
  const right = new NoiseDuplex(b, server);
  const random = new SeededRandom(1);
  const up = random.bytes(1 << 20);
  const down = random.bytes((1 << 20) + 17);
  for (let at = 0; at < up.length; at += 50_000) left.write(up.subarray(at, at + 50_000));
  left.end();
  right.end(down);
  const [gotDown, gotUp] = await Promise.all([readAll(left), readAll(right)]);
  assert.equal(toHex(gotUp.subarray(-32)), toHex(up.subarray(-32)));
  assert.ok(Buffer.compare(gotUp, up) === 0 && Buffer.compare(gotDown, down) === 0);
});

Deno.test("NoiseDuplex takes bytes that came with the handshake, and an early payload off the front", async () => {
  const [a, b] = socketPair();
  const { client, server } = sessions();
  const sealer = new RecordSealer(server.sendKey);
  const challenge = { nodeKeyChallenge: `chalpub:${"cd".repeat(32)}` };
  const head = sealer.seal(concat(encodeEarlyPayload(challenge), utf8("hel")));
  const early = new EarlyPayloadReader();
  const left = new NoiseDuplex(a, client, { head, early });
  b.end(sealer.seal(utf8("lo")));
  assert.equal(new TextDecoder().decode(await readAll(left)), "hello");
  assert.deepEqual(early.payload, challenge);
});

Deno.test("NoiseDuplex is destroyed with a reason by a forged record and by an end within a record", async () => {
  for (
    const [wire, reason] of [[Uint8Array.of(4, 0, 20, ...new Uint8Array(20)), /does not open/], [
      Uint8Array.of(4, 0, 20, 1),
      /ended within a record/,
    ]] as const
  ) {
    const [a, b] = socketPair();
    const left = new NoiseDuplex(a, sessions().client);
    b.end(wire);
    await assert.rejects(readAll(left), reason);
    assert.ok(a.destroyed);
  }
});

Deno.test("NoiseDuplex holds the sender back when nobody reads", async () => {
  const [a, b] = socketPair();
  const { client, server } = sessions();
  const left = new NoiseDuplex(a, client);
  const right = new NoiseDuplex(b, server);
  let sent = 0;
  while (sent < 1 << 24 && left.write(new Uint8Array(1 << 14))) {
    sent += 1 << 14;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert.ok(sent < 1 << 20, `${sent} bytes buffered`);
  left.destroy();
  right.destroy();
});

Deno.test("HTTP/2 over two NoiseDuplexes: a GET with a body, a POST, 3 MB both ways, a closed connection", async () => {
  const [a, b] = socketPair();
  const { client, server } = sessions();
  const left = http2Client(new NoiseDuplex(a, client, { early: new EarlyPayloadReader() }), "control.example");
  const right = http2Server(new NoiseDuplex(b, server), (stream, headers) => {
    readAll(stream).then((body) => {
      stream.respond({ ":status": 200, "x-method": headers[":method"], "x-lb": headers["ts-lb"] });
      stream.end(body);
    });
  });
  const closed = new Promise((resolve) => left.once("close", resolve));
  left.on("error", () => {});
  right.on("error", () => {});
  for (const [method, size] of [["GET", 5], ["POST", 0], ["POST", 3 << 20]] as const) {
    const request = http2Request(left, { ":method": method, ":path": "/x", "ts-lb": ["one", "two"] });
    const headers = new Promise<Record<string, string>>((resolve) => request.once("response", resolve as () => void));
    request.end(new Uint8Array(size).fill(1));
    assert.equal((await headers)["x-method"], method);
    assert.equal((await readAll(request)).length, size);
    assert.equal((await headers)["x-lb"], "one, two");
  }
  b.destroy();
  await closed;
  assert.ok(left.destroyed);
  right.destroy();
});
