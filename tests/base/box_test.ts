import assert from "node:assert/strict";
import { BOX_OVERHEAD, BoxKey } from "../../base/box.ts";
import { fromHex, toHex } from "../../base/bytes.ts";
import { X25519Private } from "../../base/x25519.ts";
import { SeededRandom } from "../support/random.ts";

const bytes = (hex: string) => fromHex(hex)!;

Deno.test("BoxKey: the test vector of NaCl (tests/box.c, tests/box2.c)", () => {
  const alice = new X25519Private(bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  const bob = new X25519Private(bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  const nonce = bytes("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
  const message = bytes(
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c6129" +
      "6cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde" +
      "048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705",
  );
  const expected = "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a" +
    "c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae" +
    "90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74" +
    "e355a5";
  const sealed = new BoxKey(alice.sharedSecret(bob.publicKey)!).seal(nonce, message);
  assert.equal(toHex(sealed), expected);
  assert.deepEqual(new BoxKey(bob.sharedSecret(alice.publicKey)!).open(nonce, sealed), message);
});

Deno.test("BoxKey.open() refuses every changed byte, another nonce, another key, and what is too short", () => {
  const random = new SeededRandom(2);
  const [secret, nonce, message] = [random.bytes(32), random.bytes(24), random.bytes(33)];
  const key = new BoxKey(secret);
  const sealed = key.seal(nonce, message);
  assert.equal(sealed.length, message.length + BOX_OVERHEAD);
  for (let at = 0; at < sealed.length; at++) {
    const forged = new Uint8Array(sealed);
    forged[at] ^= 1;
    assert.equal(key.open(nonce, forged), undefined, `byte ${at}`);
  }
  assert.equal(key.open(random.bytes(24), sealed), undefined);
  assert.equal(new BoxKey(random.bytes(32)).open(nonce, sealed), undefined);
  for (let length = 0; length < sealed.length; length++) {
    assert.equal(key.open(nonce, sealed.subarray(0, length)), undefined);
  }
});

Deno.test("BoxKey seals and opens an empty message, and reads a secret that lies at an odd offset", () => {
  const random = new SeededRandom(3);
  const padded = random.bytes(33);
  const nonce = random.bytes(24);
  const sealed = new BoxKey(padded.subarray(1)).seal(nonce, new Uint8Array(0));
  assert.equal(sealed.length, BOX_OVERHEAD);
  assert.deepEqual(new BoxKey(padded.slice(1)).open(nonce, sealed), new Uint8Array(0));
});
