/**
 * The name of an AUM: BLAKE2s-256 of its serialization, signatures included.
 *
 * Held everywhere as the text of wire, disk and screen - base32 (RFC 4648 6), upper case, no padding, 52 characters -
 * so it is its own map key and prints as operators know it. Source: tka.AUMHash.
 */

declare const brand: unique symbol;

/** 52 characters of base32. Made by `aumHashOf` and `parseAumHash` only. */
export type AumHash = string & { readonly [brand]: "AumHash" };

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/** The two letters of each ten bits. */
const PAIRS = Array.from({ length: 1024 }, (_, bits) => ALPHABET[bits >> 5] + ALPHABET[bits & 31]);
const NIBBLES = new Uint8Array(128);
for (let i = 0; i < 16; i++) NIBBLES["0123456789abcdef".charCodeAt(i)] = i;
const VALUES = new Int8Array(128).fill(-1);
for (let i = 0; i < 32; i++) VALUES[ALPHABET.charCodeAt(i)] = i;

/** The text of a digest. @param digest 32 bytes; shorter is filled with zeros, longer is cut, as Go's copy does. */
export function aumHashOf(digest: Uint8Array): AumHash {
  return aumHashOfHex(digest.subarray(0, 32).toHex().padEnd(64, "0"));
}

/** @param hex of a digest: 64 characters in lower case. */
export function aumHashOfHex(hex: string): AumHash {
  let text = "";
  let bits = 0;
  let held = 0;
  for (let i = 0; i < 64; i += 2) {
    bits = bits << 8 | NIBBLES[hex.charCodeAt(i)] << 4 | NIBBLES[hex.charCodeAt(i + 1)];
    held += 8;
    if (held >= 10) {
      held -= 10;
      text += PAIRS[bits >> held];
      bits &= (1 << held) - 1;
    }
  }
  return text + PAIRS[bits << (10 - held)] as AumHash;
}

/** The 32 bytes of a hash, newly allocated. */
export function aumHashBytes(hash: AumHash): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(32);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < 52; i++) {
    bits = bits << 5 | VALUES[hash.charCodeAt(i)];
    held += 5;
    if (held >= 8 && at < 32) {
      held -= 8;
      out[at++] = bits >> held & 255;
      bits &= (1 << held) - 1;
    }
  }
  return out;
}

/** Text to hash; undefined unless it is 52 characters of base32. The four unused bits do not matter, as in Go. */
export function parseAumHash(text: string): AumHash | undefined {
  return /^[A-Z2-7]{52}$/.test(text) ? aumHashOf(aumHashBytes(text as AumHash)) : undefined;
}

/** Order of the digests' bytes, which is not the order of the texts: digits sort behind letters in base32. */
export function compareAumHashes(a: AumHash, b: AumHash): number {
  for (let i = 0; i < 52; i++) {
    const difference = VALUES[a.charCodeAt(i)] - VALUES[b.charCodeAt(i)];
    if (difference !== 0) return difference;
  }
  return 0;
}
