/** L10: what an attacker may do to CBOR. Which inputs Go takes is asked of Go in tests/interop/tka_oracle_test.ts. */
import assert from "node:assert/strict";
import { toHex } from "../../base/bytes.ts";
import { Aum } from "../../tka/aum.ts";
import { CborWriter } from "../../tka/cbor.ts";
import { decodeNodeKeySignature, encodeNodeKeySignature } from "../../tka/node_key_signature.ts";
import { TkaError } from "../../tka/errors.ts";
import { cborMutations, cborSamples, sampleAums, sampleSignatures } from "../support/tka_cbor.ts";
import { SeededRandom } from "../support/random.ts";

const hex = (text: string) => Uint8Array.fromHex(text.replaceAll(" ", ""));

const REFUSED: readonly (readonly [string, string])[] = [
  ["nothing", ""],
  ["trailing bytes", "a0 00"],
  ["a duplicate key", "a2 0103 0103"],
  ["a key that is no int64", "a1 1b8000000000000000 00"],
  ["a duplicate unknown key", "a2 1863 00 1863 00"],
  ["an indefinite map", "bf 0103 ff"],
  ["an indefinite byte string", "a1 02 5f 4101 ff"],
  ["an indefinite array in an unknown field", "a1 1863 9f ff"],
  ["a tag", "a1 01 c1 03"],
  ["the tag that says CBOR", "d9d9f7 a0"],
  ["a reserved length", "a1 01 1c"],
  ["a break", "ff"],
  ["a negative kind", "a1 01 20"],
  ["a kind of two bytes", "a1 01 190100"],
  ["a float", "a1 01 f94000"],
  ["text that is not UTF-8", "a1 07 a1 61ff 6161"],
  ["a text key that is not UTF-8", "a1 61ff 00"],
  ["a duplicate metadata key", "a1 07 a2 6161 6161 6161 6162"],
  ["a byte string as map key", "a1 4101 00"],
  ["a byte string of 2^63 bytes", "a1 02 5b8000000000000000"],
  ["a byte string that ends early", "a1 02 5820 00"],
  ["an array of 2^64-1 elements", "a1 17 9bffffffffffffffff"],
  ["an array of 4097 elements", "a1 1863 991001" + "00".repeat(4097)],
  ["a map of 1025 pairs", "a1 1863 b90401" + "0000".repeat(1025)],
  ["17 levels", "a1 1863" + "81".repeat(16) + "00"],
];

for (const [what, bytes] of REFUSED) {
  Deno.test(`L10: Aum.decode() refuses ${what}`, () => {
    assert.throws(() => Aum.decode(hex(bytes)), { name: "TkaError", code: "malformed" });
  });
}

const TAKEN: readonly (readonly [string, string, string])[] = [
  ["null for an empty message", "f6", "a2 0100 02f6"],
  ["an integer wider than needed", "a1 01 190003", "a2 0103 02f6"],
  ["text that names a field's number, which it drops", "a2 0103 6131 04", "a2 0103 02f6"],
  ["a simple value for an integer", "a1 01 f0", "a2 0110 02f6"],
  ["an array of integers for bytes", "a1 02 83 01 02 f6", "a2 0100 02 43010200"],
  ["fields out of order", "a2 02f6 0103", "a2 0103 02f6"],
  ["an unknown field, which it drops", "a2 0103 1863 a1 6161 fb3ff0000000000000", "a2 0103 02f6"],
  ["a byte order mark in text, which it keeps", "a1 07 a1 63efbbbf 63efbbbf", "a3 0100 02f6 07 a1 63efbbbf 63efbbbf"],
  ["16 levels", "a1 1863" + "81".repeat(15) + "00", "a2 0100 02f6"],
];

for (const [what, bytes, encoded] of TAKEN) {
  Deno.test(`L10: Aum.decode() takes ${what}, as Go does, and hashes its own encoding`, () => {
    assert.equal(toHex(Aum.decode(hex(bytes)).bytes), toHex(hex(encoded)));
  });
}

Deno.test("L10: decode, encode, decode is an identity for all that is accepted, and nothing else is thrown", () => {
  const seed = 20261122;
  let accepted = 0;
  const again = (bytes: Uint8Array, encode: (bytes: Uint8Array) => Uint8Array): void => {
    let once: Uint8Array;
    try {
      once = encode(bytes);
    } catch (error) {
      assert.ok(error instanceof TkaError, `${error}`);
      return;
    }
    accepted++;
    assert.equal(toHex(encode(once)), toHex(once), `seed ${seed}, input ${toHex(bytes)}`);
  };
  for (const bytes of [...cborSamples(), ...cborMutations(new SeededRandom(seed), 20_000)]) {
    again(bytes, (input) => Aum.decode(input).bytes);
    again(bytes, (input) => encodeNodeKeySignature(decodeNodeKeySignature(input)));
  }
  assert.ok(accepted > 5000, `${accepted} accepted`);
});

Deno.test("what is canonical decodes to the same bytes", () => {
  for (const aum of sampleAums()) assert.deepEqual(Aum.decode(aum.bytes).bytes, aum.bytes);
  // The last three are nested beyond the limit.
  for (const sig of sampleSignatures().slice(0, -3)) {
    assert.deepEqual(encodeNodeKeySignature(decodeNodeKeySignature(sig)), sig);
  }
  for (const sig of sampleSignatures().slice(-3)) {
    assert.throws(() => decodeNodeKeySignature(sig), { code: "malformed" });
  }
});

Deno.test("CborWriter writes the shortest heads", () => {
  const cases: readonly (readonly [number | bigint, string])[] = [
    [0, "00"],
    [23, "17"],
    [24, "1818"],
    [255, "18ff"],
    [256, "190100"],
    [65535, "19ffff"],
    [65536, "1a00010000"],
    [0xffffffff, "1affffffff"],
    [0x100000000, "1b0000000100000000"],
    [2n ** 64n - 1n, "1bffffffffffffffff"],
  ];
  for (const [value, bytes] of cases) assert.equal(toHex(new CborWriter().uint(value).finish()), bytes);
});
