import assert from "node:assert/strict";
import wycheproof from "../vectors/wycheproof_x25519.json" with { type: "json" };
import { fromHex, isZero, toHex } from "../../base/bytes.ts";
import { clamp, X25519Private } from "../../base/x25519.ts";
import { SeededRandom } from "../support/random.ts";

const bytes = (hex: string) => fromHex(hex)!;

function x25519(scalar: string, point: string): string | undefined {
  const secret = new X25519Private(bytes(scalar)).sharedSecret(bytes(point));
  return secret && toHex(secret);
}

Deno.test("X25519: RFC 7748 5.2, the two single vectors", () => {
  assert.equal(
    x25519(
      "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
      "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
    ),
    "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
  );
  assert.equal(
    x25519(
      "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
      "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
    ),
    "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
  );
});

Deno.test("X25519: RFC 7748 5.2, iterated 1 and 1000 times", () => {
  let [k, u] = ["09".padEnd(64, "0"), "09".padEnd(64, "0")];
  for (let i = 1; i <= 1000; i++) {
    [k, u] = [x25519(k, u)!, k];
    if (i === 1) assert.equal(k, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
  }
  assert.equal(k, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
});

Deno.test("X25519: RFC 7748 6.1, both sides agree", () => {
  const alice = new X25519Private(bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  const bob = new X25519Private(bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  assert.equal(toHex(alice.publicKey), "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  assert.equal(toHex(bob.publicKey), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
  assert.equal(toHex(alice.sharedSecret(bob.publicKey)!), secret);
  assert.equal(toHex(bob.sharedSecret(alice.publicKey)!), secret);
});

Deno.test("X25519: Wycheproof; an all-zero secret is no secret", () => {
  for (const [id, point, scalar, shared, result] of wycheproof.tests as [number, string, string, string, string][]) {
    assert.notEqual(result, "invalid");
    const expected = isZero(bytes(shared)) ? undefined : shared;
    assert.equal(x25519(scalar, point), expected, `tcId ${id}`);
  }
});

Deno.test("W1: X25519Private.sharedSecret() gives nothing for low-order points and for keys of another length", () => {
  const key = new X25519Private(new Uint8Array(32).fill(7));
  const points = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  ];
  for (const point of points) assert.equal(key.sharedSecret(bytes(point)), undefined, point);
  for (const length of [0, 31, 33]) assert.equal(key.sharedSecret(new Uint8Array(length).fill(9)), undefined);
});

Deno.test("X25519Private refuses scalars that are not 32 bytes", () => {
  for (const length of [0, 31, 33]) assert.throws(() => new X25519Private(new Uint8Array(length)), RangeError);
});

Deno.test("clamp() changes how a scalar prints and not what it computes", () => {
  const random = new SeededRandom(1);
  for (let i = 0; i < 50; i++) {
    const scalar = random.bytes(32);
    const before = toHex(new X25519Private(scalar).publicKey);
    assert.equal(clamp(scalar), scalar);
    assert.equal(scalar[0] & 7, 0);
    assert.equal(scalar[31] & 0xc0, 0x40);
    assert.equal(toHex(new X25519Private(scalar).publicKey), before);
  }
});
