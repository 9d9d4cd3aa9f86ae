/** Unguessable names: base58 text, which has no letters that look alike and needs no escaping anywhere. */
import type { RandomBytes } from "../../base/keys.ts";

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/** Bytes from here up are thrown away, so that every letter is equally likely. */
const LIMIT = 256 - 256 % ALPHABET.length;

/** `length` letters, 5.86 bits each. */
export function randomText(length: number, random: RandomBytes): string {
  let text = "";
  while (text.length < length) {
    for (const byte of random(length)) {
      if (byte < LIMIT && text.length < length) text += ALPHABET[byte % ALPHABET.length];
    }
  }
  return text;
}
