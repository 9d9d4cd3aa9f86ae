import assert from "node:assert/strict";
import { blake2s as nobleBlake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";
import { blake2s, hkdf, hmacBlake2s, keyedBlake2s } from "../../base/blake2s.ts";
import { concat, fromHex, toHex, utf8 } from "../../base/bytes.ts";
import { SeededRandom } from "../support/random.ts";

const counting = (length: number) => Uint8Array.from({ length }, (_, i) => i);

Deno.test("blake2s(): RFC 7693 appendix B", () => {
  const expected = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
  assert.equal(toHex(blake2s(utf8("abc"))), expected);
  assert.equal(toHex(blake2s(utf8("a"), utf8(""), utf8("bc"))), expected);
});

Deno.test("keyedBlake2s() and blake2s(): RFC 7693 appendix E, the self-test over all sizes", () => {
  // selftest_seq: a Fibonacci-like generator over 32-bit words, its top byte taken.
  const sequence = (length: number, seed: number) => {
    let [a, b] = [Math.imul(0xdead4bad, seed), 1];
    return Uint8Array.from({ length }, () => {
      [a, b] = [b, (a + b) | 0];
      return b >>> 24;
    });
  };
  const results: Uint8Array[] = [];
  for (const size of [16, 20, 28, 32]) {
    for (const length of [0, 3, 64, 65, 255, 1024]) {
      const input = sequence(length, length);
      results.push(size === 32 ? blake2s(input) : nobleBlake2s(input, { dkLen: size }));
      results.push(keyedBlake2s(sequence(size, size), input, size));
    }
  }
  assert.equal(
    toHex(blake2s(...results)),
    "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe",
  );
});

Deno.test("keyedBlake2s(): known answers of the BLAKE2 package, key 00 to 1f", () => {
  const known: Record<number, string> = {
    0: "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49",
    1: "40d15fee7c328830166ac3f918650f807e7e01e177258cdc0a39b11f598066f1",
    255: "3fb735061abc519dfe979e54c1ee5bfad0a9d858b3315bad34bde999efd724dd",
  };
  for (const [length, digest] of Object.entries(known)) {
    assert.equal(toHex(keyedBlake2s(counting(32), counting(Number(length)), 32)), digest, `length ${length}`);
  }
});

Deno.test("blake2s() and hmacBlake2s() agree with noble on random input of all lengths around a block", () => {
  const random = new SeededRandom(8);
  for (let length = 0; length < 200; length++) {
    const input = random.bytes(length);
    assert.deepEqual(blake2s(input), nobleBlake2s(input), `length ${length}`);
    const key = random.bytes(length % 65);
    assert.deepEqual(hmacBlake2s(key, input), hmac(nobleBlake2s, key, input), `length ${length}`);
  }
});

Deno.test("hmacBlake2s() joins its parts, and refuses a key over one block", () => {
  const [key, a, b] = [counting(32), utf8("one"), utf8("two")];
  assert.deepEqual(hmacBlake2s(key, a, b), hmacBlake2s(key, concat(a, b)));
  hmacBlake2s(new Uint8Array(64));
  assert.throws(() => hmacBlake2s(new Uint8Array(65)), RangeError);
});

Deno.test("hkdf(): the outputs wireguard-go lists for its KDF, and shorter counts are prefixes", () => {
  const vectors = [
    {
      key: toHex(utf8("wireguard")),
      input: toHex(utf8("wireguard")),
      outputs: [
        "491d43bbfdaa8750aaf535e334ecbfe5129967cd64635101c566d4caefda96e8",
        "1e71a379baefd8a79aa4662212fcafe19a23e2b609a3db7d6bcba8f560e3d25f",
        "31e1ae48bddfbe5de38f295e5452b1909a1b4e38e183926af3780b0c1e1f0160",
      ],
    },
    {
      key: "",
      input: "",
      outputs: [
        "8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d0",
        "58a0e5f6faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e",
        "0ce6ea98ec548f8e281e93e32db65621c45eb18dc6f0a7ad94178610a2f7338e",
      ],
    },
  ];
  for (const { key, input, outputs } of vectors) {
    for (const count of [1, 2, 3] as const) {
      assert.deepEqual(hkdf(fromHex(key)!, fromHex(input)!, count).map(toHex), outputs.slice(0, count));
    }
  }
});
