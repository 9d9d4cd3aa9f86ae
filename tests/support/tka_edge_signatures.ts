/** Ed25519 signatures on which verifiers disagree: small and mixed order, non-canonical encodings, S beyond the order. */
import { createHash } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { concat, toHex, utf8 } from "../../base/bytes.ts";
import { testKey } from "./lock_keys.ts";
import type { SeededRandom } from "./random.ts";

export interface EdgeSignature {
  readonly name: string;
  readonly pub: Uint8Array;
  readonly msg: Uint8Array;
  readonly sig: Uint8Array;
}

type Point = InstanceType<typeof ed25519.Point>;
const { BASE, Fn: { ORDER } } = ed25519.Point;

/** All encodings of points whose order divides 8, canonical and not: "It's 255:19AM" by Henry de Valence, the table. */
export const SMALL_ORDER = [
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000080",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  "0100000000000000000000000000000000000000000000000000000000000080",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
].map((hex) => Uint8Array.fromHex(hex));

function number(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes.toReversed())}`);
}

function scalar(value: bigint): Uint8Array {
  return Uint8Array.fromHex(value.toString(16).padStart(64, "0")).toReversed();
}

/** R || S for a key `secret·B + torsion` and a nonce point `nonce·B + torsion`, as an attacker may make them. */
function forge(secret: bigint, pub: Uint8Array, nonce: bigint, r: Uint8Array, msg: Uint8Array): Uint8Array {
  const digest = new Uint8Array(createHash("sha512").update(concat(r, pub, msg)).digest());
  return concat(r, scalar((nonce + number(digest) * secret) % ORDER));
}

/** The vectors, many of each sort, as the cofactorless rule accepts one in two to eight of some. */
export function edgeSignatures(random: SeededRandom): EdgeSignature[] {
  const out: EdgeSignature[] = [];
  for (const pub of SMALL_ORDER) {
    for (const r of SMALL_ORDER) {
      const msg = random.bytes(32);
      out.push({ name: `A ${toHex(pub)}, R ${toHex(r)}, S 0`, pub, msg, sig: concat(r, new Uint8Array(32)) });
    }
  }
  const torsion = SMALL_ORDER.slice(0, 8).map((bytes) => ed25519.Point.fromBytes(bytes, true));
  for (const [i, t] of torsion.entries()) {
    for (const [j, u] of torsion.entries()) {
      const secret = number(random.bytes(31)) + 1n;
      const nonce = number(random.bytes(31)) + 1n;
      const pub = (BASE.multiply(secret) as Point).add(t).toBytes();
      const r = (BASE.multiply(nonce) as Point).add(u).toBytes();
      const msg = random.bytes(32);
      out.push({ name: `A + T${i}, R + T${j}`, pub, msg, sig: forge(secret, pub, nonce, r, msg) });
    }
  }
  const key = testKey(1);
  for (let i = 0; i < 8; i++) {
    const msg = utf8(`message ${i}`);
    const sig = key.sign(msg);
    const [r, s] = [sig.subarray(0, 32), number(sig.subarray(32))];
    out.push({ name: "honest", pub: key.public, msg, sig });
    out.push({ name: "S + L", pub: key.public, msg, sig: concat(r, scalar(s + ORDER)) });
    out.push({ name: "S with its top bit set", pub: key.public, msg, sig: concat(r, scalar(s | 1n << 255n)) });
    out.push({ name: "another message", pub: key.public, msg: utf8("x"), sig });
    const flipped = sig.slice();
    flipped[random.int(64)] ^= 1 << random.int(8);
    out.push({ name: "a bit flipped", pub: key.public, msg, sig: flipped });
    out.push({ name: "no point", pub: random.bytes(32), msg, sig });
  }
  out.push({ name: "63 bytes", pub: key.public, msg: utf8(""), sig: key.sign(utf8("")).subarray(0, 63) });
  return out;
}
