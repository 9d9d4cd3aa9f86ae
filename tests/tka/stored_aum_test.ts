/** L14: records of AUMs on disk. That upstream reads and writes the same is asked in tests/interop/tka_oracle_test.ts. */
import assert from "node:assert/strict";
import { toHex } from "../../base/bytes.ts";
import { decodeStoredAum, encodeStoredAum, storedAumPath } from "../../tka/stored_aum.ts";
import { TkaError } from "../../tka/errors.ts";
import { drawChain } from "../support/chain_dsl.ts";
import { mutate, SeededRandom } from "../support/random.ts";

const tree = drawChain("G -> A");
const aum = tree.aum("A");

Deno.test("a stored AUM is a CBOR map of AUM and times", () => {
  const bytes = encodeStoredAum({ aum, createdUnix: 1_700_000_000, purgedUnix: 24 });
  assert.equal(toHex(bytes), `a302${toHex(aum.bytes)}031a6553f100041818`);
  const { aum: back, createdUnix, purgedUnix } = decodeStoredAum(bytes, aum.hash);
  assert.deepEqual([back?.hash, createdUnix, purgedUnix], [aum.hash, 1_700_000_000, 24]);
  assert.equal(toHex(encodeStoredAum({ aum: undefined, createdUnix: 0, purgedUnix: 0 })), "a102f6");
  assert.equal(storedAumPath(aum.hash), `${aum.hash.slice(0, 2)}/${aum.hash}`);
});

Deno.test("records of old versions are read: children, no time, bytes behind", () => {
  const old = Uint8Array.fromHex(`a20180 02${toHex(aum.bytes)}ff`.replaceAll(" ", ""));
  const { aum: back, createdUnix } = decodeStoredAum(old, aum.hash);
  assert.deepEqual([back?.hash, createdUnix], [aum.hash, 0]);
});

Deno.test("L14: a truncated, altered or misplaced record is named and never believed", () => {
  const bytes = encodeStoredAum({ aum, createdUnix: 1, purgedUnix: 0 });
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeStoredAum(bytes.subarray(0, length), aum.hash), { code: "malformed" }, `${length} bytes`);
  }
  assert.throws(() => decodeStoredAum(bytes, tree.genesis.hash), { code: "corrupt-store" });
  const random = new SeededRandom(14);
  for (let i = 0; i < 2000; i++) {
    try {
      const stored = decodeStoredAum(mutate(random, bytes), aum.hash);
      if (stored.aum !== undefined) assert.deepEqual(stored.aum.bytes, aum.bytes);
    } catch (error) {
      assert.ok(error instanceof TkaError && ["malformed", "corrupt-store"].includes(error.code));
    }
  }
});
