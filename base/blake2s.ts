/**
 * BLAKE2s (RFC 7693): unkeyed natively, keyed and HMAC by noble and by hand.
 *
 * `node:crypto`'s BLAKE2s in Deno silently ignores a key, so keyed MACs never go there.
 */
import { createHash } from "node:crypto";
import { blake2s as nobleBlake2s } from "@noble/hashes/blake2.js";
import { concat } from "./bytes.ts";

const BLOCK = 64;

/** BLAKE2s-256 of the parts in order. */
export function blake2s(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  if (parts.length === 1) return Uint8Array.fromHex(blake2sHex(parts[0]));
  const hash = createHash("blake2s256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** The same as hex: for short messages the Buffer that bytes come in costs more than the hash. */
export function blake2sHex(message: Uint8Array): string {
  return createHash("blake2s256").update(message).digest("hex");
}

/** Keyed BLAKE2s with a digest of `length` bytes: WireGuard's MAC (16) and cookie hash. */
export function keyedBlake2s(key: Uint8Array, message: Uint8Array, length: number): Uint8Array {
  return nobleBlake2s(message, { key, dkLen: length });
}

/** HMAC (RFC 2104) with BLAKE2s-256, the HMAC of Noise's HKDF. @param key at most 64 bytes. */
export function hmacBlake2s(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  if (key.length > BLOCK) throw new RangeError(`Cannot use an HMAC key of ${key.length} bytes, want at most 64`);
  const inner = new Uint8Array(BLOCK).fill(0x36);
  const outer = new Uint8Array(BLOCK).fill(0x5c);
  for (let i = 0; i < key.length; i++) {
    inner[i] ^= key[i];
    outer[i] ^= key[i];
  }
  return blake2s(outer, blake2s(inner, ...parts));
}

/** Noise 4.3 HKDF with BLAKE2s: `count` outputs of 32 bytes. */
export function hkdf(chainingKey: Uint8Array, input: Uint8Array, count: 1 | 2 | 3): Uint8Array<ArrayBuffer>[] {
  const temp = hmacBlake2s(chainingKey, input);
  const outputs: Uint8Array<ArrayBuffer>[] = [];
  let previous: Uint8Array = new Uint8Array(0);
  for (let i = 1; i <= count; i++) {
    const output = hmacBlake2s(temp, concat(previous, Uint8Array.of(i)));
    outputs.push(output);
    previous = output;
  }
  return outputs;
}
