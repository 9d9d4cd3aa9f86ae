import assert from "node:assert/strict";
import vectors from "../vectors/noise_transcripts.json" with { type: "json" };
import { fromHex, toHex } from "../../base/bytes.ts";
import { SymmetricState } from "../../base/noise.ts";
import { X25519Private } from "../../base/x25519.ts";

const bytes = (hex: string) => fromHex(hex)!;
const IK = "Noise_IK_25519_ChaChaPoly_BLAKE2s";

Deno.test("SymmetricState: Noise_IK with a prologue and payloads gives the bytes of flynn/noise", () => {
  const vector = vectors.transcripts.find(({ name }) => name.startsWith("Noise_IK"))!;
  const si = new X25519Private(bytes(vector.initiatorStatic));
  const sr = new X25519Private(bytes(vector.responderStatic));
  const ei = new X25519Private(bytes(vector.initiatorEphemeral));
  const er = new X25519Private(bytes(vector.responderEphemeral));
  const noise = SymmetricState.initialize(IK);
  noise.mixHash(bytes(vector.prologue));
  noise.mixHash(sr.publicKey);

  // -> e, es, s, ss
  noise.mixHash(ei.publicKey);
  noise.mixKey(ei.sharedSecret(sr.publicKey)!);
  const sealedStatic = noise.encryptAndHash(si.publicKey);
  noise.mixKey(si.sharedSecret(sr.publicKey)!);
  const payload1 = noise.encryptAndHash(bytes(vector.payload1));
  assert.equal(toHex(ei.publicKey) + toHex(sealedStatic) + toHex(payload1), vector.message1);

  // <- e, ee, se
  noise.mixHash(er.publicKey);
  noise.mixKey(er.sharedSecret(ei.publicKey)!);
  noise.mixKey(er.sharedSecret(si.publicKey)!);
  const payload2 = noise.encryptAndHash(bytes(vector.payload2));
  assert.equal(toHex(er.publicKey) + toHex(payload2), vector.message2);

  assert.equal(toHex(noise.hash), vector.handshakeHash);
  const { initiatorToResponder, responderToInitiator } = noise.split();
  assert.equal(toHex(initiatorToResponder), vector.initiatorToResponder);
  assert.equal(toHex(responderToInitiator), vector.responderToInitiator);
});

/** Two states that have mixed the same things, ready to encrypt. */
function twins(): [SymmetricState, SymmetricState] {
  const make = () => {
    const noise = SymmetricState.initialize(IK);
    noise.mixHash(new Uint8Array(3));
    noise.mixKey(new Uint8Array(32).fill(5));
    return noise;
  };
  return [make(), make()];
}

Deno.test("SymmetricState.initialize() pads a name of up to 32 bytes and hashes a longer one", () => {
  assert.equal(toHex(SymmetricState.initialize("x".repeat(31)).hash), "78".repeat(31) + "00");
  assert.equal(toHex(SymmetricState.initialize("x".repeat(32)).hash), "78".repeat(32));
  assert.notEqual(toHex(SymmetricState.initialize("x".repeat(33)).hash).slice(0, 64), "78".repeat(32));
});

Deno.test("SymmetricState.decryptAndHash() refuses a forged message", () => {
  const [a, b] = twins();
  const sealed = a.encryptAndHash(Uint8Array.of(1, 2, 3));
  sealed[0] ^= 1;
  const before = toHex(b.hash);
  assert.equal(b.decryptAndHash(sealed), undefined);
  assert.equal(toHex(b.hash), before);
});

Deno.test("SymmetricState: every key seals or opens once", () => {
  const [a, b] = twins();
  const sealed = a.encryptAndHash(Uint8Array.of(1, 2, 3));
  assert.deepEqual(b.decryptAndHash(sealed), Uint8Array.of(1, 2, 3));
  assert.equal(toHex(a.hash), toHex(b.hash));
  assert.throws(() => a.encryptAndHash(new Uint8Array(1)), TypeError);
  assert.throws(() => b.decryptAndHash(sealed), TypeError);
});

Deno.test("SymmetricState.clone() is independent of its original", () => {
  const [a, b] = twins();
  const copy = a.clone();
  copy.mixHash(Uint8Array.of(9));
  copy.mixKey(Uint8Array.of(9));
  assert.deepEqual(a.encryptAndHash(new Uint8Array(4)), b.encryptAndHash(new Uint8Array(4)));
});

Deno.test("SymmetricState.wipe() leaves nothing of the secrets, and does not reach into a clone", () => {
  const [a, b] = twins();
  const copy = a.clone();
  a.wipe();
  assert.equal(toHex(a.hash), "00".repeat(32));
  assert.throws(() => a.encryptAndHash(new Uint8Array(1)), TypeError);
  assert.deepEqual(copy.encryptAndHash(new Uint8Array(4)), b.encryptAndHash(new Uint8Array(4)));
});
