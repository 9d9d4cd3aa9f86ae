/** What an AUM is in bytes: upstream's vectors, and one message taken apart byte by byte. */
import assert from "node:assert/strict";
import { toHex } from "../../base/bytes.ts";
import { Aum, aumAfter, aumWeight, validateAum } from "../../tka/aum.ts";
import { aumHashBytes, aumHashOf, compareAumHashes, parseAumHash } from "../../tka/aum_hash.ts";
import { AUM_KIND, aumKindName } from "../../tka/aum_kind.ts";
import { EMPTY_STATE } from "../../tka/state.ts";
import { drawChain } from "../support/chain_dsl.ts";
import { testKey } from "../support/lock_keys.ts";
import { SeededRandom } from "../support/random.ts";
import vectors from "../vectors/tailscale_tka.json" with { type: "json" };

for (const { Name, Bytes, Hash, SigHash, Valid } of vectors.aums) {
  Deno.test(`Aum of upstream's vector "${Name}": bytes, hashes, validity`, () => {
    const aum = Aum.decode(Uint8Array.fromHex(Bytes));
    assert.equal(toHex(aum.bytes), Bytes);
    assert.equal(aum.hash, Hash);
    assert.equal(toHex(aum.sigHash), SigHash);
    if (Valid) validateAum(aum);
    else assert.throws(() => validateAum(aum), { name: "TkaError", code: "invalid" });
  });
}

Deno.test("Aum bytes: an update-key message", () => {
  const aum = new Aum({
    kind: AUM_KIND.UPDATE_KEY,
    prevAumHash: new Uint8Array(32).fill(0x11),
    keyId: new Uint8Array(32).fill(0x22),
    votes: 300n,
    meta: new Map([["bb", "2"], ["a", "1"]]),
    signatures: [{ keyId: new Uint8Array(32).fill(0x33), signature: new Uint8Array(64).fill(0x44) }],
  });
  const annotated = [
    "a6", // map of 6 pairs
    "01 04", // 1 kind: update-key
    "02 5820" + "11".repeat(32), // 2 previous AUM hash: 32 bytes
    "04 5820" + "22".repeat(32), // 4 key ID
    "06 19012c", // 6 votes: 300 in two bytes
    "07 a2", // 7 metadata: map of 2
    "6161 6131", // "a": "1", the shorter key first
    "626262 6132", // "bb": "2"
    "17 81", // 23 signatures: array of 1
    "a2 01 5820" + "33".repeat(32), // 1 key ID
    "02 5840" + "44".repeat(64), // 2 signature: 64 bytes
  ];
  assert.equal(toHex(aum.bytes), annotated.join("").replaceAll(" ", ""));
});

Deno.test("Aum.withSignatures() changes the hash and not the signature hash", () => {
  const { genesis } = drawChain("G -> A");
  const more = genesis.withSignatures(testKey(2).signAum(genesis.sigHash));
  assert.notEqual(more.hash, genesis.hash);
  assert.deepEqual(more.sigHash, genesis.sigHash);
  assert.equal(more.signatures.length, 2);
});

Deno.test("aumHashOf() and parseAumHash() are RFC 4648 base32 and back", () => {
  const random = new SeededRandom(1);
  assert.equal(aumHashOf(new Uint8Array(32)), "A".repeat(52));
  // RFC 4648 10: "foobar" is MZXW6YTBOI.
  assert.ok(aumHashOf(new TextEncoder().encode("foobar")).startsWith("MZXW6YTBOI"));
  for (let i = 0; i < 200; i++) {
    const [a, b] = [random.bytes(32), random.bytes(32)];
    const hash = aumHashOf(a);
    assert.deepEqual(aumHashBytes(hash), a);
    assert.equal(parseAumHash(hash), hash);
    assert.equal(Math.sign(compareAumHashes(hash, aumHashOf(b))), Math.sign(toHex(a) < toHex(b) ? -1 : 1));
  }
  for (const bad of ["", "A".repeat(51), "A".repeat(53), "a".repeat(52), "1".repeat(52)]) {
    assert.equal(parseAumHash(bad), undefined);
  }
});

Deno.test("aumWeight() counts each trusted signer once", () => {
  const tree = drawChain("G -> V^2=5 -> A/1,2,2,3,7");
  const state = tree.node("V").authority.state;
  assert.equal(aumWeight(tree.aum("A"), state), 7n);
  assert.equal(aumWeight(tree.aum("A"), EMPTY_STATE), 0n);
});

Deno.test("validateAum() lets each kind have its own fields only", () => {
  const { genesis } = drawChain("G");
  const own = {
    [AUM_KIND.ADD_KEY]: { key: testKey(1).key() },
    [AUM_KIND.REMOVE_KEY]: { keyId: testKey(1).public },
    [AUM_KIND.UPDATE_KEY]: { keyId: testKey(1).public, votes: 1n },
    [AUM_KIND.CHECKPOINT]: { state: genesis.state },
  };
  const foreign = {
    key: testKey(2).key(),
    keyId: testKey(2).public,
    state: genesis.state,
    votes: 2n,
    meta: new Map([["a", "b"]]),
  };
  for (const [kind, fields] of Object.entries(own)) {
    validateAum(aumAfter(genesis.hash, { kind: Number(kind), ...fields }));
    assert.throws(() => validateAum(aumAfter(genesis.hash, { kind: Number(kind) })), { code: "invalid" });
    for (const [name, value] of Object.entries(foreign)) {
      if (name in fields || (Number(kind) === AUM_KIND.UPDATE_KEY && name === "meta")) continue;
      const aum = aumAfter(genesis.hash, { kind: Number(kind), ...fields, [name]: value });
      assert.throws(() => validateAum(aum), { code: "invalid" }, `${aumKindName(Number(kind))} with ${name}`);
    }
  }
});
