/**
 * What an AEAD provider must answer before it is trusted with traffic: run at every start.
 *
 * Key, nonce and text are those of RFC 8439 A.5, whose nonce has WireGuard's shape (four zero bytes and a counter, here a
 * high one). WireGuard's data packets carry no associated data, so the tags below are of the text without A.5's.
 */

import type { AeadProvider, Arena } from "../engine/ports.ts";

const KEY = bytes("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
const COUNTER_LOW = 0x04030201;
const COUNTER_HIGH = 0x08070605;
const TEXT = new TextEncoder().encode(
  "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or obsoleted by " +
    "other documents at any time. It is inappropriate to use Internet-Drafts as reference material or to cite them other " +
    "than as /“work in progress./”",
);
/** RFC 8439 A.5: the first 32 bytes of the ciphertext, which do not depend on associated data. */
const TEXT_SEALED = bytes("64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2");
const TEXT_TAG = bytes("6e3570b1acaaf1f24f2a644f01acd12b");

/** Tags of the bytes 0, 7, 14, … (mod 256) under the same key and nonce. */
const PATTERN_TAGS = [
  [0, bytes("11f42c5c33f24b70d45e8126aec859be")],
  [1, bytes("e53abf43d232cd006c17b742e2573b55")],
  [64, bytes("e3a2545a7d276eae90ae5e3ef7aacb47")],
  [1280, bytes("053d2a8751018bab8adbd29eeb013888")],
  [1420, bytes("1ad1d59963e2040d3bdbd6ff1558c315")],
] as const;

const TAG = 16;
const SCRATCH = 2048;

/** @param scratch 2048 bytes of the arena to work in. @throws Error that says which answer was wrong. */
export function checkAead(provider: AeadProvider, arena: Arena, scratch: number): void {
  const { u8 } = arena;
  const want = (held: boolean, what: string): void => {
    if (!held) throw new Error(`known answer test failed: ${what}`);
  };
  const same = (at: number, expected: Uint8Array): boolean => expected.every((byte, i) => u8[at + i] === byte);
  const sealKey = provider.createKey(KEY, "seal");
  const openKey = provider.createKey(KEY, "open");
  const otherKey = provider.createKey(KEY.map((byte) => byte ^ 1), "open");
  const seal = (plain: Uint8Array): void => {
    u8.set(plain, scratch);
    provider.seal(sealKey, scratch, plain.length, COUNTER_LOW, COUNTER_HIGH);
  };
  const open = (length: number, key = openKey): boolean =>
    provider.open(key, scratch, length, COUNTER_LOW, COUNTER_HIGH);
  try {
    for (const round of ["first", "second"]) {
      seal(TEXT);
      want(same(scratch, TEXT_SEALED), `${round} ciphertext of RFC 8439 A.5`);
      want(same(scratch + TEXT.length, TEXT_TAG), `${round} tag of RFC 8439 A.5`);
      want(open(TEXT.length) && same(scratch, TEXT), `${round} opening of RFC 8439 A.5`);
    }
    for (const [length, tag] of PATTERN_TAGS) {
      const plain = Uint8Array.from({ length }, (_, i) => i * 7);
      seal(plain);
      want(same(scratch + length, tag), `tag of ${length} bytes`);
      want(open(length) && same(scratch, plain), `opening of ${length} bytes`);
      for (const flipped of [0, length >> 1, length, length + TAG - 1]) {
        seal(plain);
        u8[scratch + flipped] ^= 0x80;
        want(!open(length), `byte ${flipped} of ${length} altered, yet opened`);
      }
      seal(plain);
      want(!open(length, otherKey), `${length} bytes opened with another key`);
      seal(plain);
      want(
        !provider.open(openKey, scratch, length, COUNTER_LOW, COUNTER_HIGH ^ 1),
        `${length} bytes opened as another`,
      );
      seal(plain);
      want(open(length) && same(scratch, plain), `opening of ${length} bytes after refusals`);
    }
  } finally {
    for (const key of [sealKey, openKey, otherKey]) provider.freeKey(key);
    u8.fill(0, scratch, scratch + SCRATCH);
  }
}

/** Bytes of the scratch area `checkAead` needs. */
export const CHECK_SCRATCH: number = SCRATCH;

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g)!, (pair) => parseInt(pair, 16));
}
