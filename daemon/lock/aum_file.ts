/**
 * One AUM's file in Tailscale's layout.
 *
 *   <first 2 characters>/<hash>   CBOR {2: AUM, 3: Unix seconds of the commit, 4: Unix seconds of the purge}
 *
 * Source: tka.fsHashInfo (tka/tailchonk.go).
 */
import { concat, equalBytes } from "../../base/bytes.ts";
import { Aum, readAum } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { CborWriter } from "../../tka/cbor.ts";
import { readCbor } from "../../tka/cbor_reader.ts";

const FIELDS = [2, 3, 4];

/** What a file says. */
export interface Entry {
  readonly aum: Aum | undefined;
  readonly createdUnix: number;
  readonly purged: boolean;
}

/** @throws TkaError "malformed". */
export function decodeEntry(bytes: Uint8Array): Entry {
  return readCbor(bytes, (reader) => {
    let aum: Aum | undefined;
    let created = 0n;
    let purged = 0n;
    reader.struct(FIELDS, (field) => {
      if (field === 3) created = reader.uint64() ?? 0n;
      else if (field === 4) purged = reader.uint64() ?? 0n;
      else if (!reader.isNil()) aum = readAum(reader);
    });
    return { aum, createdUnix: Number(created), purged: purged > 0n };
  });
}

/** The record without the AUM's own encoding, which is put behind the key of field 2 as it is. */
export function encodeEntry(aum: Aum, createdUnix: number): Uint8Array<ArrayBuffer> {
  const head = new CborWriter().map(createdUnix === 0 ? 1 : 2).field(2).finish();
  const tail = createdUnix === 0 ? new Uint8Array(0) : new CborWriter().field(3).uint(createdUnix).finish();
  return concat(head, aum.bytes, tail);
}

/** Below the store's directory. */
export function nameOf(hash: AumHash): string {
  return `${hash.slice(0, 2)}/${hash}`;
}

/** What a crash leaves of a file that was not flushed: a piece, or nothing but zeros. Anything else is damage. */
export function isUnfinished(bytes: Uint8Array, wanted: Uint8Array): boolean {
  const isPiece = bytes.length < wanted.length && equalBytes(bytes, wanted.subarray(0, bytes.length));
  return isPiece || bytes.every((byte) => byte === 0);
}
