/**
 * NaCl box: X25519, HSalsa20 and XSalsa20-Poly1305, the envelope of disco messages and of DERP's client info.
 * Source: https://nacl.cr.yp.to/box.html; golang.org/x/crypto/nacl/box.
 */
import { hsalsa, xsalsa20poly1305 } from "@noble/ciphers/salsa.js";

/** Bytes of the nonce in front of a boxed message. */
export const BOX_NONCE_LENGTH = 24;
/** Bytes a box adds to its plaintext, besides the nonce. */
export const BOX_OVERHEAD = 16;

const SIGMA = new TextEncoder().encode("expand 32-byte k");

function words(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(i * 4, true));
}

/** The precomputed half of a box between two keys. @param secret 32 bytes of X25519 between them. */
export class BoxKey {
  readonly #key: Uint8Array;

  constructor(secret: Uint8Array) {
    const out = new Uint32Array(8);
    hsalsa(words(SIGMA), words(secret), new Uint32Array(4), out);
    this.#key = new Uint8Array(out.buffer);
  }

  /** Tag and ciphertext. @param nonce 24 bytes, never twice for one key. */
  seal(nonce: Uint8Array, plaintext: Uint8Array): Uint8Array {
    return xsalsa20poly1305(this.#key, nonce).encrypt(plaintext);
  }

  /** The plaintext, or undefined when forged. */
  open(nonce: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    if (sealed.length < BOX_OVERHEAD) return undefined;
    try {
      return xsalsa20poly1305(this.#key, nonce).decrypt(sealed);
    } catch {
      return undefined;
    }
  }
}
