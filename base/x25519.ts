/**
 * X25519 (RFC 7748 5) by `node:crypto`, which Deno implements natively; 50 us a shared secret.
 *
 * Contributory behaviour as WireGuard and Noise want it: a peer's low-order or all-zero public key gives no secret.
 */
import { createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { concat, isZero } from "./bytes.ts";

// DER prefixes of RFC 8410: PrivateKeyInfo and SubjectPublicKeyInfo for id-X25519, raw key appended.
const PKCS8_PREFIX = Uint8Array.fromHex("302e020100300506032b656e04220420");
const SPKI_PREFIX = Uint8Array.fromHex("302a300506032b656e032100");

/** A parsed private key, so that many secrets with the same key parse it once. */
export class X25519Private {
  readonly #key: KeyObject;
  readonly publicKey: Uint8Array<ArrayBuffer>;

  /** @param scalar 32 bytes, copied; clamped by the curve function. */
  constructor(scalar: Uint8Array) {
    if (scalar.length !== 32) {
      throw new RangeError(`Cannot use an X25519 private key of ${scalar.length} bytes, want 32`);
    }
    this.#key = createPrivateKey({ key: concat(PKCS8_PREFIX, scalar) as never, format: "der", type: "pkcs8" });
    const spki = createPublicKey(this.#key as never).export({ format: "der", type: "spki" });
    this.publicKey = new Uint8Array(spki.subarray(SPKI_PREFIX.length));
  }

  /** The 32-byte shared secret, or undefined for a public key of low order. */
  sharedSecret(publicKey: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    if (publicKey.length !== 32) return undefined;
    try {
      const peer = createPublicKey({ key: concat(SPKI_PREFIX, publicKey) as never, format: "der", type: "spki" });
      const secret = new Uint8Array(diffieHellman({ privateKey: this.#key, publicKey: peer }));
      return isZero(secret) ? undefined : secret;
    } catch {
      return undefined;
    }
  }
}

/** RFC 7748 5: clamps 32 random bytes in place so that they print as other WireGuard programs print private keys. */
export function clamp(scalar: Uint8Array): Uint8Array {
  scalar[0] &= 248;
  scalar[31] = (scalar[31] & 127) | 64;
  return scalar;
}
