import assert from "node:assert/strict";
import { fromHex, toHex } from "../../base/bytes.ts";
import { LockPrivate, LockPublic } from "../../base/lock_key.ts";
import { SeededRandom } from "../support/random.ts";

const bytes = (hex: string) => fromHex(hex)!;

// RFC 8032 7.1, tests 1, 2 and 3.
const RFC_8032 = [
  {
    seed: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    public: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    message: "",
    signature: "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b" +
      "d25bf5f0595bbe24655141438e7a100b",
  },
  {
    seed: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    public: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    message: "72",
    signature: "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c" +
      "387b2eaeb4302aeeb00d291612bb0c00",
  },
  {
    seed: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    public: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    message: "af82",
    signature: "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659" +
      "4a7c15e9716ed28dc027beceea1ec40a",
  },
];

Deno.test("LockPrivate derives and signs as RFC 8032 7.1", () => {
  for (const vector of RFC_8032) {
    const key = new LockPrivate(bytes(vector.seed));
    assert.equal(toHex(key.public.bytes), vector.public);
    assert.equal(toHex(key.sign(bytes(vector.message))), vector.signature);
  }
});

Deno.test("LockPrivate and LockPublic read their own texts; nlpub and tlpub are the same key", () => {
  const key = LockPrivate.generate(new SeededRandom(2).bytes);
  const text = key.revealText();
  assert.match(text, /^nlpriv:[0-9a-f]{128}$/);
  assert.equal(LockPrivate.parse(text)!.revealText(), text);
  assert.ok(LockPublic.parse(key.public.toString())!.equals(key.public));
  assert.ok(LockPublic.parse(key.public.cliString())!.equals(key.public));
  assert.equal(JSON.stringify(key.public), `"nlpub:${toHex(key.public.bytes)}"`);
});

Deno.test("LockPrivate.parse() refuses a public half that does not belong to its seed", () => {
  const random = new SeededRandom(3);
  const [a, b] = [LockPrivate.generate(random.bytes), LockPrivate.generate(random.bytes)];
  const mixed = a.revealText().slice(0, 7 + 64) + toHex(b.public.bytes);
  assert.equal(LockPrivate.parse(mixed), undefined);
  for (const text of ["", "nlpriv:", a.revealText() + "00", a.revealText().replace("nlpriv", "privkey")]) {
    assert.equal(LockPrivate.parse(text), undefined);
  }
});

Deno.test("LockPublic.parse() refuses another prefix and another length", () => {
  const hex = "cd".repeat(32);
  for (const text of ["", `nodekey:${hex}`, `nlpub:${hex}00`, `tlpub:${hex.slice(2)}`, `nlpub:${"x".repeat(64)}`]) {
    assert.equal(LockPublic.parse(text), undefined, text);
  }
  assert.throws(() => new LockPublic(new Uint8Array(31)), RangeError);
});

Deno.test("LockPrivate prints [redacted]", () => {
  const key = LockPrivate.generate(new SeededRandom(4).bytes);
  const seed = key.revealText().slice(7, 23);
  for (const text of [String(key), JSON.stringify({ key }), Deno.inspect(key), Deno.inspect({ key })]) {
    assert.ok(text.includes("[redacted]") && !text.includes(seed), text);
  }
});
