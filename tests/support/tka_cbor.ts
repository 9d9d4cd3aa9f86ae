/** CBOR to try decoders with: samples of every oddity Go's decoder takes or refuses, and random relatives of them. */
import { concat, utf8 } from "../../base/bytes.ts";
import { Aum } from "../../tka/aum.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import { encodeNodeKeySignature, nodeKeyBinary, SIG_KIND } from "../../tka/node_key_signature.ts";
import type { NodeKeySignature } from "../../tka/node_key_signature.ts";
import { NodePublic } from "../../base/keys.ts";
import { testKey } from "./lock_keys.ts";
import type { SeededRandom } from "./random.ts";
import { mutate } from "./random.ts";

/** A head of any width, also wider than needed. */
function head(major: number, value: number | bigint, width?: 0 | 1 | 2 | 4 | 8): Uint8Array {
  const needed = value < 24 ? 0 : value < 256 ? 1 : value < 65536 ? 2 : value < 2 ** 32 ? 4 : 8;
  const bytes = Math.max(width ?? 0, needed);
  if (bytes === 0) return Uint8Array.of(major << 5 | Number(value));
  const info = { 1: 24, 2: 25, 4: 26, 8: 27 }[bytes] as number;
  const hex = value.toString(16).padStart(bytes * 2, "0");
  return concat(Uint8Array.of(major << 5 | info), Uint8Array.fromHex(hex));
}

const bytes = (value: Uint8Array) => concat(head(2, value.length), value);
const text = (value: string | Uint8Array) => {
  const raw = typeof value === "string" ? utf8(value) : value;
  return concat(head(3, raw.length), raw);
};
const array = (...items: Uint8Array[]) => concat(head(4, items.length), ...items);
const map = (...items: Uint8Array[]) => concat(head(5, items.length / 2), ...items);
const uint = (value: number | bigint, width?: 0 | 1 | 2 | 4 | 8) => head(0, value, width);
const NULL = Uint8Array.of(0xf6);

function nested(depth: number): Uint8Array {
  return depth === 0 ? uint(0) : array(nested(depth - 1));
}

/** A valid checkpoint with all there is, and the other kinds. */
export function sampleAums(): Aum[] {
  const key = testKey(1);
  const state = {
    lastAumHash: null,
    disablementValues: [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)],
    keys: [key.key(2, new Map([["b", "1"], ["aa", "2"], ["", ""], ["ü", "\ufeff"]])), testKey(2).key()],
    stateId1: 2n ** 64n - 1n,
    stateId2: 7n,
  };
  const prevAumHash = new Uint8Array(32).fill(9);
  const sign = (aum: Aum) => aum.withSignatures([...key.signAum(aum.sigHash), ...testKey(2).signAum(aum.sigHash)]);
  return [
    new Aum({ kind: AUM_KIND.CHECKPOINT, prevAumHash: null, state, signatures: [] }),
    new Aum({ kind: AUM_KIND.ADD_KEY, prevAumHash, key: testKey(3).key(4096), signatures: [] }),
    new Aum({ kind: AUM_KIND.REMOVE_KEY, prevAumHash, keyId: key.public, signatures: [] }),
    new Aum({
      kind: AUM_KIND.UPDATE_KEY,
      prevAumHash,
      keyId: key.public,
      votes: 24n,
      meta: new Map([["name", "x"]]),
      signatures: [],
    }),
    new Aum({ kind: AUM_KIND.NO_OP, prevAumHash, signatures: [] }),
    new Aum({ kind: 77, prevAumHash, votes: 2n ** 64n - 1n, signatures: [] }),
  ].map(sign);
}

/** Direct, credential, and rotations from one to beyond the nesting limit. */
export function sampleSignatures(): Uint8Array[] {
  const [signer, own] = [testKey(1), testKey(2)];
  const pubkey = (i: number) => nodeKeyBinary(new NodePublic(new Uint8Array(32).fill(i)));
  const direct = signer.signNks({
    kind: SIG_KIND.DIRECT,
    keyId: signer.public,
    pubkey: pubkey(1),
    wrappingPubkey: own.public,
  });
  const credential = signer.signNks({ kind: SIG_KIND.CREDENTIAL, keyId: signer.public, wrappingPubkey: own.public });
  const out: NodeKeySignature[] = [direct, credential];
  for (let i = 2, sig = direct; i < 20; i++) {
    sig = own.signNks({ kind: SIG_KIND.ROTATION, pubkey: pubkey(i), nested: sig });
    out.push(sig);
  }
  return out.map(encodeNodeKeySignature);
}

/** Hand-made inputs, one for each rule of `cbor_check.ts` and `cbor_reader.ts`. */
export function cborSamples(): Uint8Array[] {
  const raw = [
    // null, undefined, and other tops; nothing; two items
    "f6",
    "f7",
    "",
    "a0",
    "80",
    "00",
    "40",
    "60",
    "f4",
    "f90000",
    "a0a0",
    "ff",
    "1c",
    "a1",
    // indefinite lengths, tags, break
    "bf0105ff",
    "a1025f4101ff",
    "a10f9fff",
    "a10fc001",
    "d9d9f7a10103",
    "a10fff",
    // simple values: short, in two bytes, reserved
    "a101f0",
    "a101f3",
    "a101f820",
    "a101f8ff",
    "a101f81f",
    "a101f4",
    "a101f5",
    "a101f6",
    "a101fb0000000000000000",
    // integers wider than needed and out of range
    "a11801 1803".replaceAll(" ", ""),
    "a1011b0000000000000003",
    "a101190100",
    "a10120",
    "a1061bffffffffffffffff",
    // keys: text for a number, twice, unknown, equal as int64, too wide, of other types
    "a1613105",
    "a26131050103",
    "a201030103",
    "a2186300186300",
    "a218630018640 0".replaceAll(" ", ""),
    "a21bffffffffffffffff002000",
    "a21b80000000000000000020 00".replaceAll(" ", ""),
    "a13bffffffffffffffff00",
    "a13b7fffffffffffffff00",
    "a14101 00".replaceAll(" ", ""),
    "a1f600",
    "a1f50 0".replaceAll(" ", ""),
    "a18000",
    "a261780061780 0".replaceAll(" ", ""),
    "a161ff00",
    "a10f61ff",
    "a1627f0100",
    "a2613101623233f6",
    "a16230310 5".replaceAll(" ", ""),
  ].map((hex) => Uint8Array.fromHex(hex));
  const one = (field: number, value: Uint8Array) => map(uint(field), value);
  const k = testKey(1).public;
  const values = [
    NULL,
    Uint8Array.of(0xf7),
    Uint8Array.of(0xf4),
    uint(7),
    head(1, 3),
    bytes(k),
    bytes(new Uint8Array(0)),
    text("x"),
    array(),
    array(uint(1), uint(255)),
    array(uint(256)),
    array(NULL, Uint8Array.of(0xf8, 0xff)),
    array(NULL, NULL),
    array(bytes(k)),
    array(bytes(k), NULL, array(uint(5))),
    array(text("a")),
    array(map()),
    array(map(), NULL),
    array(map(uint(1), bytes(k), uint(2), bytes(new Uint8Array(64)))),
    array(array()),
    map(),
    map(text("a"), text("b")),
    map(text("a"), text("1"), text("a"), text("2")),
    map(text("a"), NULL),
    map(NULL, text("v")),
    map(text("a"), text("v"), NULL, text("w")),
    map(text("a"), text("v"), text("b"), NULL),
    map(text("\ufeffa"), text("\ufeff")),
    map(text(Uint8Array.of(0xed, 0xa0, 0x80)), text("")),
    map(bytes(k), text("")),
    map(text("a"), bytes(k)),
    map(uint(1), uint(1), uint(2), uint(2), uint(3), bytes(k)),
    map(uint(1), bytes(k)),
    map(uint(1), uint(300)),
    map(uint(3), NULL),
    map(uint(12), map()),
    map(uint(12), map(text("z"), text("1"), text("yy"), text(""))),
    map(uint(1), bytes(k), uint(2), array(), uint(3), array()),
    map(uint(1), bytes(k.subarray(0, 20))),
    map(uint(1), bytes(concat(k, k))),
    map(uint(1), array(uint(1), uint(2))),
    map(uint(1), text("x")),
    map(uint(1), array(...Array.from({ length: 40 }, (_, i) => i < 32 ? uint(i) : text("x")))),
    map(uint(1), NULL, uint(2), NULL, uint(3), NULL),
    map(uint(2), array(NULL, bytes(k), bytes(new Uint8Array(0)))),
    map(uint(3), array(NULL, map(), map(uint(12), map(text("q"), text("r"))))),
    map(uint(4), uint(2n ** 64n - 1n)),
    map(uint(5), uint(0)),
    map(uint(6), uint(1)),
    bytes(new Uint8Array(33)),
  ];
  const fields = [1, 2, 3, 4, 5, 6, 7, 23, 8, 24].flatMap((field) => values.map((value) => one(field, value)));
  const limits = [
    ...[14, 15, 16, 17, 20].map((depth) => one(9, nested(depth))),
    ...[4096, 4097].map((count) => one(9, array(...Array.from({ length: count }, () => uint(0))))),
    ...[4095, 4096].map((count) => one(2, array(...Array.from({ length: count }, () => uint(1))))),
    ...[1024, 1025].map((count) => one(9, map(...Array.from({ length: 2 * count }, () => uint(0))))),
    ...[1023, 1024, 1025].map((count) =>
      map(...Array.from({ length: count }, (_, i) => [uint(100 + i), uint(0)]).flat())
    ),
    concat(head(4, 2n ** 63n), uint(0)),
    concat(head(2, 2n ** 63n), uint(0)),
    head(5, 2n ** 64n - 1n),
    head(2, 5),
  ];
  return [...raw, ...fields, ...limits, ...sampleAums().map((aum) => aum.bytes), ...sampleSignatures()];
}

/** `count` random relatives of the samples, a third of them made of random parts in the shape of the structs. */
export function cborMutations(random: SeededRandom, count: number): Uint8Array[] {
  const samples = cborSamples().filter((sample) => sample.length > 0 && sample.length < 3000);
  return Array.from({ length: count }, () => {
    if (random.chance(0.35)) return item(random, 0, true);
    return mutate(random, random.pick(samples));
  });
}

function width(random: SeededRandom): 0 | 1 | 2 | 4 | 8 {
  return random.chance(0.9) ? 0 : random.pick([1, 2, 4, 8] as const);
}

function item(random: SeededRandom, depth: number, struct = false): Uint8Array {
  const roll = struct ? 9 : random.int(depth > 5 ? 7 : 11);
  const small = () => random.int(random.pick([2, 6, 40]));
  switch (roll) {
    case 0:
      return uint(random.pick([0, 1, 2, 3, 4, 5, 23, 24, 255, 256, 65536, 2n ** 53n, 2n ** 64n - 1n]), width(random));
    case 1:
      return bytes(random.bytes(random.pick([0, 1, 20, 32, 32, 34, 64])));
    case 2:
      return text(random.chance(0.8) ? random.pick(["", "1", "a", "bb", "ü", "\ufeff"]) : random.bytes(small()));
    case 3:
      return NULL;
    case 4:
      return random.pick([0xf7, 0xf4, 0xe5].map((byte) => Uint8Array.of(byte)));
    case 5:
      return random.pick(["f900ff", "f820", "20", "3863", "fa00000000"].map((hex) => Uint8Array.fromHex(hex)));
    case 6:
      return bytes(testKey(random.int(4)).public);
    case 7:
    case 8:
      return array(...Array.from({ length: random.int(4) }, () => item(random, depth + 1, random.chance(0.3))));
    default: {
      const pairs: Uint8Array[] = [];
      const named = random.chance(0.25);
      for (let left = random.int(6); left > 0; left--) {
        const field = random.pick([1, 2, 3, 4, 5, 6, 7, 12, 23, 99]);
        pairs.push(named ? text(random.pick(["a", "b", `${field}`])) : uint(field, width(random)));
        pairs.push(random.chance(0.5) ? plausible(random, field, depth) : item(random, depth + 1));
      }
      return map(...pairs);
    }
  }
}

/** Something a field of that number may well hold in one struct or another. */
function plausible(random: SeededRandom, field: number, depth: number): Uint8Array {
  if (field === 12 || field === 7) return map(text(`${random.int(9)}`), text("v"));
  if (field === 23 || field === 2 && random.chance(0.3)) return array(item(random, depth + 1, true));
  if (field === 3 || field === 5) return item(random, depth + 1, true);
  if (field === 1) return uint(random.int(7));
  return random.chance(0.5) ? bytes(random.bytes(32)) : uint(random.int(5000));
}
