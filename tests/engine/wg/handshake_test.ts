import assert from "node:assert/strict";
import vectors from "../../vectors/noise_transcripts.json" with { type: "json" };
import { concat, fromHex, toHex } from "../../../base/bytes.ts";
import { NodePrivate, NodePublic } from "../../../base/keys.ts";
import {
  consumeResponse,
  createInitiation,
  createResponse,
  openInitiation,
  verifyInitiation,
} from "../../../engine/wg/handshake.ts";
import { CookieChecker, CookieGenerator } from "../../../engine/wg/cookie.ts";

const bytes = (hex: string) => fromHex(hex)!;

function must<T>(value: T | undefined | string): Exclude<T, undefined | string> {
  assert.ok(value !== undefined && typeof value !== "string", `refused: ${value}`);
  return value as Exclude<T, undefined | string>;
}

/** A handshake of two parties with all secrets fixed, taken as far as the response. */
function parties(transcript: typeof vectors.transcripts[number]) {
  const initiator = new NodePrivate(bytes(transcript.initiatorStatic));
  const responder = new NodePrivate(bytes(transcript.responderStatic));
  const secret = initiator.sharedSecret(responder.public.bytes)!;
  const created = must(
    createInitiation(
      initiator,
      responder.public,
      secret,
      bytes(transcript.initiatorEphemeral),
      bytes(transcript.payload1),
      0x1234_5678,
    ),
  );
  return { initiator, responder, secret, created };
}

for (const transcript of vectors.transcripts.filter(({ name }) => name.startsWith("WireGuard"))) {
  Deno.test(`Noise IKpsk2 gives the bytes of flynn/noise: ${transcript.name}`, () => {
    const { initiator, responder, secret, created } = parties(transcript);
    assert.equal(toHex(created.message), "01000000" + "78563412" + transcript.message1 + "00".repeat(32));

    const opened = must(openInitiation(responder, created.message));
    assert.equal(opened.sender, 0x1234_5678);
    assert.equal(toHex(opened.remoteStatic), initiator.public.hex);
    assert.equal(toHex(must(verifyInitiation(opened, secret))), transcript.payload1);

    const psk = bytes(transcript.presharedKey);
    const response = must(createResponse(opened, bytes(transcript.responderEphemeral), 0x0a0b_0c0d, psk));
    assert.equal(
      toHex(response.message),
      "02000000" + "0d0c0b0a" + "78563412" + transcript.message2 + "00".repeat(32),
    );
    assert.equal(toHex(response.keys.receive), transcript.initiatorToResponder);
    assert.equal(toHex(response.keys.send), transcript.responderToInitiator);

    const consumed = must(consumeResponse(initiator, created.sent, response.message, psk));
    assert.equal(consumed.sender, 0x0a0b_0c0d);
    assert.equal(toHex(consumed.keys.send), transcript.initiatorToResponder);
    assert.equal(toHex(consumed.keys.receive), transcript.responderToInitiator);
  });
}

Deno.test("consumeResponse() refuses a forged response without spoiling the handshake", () => {
  const { initiator, responder, secret, created } = parties(vectors.transcripts[0]);
  const opened = must(openInitiation(responder, created.message));
  must(verifyInitiation(opened, secret));
  const { message } = must(createResponse(opened, new Uint8Array(32).fill(9), 7));
  for (const at of [12, 43, 44, 59]) {
    const forged = message.slice();
    forged[at] ^= 1;
    assert.equal(consumeResponse(initiator, created.sent, forged), "handshake-crypto", `byte ${at}`);
  }
  assert.equal(consumeResponse(initiator, created.sent, message, new Uint8Array(32).fill(1)), "handshake-crypto");
  must(consumeResponse(initiator, created.sent, message));
});

Deno.test("openInitiation() and verifyInitiation() refuse every changed byte of what they cover", () => {
  const { initiator, responder, secret, created } = parties(vectors.transcripts[0]);
  for (let at = 8; at < 116; at++) {
    const forged = created.message.slice();
    forged[at] ^= 0x40;
    const opened = openInitiation(responder, forged);
    if (at < 88) {
      assert.equal(opened, "handshake-crypto", `byte ${at}`);
    } else {
      assert.equal(verifyInitiation(must(opened), secret), "handshake-crypto", `byte ${at}`);
    }
  }
  const other = new NodePrivate(new Uint8Array(32).fill(3));
  assert.equal(openInitiation(other, created.message), "handshake-crypto");
  const claimed = must(openInitiation(responder, created.message));
  assert.equal(verifyInitiation(claimed, responder.sharedSecret(other.public.bytes)!), "handshake-crypto");
  assert.equal(toHex(claimed.remoteStatic), initiator.public.hex);
});

// All u-coordinates of low order on Curve25519 and its twist, https://cr.yp.to/ecdh.html#validate.
const LOW_ORDER = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

Deno.test("W1: a low-order or zero ephemeral in an initiation or a response is refused", () => {
  const { initiator, responder, created } = parties(vectors.transcripts[0]);
  for (const point of LOW_ORDER) {
    const initiation = created.message.slice();
    initiation.set(bytes(point), 8);
    assert.equal(openInitiation(responder, initiation), "low-order-key", point);
    const response = concat(new Uint8Array(12), bytes(point), new Uint8Array(48));
    assert.equal(consumeResponse(initiator, created.sent, response), "low-order-key", point);
  }
});

Deno.test("W1: an initiation to or a response for a low-order static key is refused", () => {
  const { initiator, responder, created } = parties(vectors.transcripts[0]);
  for (const point of LOW_ORDER) {
    const remote = new NodePublic(bytes(point));
    const secret = new Uint8Array(32);
    const initiation = createInitiation(initiator, remote, secret, secret.fill(5), new Uint8Array(12), 1);
    assert.equal(initiation, "low-order-key", point);
    const opened = { ...must(openInitiation(responder, created.message)), remoteStatic: bytes(point) };
    assert.equal(createResponse(opened, new Uint8Array(32).fill(6), 1), "low-order-key", point);
  }
});

Deno.test("mac1, cookie, cookie reply and mac2 are those of golang.org/x/crypto", () => {
  const { macs } = vectors;
  const remote = new NodePublic(bytes(macs.publicKey));
  const random = (length: number) => bytes(length === 32 ? macs.secret : macs.nonce);
  const checker = new CookieChecker(remote, random);
  const generator = new CookieGenerator(remote);
  const message = concat(bytes(macs.message), new Uint8Array(32));

  generator.addMacs(message, 0);
  assert.equal(toHex(message), macs.message + macs.mac1 + "00".repeat(16));
  assert.equal(checker.checkMac1(message), true);

  const reply = checker.createReply(message, 0x1234_5678, bytes(macs.source), 0);
  assert.equal(toHex(reply), macs.reply);
  assert.equal(generator.consumeReply(reply, 0), true);
  generator.addMacs(message, 0);
  assert.equal(toHex(message), macs.message + macs.mac1 + macs.mac2);
  assert.equal(checker.checkMac2(message, bytes(macs.source), 0), true);
});
