/**
 * What was committed and purged lately, in one file: so that many AUMs at once cost one flush to disk and not one each.
 *
 *   recent    records, one behind the other:  length, 4 bytes little-endian · BLAKE2s-256 of the body, 32 bytes · body
 *   body      CBOR {2: [entries as byte strings], 4: [hashes purged, 32 bytes each]}
 *
 * A page of AUMs is flushed here first; then each is written to a file of its own, which the system flushes when it likes.
 * After a crash those files may be missing, empty or cut, and are written again from here. A record that is cut or does
 * not fit its digest was being written when the machine stopped: nobody was told that it is stored, and nothing behind it
 * can be. The file goes once it is a day old: long before, all it holds has reached the disk (L14).
 */
import { blake2s } from "../../base/blake2s.ts";
import { concat, equalBytes } from "../../base/bytes.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { aumHashBytes, aumHashOf } from "../../tka/aum_hash.ts";
import { CborWriter } from "../../tka/cbor.ts";
import { readCbor } from "../../tka/cbor_reader.ts";
import { MAX_CBOR_ARRAY } from "../../tka/limits.ts";

/** What one record says. */
export interface LogRecord {
  /** Contents of AUM files. */
  readonly entries: readonly Uint8Array[];
  readonly purged: readonly AumHash[];
}

const HEAD = 4 + 32;
const FIELDS = [2, 4];

/** As many records as the bound on CBOR arrays wants. */
export function encodeRecords(entries: readonly Uint8Array[], purged: readonly AumHash[]): Uint8Array<ArrayBuffer> {
  const records: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < entries.length || at < purged.length; at += MAX_CBOR_ARRAY) {
    const [from, to] = [at, at + MAX_CBOR_ARRAY];
    records.push(encodeRecord(entries.slice(from, to), purged.slice(from, to)));
  }
  return concat(...records);
}

function encodeRecord(entries: readonly Uint8Array[], purged: readonly AumHash[]): Uint8Array {
  const out = new CborWriter().map(2).field(2).array(entries.length);
  for (const entry of entries) out.bytes(entry);
  out.field(4).array(purged.length);
  for (const hash of purged) out.bytes(aumHashBytes(hash));
  const body = out.finish();
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, body.length, true);
  return concat(length, blake2s(body), body);
}

/** The records that are whole, up to the first that is not. */
export function decodeRecords(bytes: Uint8Array): LogRecord[] {
  const records: LogRecord[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + HEAD <= bytes.length;) {
    const end = at + HEAD + view.getUint32(at, true);
    if (end > bytes.length) break;
    const body = bytes.subarray(at + HEAD, end);
    if (!equalBytes(blake2s(body), bytes.subarray(at + 4, at + HEAD))) break;
    records.push(decodeBody(body));
    at = end;
  }
  return records;
}

function decodeBody(body: Uint8Array): LogRecord {
  return readCbor(body, (reader) => {
    let entries: (Uint8Array | null)[] = [];
    let purged: (Uint8Array | null)[] = [];
    reader.struct(FIELDS, (field) => {
      const list = reader.slice((element) => element.byteSlice()) ?? [];
      if (field === 2) entries = list;
      else purged = list;
    });
    const there = (list: (Uint8Array | null)[]) => list.filter((item) => item !== null);
    return { entries: there(entries), purged: there(purged).map(aumHashOf) };
  });
}
