import assert from "node:assert/strict";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import vectors from "../vectors/wycheproof_chacha20_poly1305.json" with { type: "json" };
import extended from "../vectors/wycheproof_xchacha20_poly1305.json" with { type: "json" };
import { open, seal } from "../../base/aead.ts";
import { concat, fromHex, toHex, utf8 } from "../../base/bytes.ts";
import { SeededRandom } from "../support/random.ts";

const bytes = (hex: string) => fromHex(hex)!;
type Vector = [number, string, string, string, string, string, string, string];

Deno.test("seal() and open(): RFC 8439 2.8.2", () => {
  const key = bytes("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const nonce = bytes("070000004041424344454647");
  const associated = bytes("50515253c0c1c2c3c4c5c6c7");
  const text = utf8(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  );
  const sealed = seal(key, nonce, text, associated);
  assert.equal(
    toHex(sealed),
    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
      "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
      "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
      "3ff4def08e4b7a9de576d26586cec64b6116" +
      "1ae10b594f09e26a7e902ecbd0600691",
  );
  assert.deepEqual(open(key, nonce, sealed, associated), text);
});

Deno.test("seal() and open(): Wycheproof", () => {
  for (const [id, key, nonce, associated, text, body, tag, result] of vectors.tests as Vector[]) {
    const sealed = bytes(body + tag);
    const opened = open(bytes(key), bytes(nonce), sealed, bytes(associated));
    assert.equal(opened && toHex(opened), result === "valid" ? text : undefined, `tcId ${id}`);
    if (result !== "valid") continue;
    assert.equal(toHex(seal(bytes(key), bytes(nonce), bytes(text), bytes(associated))), body + tag, `tcId ${id}`);
  }
});

Deno.test("XChaCha20-Poly1305 of cookies, which is noble's: Wycheproof", () => {
  for (const [id, key, nonce, associated, text, body, tag, result] of extended.tests as Vector[]) {
    const cipher = xchacha20poly1305(bytes(key), bytes(nonce), bytes(associated));
    let opened: string | undefined;
    try {
      opened = toHex(cipher.decrypt(bytes(body + tag)));
    } catch {
      opened = undefined;
    }
    assert.equal(opened, result === "valid" ? text : undefined, `tcId ${id}`);
  }
});

Deno.test("open() refuses every single changed bit, a wrong nonce, other associated data and what is too short", () => {
  const random = new SeededRandom(4);
  const [key, nonce, text, associated] = [32, 12, 40, 13].map((length) => random.bytes(length));
  const sealed = seal(key, nonce, text, associated);
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const forged = sealed.slice();
    forged[bit >> 3] ^= 1 << (bit & 7);
    assert.equal(open(key, nonce, forged, associated), undefined, `bit ${bit}`);
  }
  assert.equal(open(key, random.bytes(12), sealed, associated), undefined);
  assert.equal(open(random.bytes(32), nonce, sealed, associated), undefined);
  assert.equal(open(key, nonce, sealed, concat(associated, Uint8Array.of(0))), undefined);
  for (let length = 0; length < sealed.length; length++) {
    assert.equal(open(key, nonce, sealed.subarray(0, length), associated), undefined, `length ${length}`);
  }
});

Deno.test("seal() and open() take empty plaintext and empty associated data", () => {
  const [key, nonce, none] = [new Uint8Array(32), new Uint8Array(12), new Uint8Array(0)];
  const sealed = seal(key, nonce, none, none);
  assert.equal(sealed.length, 16);
  assert.deepEqual(open(key, nonce, sealed, none), none);
});
