import assert from "node:assert/strict";
import { MachinePrivate } from "../../../base/keys.ts";
import { fromHex, fromUtf8, toHex } from "../../../base/bytes.ts";
import {
  answerHandshake,
  ClientHandshake,
  errorMessage,
  isRefused,
  type ServerHandshake,
  type Session,
} from "../../../control/wire/handshake.ts";
import transcripts from "../../vectors/noise_transcripts.json" with { type: "json" };

const hex = (text: string) => fromHex(text)!;
const machine = new MachinePrivate(new Uint8Array(32).fill(0x11));
const server = new MachinePrivate(new Uint8Array(32).fill(0x22));
const clientEphemeral = new MachinePrivate(new Uint8Array(32).fill(0x33));
const serverEphemeral = new MachinePrivate(new Uint8Array(32).fill(0x44));

function shake(version = 113): { client: ClientHandshake; answer: ServerHandshake; session: Session } {
  const client = new ClientHandshake(machine, server.public, version, clientEphemeral);
  const answer = answerHandshake(server, client.initiation, serverEphemeral) as ServerHandshake;
  assert.ok(!isRefused(answer));
  return { client, answer, session: client.finish(answer.response) as Session };
}

Deno.test("handshake: both sides give the transcript of an independent Noise implementation", () => {
  const known = transcripts.transcripts.filter(({ prologue, payload1 }) =>
    payload1 === "" && fromUtf8(hex(prologue))!.startsWith("Tailscale Control Protocol v")
  );
  assert.equal(known.length, 2);
  for (const vector of known) {
    const version = Number(fromUtf8(hex(vector.prologue))!.slice("Tailscale Control Protocol v".length));
    const key = (text: string) => new MachinePrivate(hex(text));
    const client = new ClientHandshake(
      key(vector.initiatorStatic),
      key(vector.responderStatic).public,
      version,
      key(vector.initiatorEphemeral),
    );
    assert.equal(toHex(client.initiation.subarray(5)), vector.message1);
    const answer = answerHandshake(key(vector.responderStatic), client.initiation, key(vector.responderEphemeral));
    assert.ok(!isRefused(answer));
    assert.equal(toHex(answer.response.subarray(3)), vector.message2);
    const session = client.finish(answer.response);
    assert.ok(!isRefused(session));
    assert.equal(toHex(session.handshakeHash), vector.handshakeHash);
    assert.equal(toHex(session.sendKey), vector.initiatorToResponder);
    assert.equal(toHex(session.receiveKey), vector.responderToInitiator);
  }
});

Deno.test("handshake: the initiation is version, type 1, length 96 and 96 bytes", () => {
  const { client } = shake(0x1234);
  assert.equal(client.initiation.length, 101);
  assert.equal(toHex(client.initiation.subarray(0, 5)), "1234" + "01" + "0060");
  assert.equal(toHex(client.initiation.subarray(5, 37)), toHex(clientEphemeral.public.bytes));
});

Deno.test("handshake: the response is type 2, length 48 and 48 bytes", () => {
  const { answer } = shake();
  assert.equal(answer.response.length, 51);
  assert.equal(toHex(answer.response.subarray(0, 3)), "02" + "0030");
});

Deno.test("handshake: both sides agree on keys, hash, peers and version", () => {
  const { answer, session } = shake(77);
  assert.deepEqual(session.sendKey, answer.session.receiveKey);
  assert.deepEqual(session.receiveKey, answer.session.sendKey);
  assert.deepEqual(session.handshakeHash, answer.session.handshakeHash);
  assert.notDeepEqual(session.sendKey, session.receiveKey);
  assert.ok(answer.session.peer.equals(machine.public));
  assert.ok(session.peer.equals(server.public));
  assert.equal(answer.session.version, 77);
});

Deno.test("answerHandshake() refuses an initiation for another server", () => {
  const other = new MachinePrivate(new Uint8Array(32).fill(0x55));
  const { initiation } = new ClientHandshake(machine, other.public, 113, clientEphemeral);
  assert.ok(isRefused(answerHandshake(server, initiation, serverEphemeral)));
});

Deno.test("answerHandshake() refuses an initiation with any byte changed", () => {
  const { initiation } = new ClientHandshake(machine, server.public, 113, clientEphemeral);
  for (let i = 0; i < initiation.length; i++) {
    const forged = initiation.slice();
    forged[i] ^= 1;
    assert.ok(isRefused(answerHandshake(server, forged, serverEphemeral)), `byte ${i}`);
  }
  for (const length of [0, 5, 100, 102]) {
    const cut = new Uint8Array(length);
    cut.set(initiation.subarray(0, length));
    assert.ok(isRefused(answerHandshake(server, cut, serverEphemeral)), `length ${length}`);
  }
});

Deno.test("ClientHandshake.finish() refuses a response with any byte changed and is not spoilt by it", () => {
  const { client, answer } = shake();
  for (let i = 0; i < answer.response.length; i++) {
    const forged = answer.response.slice();
    forged[i] ^= 0x80;
    // X25519 ignores the top bit of a key's last byte, but the transcript hash does not.
    assert.ok(isRefused(client.finish(forged)), `byte ${i}`);
  }
  assert.ok(!isRefused(client.finish(answer.response)));
});

Deno.test("W1 handshake: low-order keys are refused on both sides", () => {
  const zero = new Uint8Array(32);
  const { client, answer } = shake();
  const initiation = client.initiation.slice();
  initiation.set(zero, 5);
  assert.ok(isRefused(answerHandshake(server, initiation, serverEphemeral)));
  const response = answer.response.slice();
  response.set(zero, 3);
  assert.ok(isRefused(client.finish(response)));
});

Deno.test("ClientHandshake refuses a version that does not fit", () => {
  for (const version of [-1, 65536, 1.5]) {
    assert.throws(() => new ClientHandshake(machine, server.public, version, clientEphemeral), RangeError);
  }
});

Deno.test("errorMessage() is type 3, length and text, cut at 65535 bytes", () => {
  assert.equal(toHex(errorMessage("no")), "03" + "0002" + "6e6f");
  assert.equal(errorMessage("x".repeat(70_000)).length, 3 + 65_535);
});
