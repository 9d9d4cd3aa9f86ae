/** L15: the rules of Ed25519 acceptance, on signatures where verifiers disagree. */
import assert from "node:assert/strict";
import { concat, utf8 } from "../../base/bytes.ts";
import { Aum } from "../../tka/aum.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import { verifyByKey, verifyGoStd, verifyZip215 } from "../../tka/signature.ts";
import { KnownSignatures } from "../support/known_signatures.ts";
import { testKey } from "../support/lock_keys.ts";
import { SeededRandom } from "../support/random.ts";
import { edgeSignatures } from "../support/tka_edge_signatures.ts";
import vectors from "../vectors/tailscale_tka.json" with { type: "json" };

const points = vectors.points.map((hex) => Uint8Array.fromHex(hex));

Deno.test("L15: verifyZip215() accepts what upstream's verifier of AUMs does, on all points of small order", () => {
  for (const { A, R, Msg, ZIP215 } of vectors.edges) {
    const sig = concat(points[R], new Uint8Array(32));
    assert.equal(verifyZip215(points[A], Uint8Array.fromHex(Msg), sig), ZIP215, `A ${A}, R ${R}`);
  }
});

Deno.test("L15: verifyGoStd() accepts what Go's standard verifier does, on all points of small order", () => {
  let accepted = 0;
  for (const { A, R, Msg, Std } of vectors.edges) {
    const sig = concat(points[R], new Uint8Array(32));
    assert.equal(verifyGoStd(points[A], Uint8Array.fromHex(Msg), sig), Std, `A ${A}, R ${R}`);
    if (Std) accepted++;
  }
  assert.ok(accepted > 0 && accepted < vectors.edges.length / 2, "the rules must differ on these");
});

Deno.test("L15: cofactors: A and R off the main subgroup pass ZIP-215 always, Go's rule by luck", () => {
  const mixed = edgeSignatures(new SeededRandom(8)).filter(({ name }) => name.includes("+ T"));
  const std = mixed.filter(({ pub, msg, sig }) => verifyGoStd(pub, msg, sig));
  assert.ok(mixed.every(({ pub, msg, sig }) => verifyZip215(pub, msg, sig)));
  assert.ok(std.length > 0 && std.length < mixed.length, `${std.length} of ${mixed.length}`);
});

Deno.test("KnownSignatures, which spares long tests the verifying, accepts nothing that verifyByKey() refuses", () => {
  const [mine, others] = [testKey(1), testKey(2)];
  const aum = (name: string) => {
    const body = { kind: AUM_KIND.NO_OP, prevAumHash: null, meta: new Map([["name", name]]), signatures: [] };
    const unsigned = new Aum(body);
    return unsigned.withSignatures(mine.signAum(unsigned.sigHash));
  };
  const [known, unknown] = [aum("known"), aum("unknown")];
  const { verify } = new KnownSignatures([], new KnownSignatures([known]));
  const signatureOf = ({ signatures }: Aum) => signatures[0].signature!;
  verify(mine.key(), known.sigHash, signatureOf(known));
  verify(mine.key(), unknown.sigHash, signatureOf(unknown));
  const altered = signatureOf(known).with(7, signatureOf(known)[7] ^ 1);
  for (
    const [what, key, sigHash, signature] of [
      ["another key", others.key(), known.sigHash, signatureOf(known)],
      ["a key of another kind", { ...mine.key(), kind: 2 }, known.sigHash, signatureOf(known)],
      ["another AUM", mine.key(), unknown.sigHash, signatureOf(known)],
      ["another signature", mine.key(), known.sigHash, altered],
      ["none", mine.key(), known.sigHash, null],
    ] as const
  ) {
    for (const by of [verifyByKey, verify]) {
      assert.throws(() => by(key, sigHash, signature), { code: "bad-signature" }, what);
    }
  }
});

for (const [name, verify] of [["verifyZip215()", verifyZip215], ["verifyGoStd()", verifyGoStd]] as const) {
  Deno.test(`L15: ${name} accepts an honest signature and refuses S + L, other bits, other lengths`, () => {
    for (const { name: what, pub, msg, sig } of edgeSignatures(new SeededRandom(9))) {
      if (what === "honest") assert.ok(verify(pub, msg, sig));
      if (/^(S|another|a bit|no point|63)/.test(what)) assert.ok(!verify(pub, msg, sig), what);
    }
    assert.ok(!verify(new Uint8Array(31), utf8("m"), new Uint8Array(64)));
    assert.ok(!verify(new Uint8Array(0), utf8("m"), new Uint8Array(0)));
  });
}

Deno.test("verifyByKey() refuses keys that cannot verify", () => {
  const key = testKey(1);
  const hash = new Uint8Array(32);
  verifyByKey(key.key(), hash, key.sign(hash));
  assert.throws(() => verifyByKey({ ...key.key(), kind: 2 }, hash, key.sign(hash)), { code: "bad-signature" });
  assert.throws(() => verifyByKey({ ...key.key(), public: null }, hash, key.sign(hash)), { code: "bad-signature" });
  assert.throws(() => verifyByKey(key.key(), hash, null), { code: "bad-signature" });
  assert.throws(() => verifyByKey(testKey(2).key(), hash, key.sign(hash)), { code: "bad-signature" });
});
