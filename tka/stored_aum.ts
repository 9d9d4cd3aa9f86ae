/**
 * The record of an AUM in Tailscale's directory of a lock, so that a state directory moves between the two programs.
 *
 *   <dir>/<first 2 characters of the hash>/<hash>   CBOR  1 children (of old versions, ignored) · 2 AUM or null ·
 *                                                         3 created, Unix seconds · 4 purged, Unix seconds
 *   <dir>/last_active_ancestor                      the 32 bytes of a hash
 *
 * A purged AUM stays as a record with its time. Files with other names are none of the lock's. What a file holds is
 * believed only if its AUM has the hash that its name says (L14). Source: tka.fsHashInfo.
 */
import type { Aum } from "./aum.ts";
import { readAum } from "./aum.ts";
import type { AumHash } from "./aum_hash.ts";
import { CborWriter } from "./cbor.ts";
import { checkFirstItem } from "./cbor_check.ts";
import { CborReader } from "./cbor_reader.ts";
import { TkaError } from "./errors.ts";

export interface StoredAum {
  readonly aum: Aum | undefined;
  /** Unix seconds; 0 in records of old versions: then the file's modification time stands for it. */
  readonly createdUnix: number;
  /** Unix seconds; above 0 the AUM counts as deleted. */
  readonly purgedUnix: number;
}

/** Where the record of a hash is, relative to the lock's directory. */
export function storedAumPath(hash: AumHash): string {
  return `${hash.slice(0, 2)}/${hash}`;
}

export function encodeStoredAum({ aum, createdUnix, purgedUnix }: StoredAum): Uint8Array<ArrayBuffer> {
  const out = new CborWriter();
  out.map(1 + (createdUnix > 0 ? 1 : 0) + (purgedUnix > 0 ? 1 : 0));
  out.field(2);
  if (aum === undefined) out.null();
  else out.encoded(aum.bytes);
  if (createdUnix > 0) out.field(3).uint(createdUnix);
  if (purgedUnix > 0) out.field(4).uint(purgedUnix);
  return out.finish();
}

const FIELDS = [2, 3, 4];

/**
 * Reads a record; bytes behind it do not matter, as in Go.
 * @throws TkaError "malformed", or "corrupt-store" when the AUM is not the one the file's name says.
 */
export function decodeStoredAum(bytes: Uint8Array, name: AumHash): StoredAum {
  const reader = new CborReader(bytes.subarray(0, checkFirstItem(bytes)));
  const stored: { -readonly [Name in keyof StoredAum]: StoredAum[Name] } = {
    aum: undefined,
    createdUnix: 0,
    purgedUnix: 0,
  };
  reader.struct(FIELDS, (field) => {
    if (field === 3) stored.createdUnix = Number(reader.int64() ?? 0n);
    else if (field === 4) stored.purgedUnix = Number(reader.int64() ?? 0n);
    else if (!reader.isNil()) stored.aum = readAum(reader);
  });
  if (stored.aum !== undefined && stored.aum.hash !== name) {
    throw new TkaError("corrupt-store", `Cannot believe the stored AUM ${name}: what it holds is ${stored.aum.hash}`);
  }
  return stored;
}
