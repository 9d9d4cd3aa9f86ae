/**
 * Transport records of the control protocol. Source: control/controlbase/conn.go.
 *
 * ```
 *   offset  size  meaning
 *   0       1     type, 4
 *   1       2     length of what follows, big-endian; at most 4093
 *   3       n     ChaCha20-Poly1305 of the plaintext, without associated data
 *   3 + n   16    tag
 * ```
 * The nonce is four zero bytes and the record's number as a **big-endian** u64 (Noise itself says little-endian). Each
 * direction counts for itself from 0. A record that does not open ends the connection: there is no way to resume.
 */
import { open, seal, TAG_LENGTH } from "../../base/aead.ts";
import { concat } from "../../base/bytes.ts";
import { bodyLength, HEADER_LENGTH, MESSAGE_TYPE } from "./handshake.ts";

/** Largest record on the wire, header and tag included. */
export const MAX_RECORD = 4096;
/** Largest plaintext of one record. */
export const MAX_PLAINTEXT = MAX_RECORD - HEADER_LENGTH - TAG_LENGTH;

const EMPTY = new Uint8Array(0);
/** 2^64 - 1 is never used as a nonce (Noise 5.1). */
const EXHAUSTED = 0xffff_ffff_ffff_ffffn;

class Nonce {
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(12);
  readonly #view = new DataView(this.bytes.buffer);
  #counter: bigint;

  constructor(counter: bigint) {
    this.#counter = counter;
  }

  /** Sets `bytes` for the next record; false when the key is used up. */
  advance(): boolean {
    if (this.#counter >= EXHAUSTED) return false;
    this.#view.setBigUint64(4, this.#counter);
    this.#counter += 1n;
    return true;
  }
}

/** Makes the records of one direction. */
export class RecordSealer {
  readonly #key: Uint8Array;
  readonly #nonce: Nonce;

  /** @param key 32 bytes. @param counter number of the first record, 0 but for tests. */
  constructor(key: Uint8Array, counter = 0n) {
    this.#key = key;
    this.#nonce = new Nonce(counter);
  }

  /**
   * The plaintext, of any length, as whole records. Nothing for nothing.
   * @throws RangeError when the key's 2^64 - 1 records are used up.
   */
  seal(plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
    const count = Math.ceil(plaintext.length / MAX_PLAINTEXT);
    const out = new Uint8Array(plaintext.length + count * (HEADER_LENGTH + TAG_LENGTH));
    let to = 0;
    for (let from = 0; from < plaintext.length; from += MAX_PLAINTEXT) {
      if (!this.#nonce.advance()) throw new RangeError("Cannot seal a record: the key is used up, connect again");
      const sealed = seal(this.#key, this.#nonce.bytes, plaintext.subarray(from, from + MAX_PLAINTEXT), EMPTY);
      out[to] = MESSAGE_TYPE.record;
      out[to + 1] = sealed.length >> 8;
      out[to + 2] = sealed.length & 0xff;
      out.set(sealed, to + HEADER_LENGTH);
      to += HEADER_LENGTH + sealed.length;
    }
    return out;
  }
}

/** Opens the records of one direction out of a byte stream cut anywhere. Holds at most one record. */
export class RecordOpener {
  readonly #key: Uint8Array;
  readonly #nonce: Nonce;
  #pending: Uint8Array = EMPTY;
  #failure: string | undefined;

  /** @param key 32 bytes. @param counter number of the first record, 0 but for tests. */
  constructor(key: Uint8Array, counter = 0n) {
    this.#key = key;
    this.#nonce = new Nonce(counter);
  }

  /** What was wrong with the stream; nothing is opened any more. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** True at a record's end: the stream may end here. */
  get idle(): boolean {
    return this.#pending.length === 0;
  }

  /**
   * The plaintexts that `chunk` completes, in order; empty records give nothing. After a bad record `failure` says
   * why, and only what came before it is returned.
   * @param chunk borrowed; what is kept of it is copied.
   */
  push(chunk: Uint8Array): Uint8Array<ArrayBuffer>[] {
    const plaintexts: Uint8Array<ArrayBuffer>[] = [];
    if (this.#failure !== undefined) return plaintexts;
    let bytes = this.#pending.length === 0 ? chunk : concat(this.#pending, chunk);
    while (bytes.length >= HEADER_LENGTH) {
      if (bytes[0] !== MESSAGE_TYPE.record) {
        this.#failure = `message of type ${bytes[0]}, want a record of type 4`;
        return plaintexts;
      }
      const end = HEADER_LENGTH + bodyLength(bytes);
      if (end > MAX_RECORD) {
        this.#failure = `record of ${end} bytes, want at most ${MAX_RECORD}`;
        return plaintexts;
      }
      if (bytes.length < end) break;
      const plaintext = this.#nonce.advance()
        ? open(this.#key, this.#nonce.bytes, bytes.subarray(HEADER_LENGTH, end), EMPTY)
        : undefined;
      if (plaintext === undefined) {
        this.#failure = "record that does not open with the connection's key";
        return plaintexts;
      }
      if (plaintext.length > 0) plaintexts.push(plaintext);
      bytes = bytes.subarray(end);
    }
    this.#pending = bytes.length === 0 ? EMPTY : new Uint8Array(bytes);
    return plaintexts;
  }
}
