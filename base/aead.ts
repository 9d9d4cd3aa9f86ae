/** ChaCha20-Poly1305 (RFC 8439 2.8) for messages outside the data plane: handshakes, the control channel. */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { concat } from "./bytes.ts";

/** Bytes of the Poly1305 tag at the end of every sealed message. */
export const TAG_LENGTH = 16;
const OPTIONS = { authTagLength: TAG_LENGTH };

/** Ciphertext followed by its tag. @param key 32 bytes. @param nonce 12 bytes. */
export function seal(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  associated: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, OPTIONS);
  cipher.setAAD(associated, { plaintextLength: plaintext.length });
  const body = cipher.update(plaintext);
  cipher.final();
  return concat(body, cipher.getAuthTag());
}

/** The plaintext, or undefined when the tag does not fit. */
export function open(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  associated: Uint8Array,
): Uint8Array<ArrayBuffer> | undefined {
  if (sealed.length < TAG_LENGTH) return undefined;
  const end = sealed.length - TAG_LENGTH;
  const decipher = createDecipheriv("chacha20-poly1305", key, nonce, OPTIONS);
  decipher.setAAD(associated, { plaintextLength: end });
  decipher.setAuthTag(sealed.subarray(end));
  const body = decipher.update(sealed.subarray(0, end));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return new Uint8Array(body);
}
