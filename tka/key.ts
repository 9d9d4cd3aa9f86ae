/** A key that the lock trusts, and its place in AUMs. Source: tka.Key. */
import type { CborReader } from "./cbor_reader.ts";
import type { CborWriter } from "./cbor.ts";
import { utf8 } from "../base/bytes.ts";
import { TkaError } from "./errors.ts";
import { MAX_META_BYTES, MAX_VOTES } from "./limits.ts";

/** The only kind there is: an Ed25519 public key, which is its own key ID. */
export const KEY_25519 = 1;

/** A trusted key. Immutable; bytes are shared, not copied: do not write. */
export interface Key {
  /** One byte; only `KEY_25519` is valid. */
  readonly kind: number;
  /** Weight of this key's signatures where the chain forks, 1 to 4096 when valid; 64 bits on the wire. */
  readonly votes: bigint;
  /** 32 bytes for a key that can sign; null is Go's nil. */
  readonly public: Uint8Array | null;
  /** Free text about the key, at most 512 bytes together: `purpose`, `authkey_stableid`, … */
  readonly meta?: ReadonlyMap<string, string>;
}

/** A key of kind 25519. */
export function key25519(publicKey: Uint8Array, votes: bigint | number = 1n, meta?: ReadonlyMap<string, string>): Key {
  const key = { kind: KEY_25519, votes: BigInt(votes), public: publicKey };
  return meta === undefined ? key : { ...key, meta };
}

const NO_BYTES = new Uint8Array(0);

/** The key ID: the public key itself. @throws TkaError "invalid" for an unknown kind. */
export function keyId(key: Key): Uint8Array {
  if (key.kind !== KEY_25519) throw new TkaError("invalid", `Cannot use a key of kind ${key.kind}: want 1 (25519)`);
  return key.public ?? NO_BYTES;
}

/** "25519", or "Key?<9>": the words of `lock log`. */
export function keyKindName(kind: number): string {
  return kind === 0 ? "invalid" : kind === KEY_25519 ? "25519" : `Key?<${kind}>`;
}

/** Equality of public data; returns at the first difference. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The rules that need no state. @throws TkaError "invalid". */
export function validateKey(key: Key): void {
  if (key.votes > MAX_VOTES || key.votes < 1n) {
    throw new TkaError("invalid", `Cannot trust a key with ${key.votes} votes: want 1 to ${MAX_VOTES}`);
  }
  let metaBytes = 0;
  for (const [name, value] of key.meta ?? []) metaBytes += utf8(name).length + utf8(value).length;
  if (metaBytes > MAX_META_BYTES) {
    throw new TkaError(
      "invalid",
      `Cannot trust a key with ${metaBytes} bytes of metadata: want at most ${MAX_META_BYTES}`,
    );
  }
  keyId(key);
}

/** `{1: kind, 2: votes, 3: public, 12: meta if any}`. */
export function writeKey(out: CborWriter, key: Key): void {
  const meta = key.meta !== undefined && key.meta.size > 0 ? key.meta : undefined;
  out.map(meta === undefined ? 3 : 4);
  out.field(1).uint(key.kind);
  out.field(2).uint(key.votes);
  out.field(3).bytes(key.public);
  if (meta !== undefined) out.field(12).textMap(meta);
}

const FIELDS = [1, 2, 3, 12];

/** Go's conversions; absent fields are zero. @throws TkaError "malformed". */
export function readKey(reader: CborReader): Key {
  let kind = 0;
  let votes = 0n;
  let publicKey: Uint8Array | null = null;
  let meta: ReadonlyMap<string, string> | null = null;
  reader.struct(FIELDS, (field) => {
    if (field === 1) kind = reader.uint8() ?? 0;
    else if (field === 2) votes = reader.uint64() ?? 0n;
    else if (field === 3) publicKey = reader.byteSlice();
    else meta = reader.textMap();
  });
  return meta === null ? { kind, votes, public: publicKey } : { kind, votes, public: publicKey, meta };
}
