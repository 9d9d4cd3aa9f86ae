/**
 * Three rules for Ed25519, because the tailnet's nodes must all accept the same signatures (L15).
 *
 *   where                                    rule                                               upstream
 *   AUMs, direct and credential signatures   ZIP-215: cofactored, lenient point encodings       ed25519consensus
 *   rotation wrappers                        Go's crypto/ed25519: cofactorless, S < L,          ed25519.Verify
 *                                            A decoded leniently, R compared byte for byte
 *   what we make ourselves                   RFC 8032; all rules accept it                      ed25519.Sign
 *
 * The native verifier is 12 times faster and accepts a subset of both rules, so its yes is final; its no is asked again
 * of the rule. An honest netmap never gets there.
 */
import { Buffer } from "node:buffer";
import { createHash, createPublicKey, verify } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import type { LockPrivate } from "../base/lock_key.ts";
import type { AumSigner } from "./aum.ts";
import { TkaError } from "./errors.ts";
import type { Key } from "./key.ts";
import { KEY_25519, sameBytes } from "./key.ts";
import { concat, toHex } from "../base/bytes.ts";

const SPKI_PREFIX = Uint8Array.fromHex("302a300506032b6570032100");

/** Parsed keys: a netmap is signed by few keys. Bounded, as rotation keys come from outside. */
const parsedKeys = new Map<string, KeyObject>();
const PARSED_KEYS = 1024;

function parsedKey(publicKey: Uint8Array): KeyObject {
  const name = toHex(publicKey);
  const known = parsedKeys.get(name);
  if (known !== undefined) return known;
  const parsed = createPublicKey({ key: Buffer.from(concat(SPKI_PREFIX, publicKey)), format: "der", type: "spki" });
  if (parsedKeys.size >= PARSED_KEYS) parsedKeys.clear();
  parsedKeys.set(name, parsed);
  return parsed;
}

function nativeAccepts(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify(null, message, parsedKey(publicKey), signature);
  } catch {
    return false; // a point it cannot decode
  }
}

/** ZIP-215, the rule of AUMs and of direct and credential signatures. */
export function verifyZip215(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  if (nativeAccepts(publicKey, message, signature)) return true;
  try {
    return ed25519.verify(signature, message, publicKey, { zip215: true });
  } catch {
    return false;
  }
}

const ORDER = ed25519.Point.Fn.ORDER;

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes.toReversed())}`);
}

/** The rule of Go's standard library, for rotation wrappers: encode([S]B - [k]A) is R, byte for byte. */
export function verifyGoStd(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  if (nativeAccepts(publicKey, message, signature)) return true;
  const r = signature.subarray(0, 32);
  const s = littleEndian(signature.subarray(32));
  if (s >= ORDER) return false;
  try {
    const a = ed25519.Point.fromBytes(publicKey, true);
    const digest = new Uint8Array(createHash("sha512").update(concat(r, publicKey, message)).digest());
    const k = littleEndian(digest) % ORDER;
    const expected = ed25519.Point.BASE.multiplyUnsafe(s).subtract(a.multiplyUnsafe(k));
    return sameBytes(expected.toBytes(), r);
  } catch {
    return false; // A is no point of the curve
  }
}

/** Verifies with a trusted key by the rule of AUMs. @throws TkaError "bad-signature". */
export function verifyByKey(key: Key, sigHash: Uint8Array, signature: Uint8Array | null): void {
  if (key.kind !== KEY_25519) {
    throw new TkaError("bad-signature", `Cannot verify with a key of kind ${key.kind}: want 1 (25519)`);
  }
  if (key.public?.length !== 32) {
    throw new TkaError("bad-signature", `Cannot verify with a key of ${key.public?.length ?? 0} bytes: want 32`);
  }
  if (signature === null || !verifyZip215(key.public, sigHash, signature)) {
    throw new TkaError("bad-signature", `Cannot accept a signature by tlpub:${toHex(key.public)}: it does not verify`);
  }
}

/** `verifyByKey`, or a stand-in that accepts the same. */
export type VerifySignature = typeof verifyByKey;

/** Signs AUMs with a lock key. */
export function lockSigner(key: LockPrivate): AumSigner {
  return { signAum: (sigHash) => [{ keyId: key.public.bytes, signature: key.sign(sigHash) }] };
}
