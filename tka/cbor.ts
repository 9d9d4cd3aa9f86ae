/**
 * CBOR as Tailnet Lock writes it: the CTAP2 canonical form (RFC 8949 4.2, CTAP 2 "message encoding").
 *
 *   shortest integers · definite lengths · map keys in bytewise order of their encoding · no tags · no floats
 *
 * Hashes and signatures cover what these functions write, so every byte matters: Go's nil slice is `f6` where an empty
 * one is `40` or `80`. Maps have keys 1 to 23 only, one byte each; their writers put fields in ascending order.
 * Reading is in `cbor_reader.ts`.
 */
import { compareBytes, utf8 } from "../base/bytes.ts";
import { keep } from "./slab.ts";

/** Major types, already shifted into the upper three bits of an initial byte. */
export const MAJOR = {
  UINT: 0x00,
  NEGATIVE: 0x20,
  BYTES: 0x40,
  TEXT: 0x60,
  ARRAY: 0x80,
  MAP: 0xa0,
  TAG: 0xc0,
  SIMPLE: 0xe0,
};

const NULL = 0xf6;

/** Where an item is put together before it is copied out, kept from one writer to the next. */
let spare: Uint8Array<ArrayBuffer> | undefined = new Uint8Array(4096);

/** Appends CBOR items to a byte string. */
export class CborWriter {
  #bytes = spare ?? new Uint8Array(1024);
  #at = 0;

  constructor() {
    spare = undefined;
  }

  #room(count: number): number {
    const at = this.#at;
    this.#at += count;
    if (this.#at > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#at, 2 * this.#bytes.length));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
    }
    return at;
  }

  #put(value: Uint8Array): void {
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
  }

  /** The initial byte of an item and its argument, below 2^32. */
  #head(major: number, value: number): void {
    if (value < 24) {
      const at = this.#room(1);
      this.#bytes[at] = major | value;
      return;
    }
    const width = value < 0x100 ? 0 : value < 0x10000 ? 1 : 2;
    const count = 1 << width;
    const at = this.#room(1 + count);
    this.#bytes[at] = major | (24 + width);
    let rest = value;
    for (let i = count; i > 0; i--) {
      this.#bytes[at + i] = rest & 0xff;
      rest >>>= 8;
    }
  }

  /** A map of `pairs` pairs; the caller writes keys in ascending order. */
  map(pairs: number): this {
    this.#head(MAJOR.MAP, pairs);
    return this;
  }

  array(elements: number): this {
    this.#head(MAJOR.ARRAY, elements);
    return this;
  }

  /** A field number of a struct, 0 to 23. */
  field(number: number): this {
    this.#head(MAJOR.UINT, number);
    return this;
  }

  uint(value: number | bigint): this {
    if (value < 0x100000000) this.#head(MAJOR.UINT, Number(value));
    else {
      const at = this.#room(9);
      this.#bytes[at] = MAJOR.UINT | 27;
      new DataView(this.#bytes.buffer).setBigUint64(at + 1, BigInt(value));
    }
    return this;
  }

  /** A byte string, or null for Go's nil slice. */
  bytes(value: Uint8Array | null): this {
    if (value === null) return this.null();
    this.#head(MAJOR.BYTES, value.length);
    this.#put(value);
    return this;
  }

  null(): this {
    const at = this.#room(1);
    this.#bytes[at] = NULL;
    return this;
  }

  /** A map from text to text, sorted bytewise by encoded key: shorter keys first. */
  textMap(value: ReadonlyMap<string, string>): this {
    this.map(value.size);
    if (value.size === 1) {
      for (const [key, text] of value) this.#text(key).#text(text);
      return this;
    }
    const pairs = [...value].map(([key, text]) => ({ key, encoded: utf8(key), text }));
    pairs.sort((a, b) => a.encoded.length - b.encoded.length || compareBytes(a.encoded, b.encoded));
    for (const { key, text } of pairs) this.#text(key).#text(text);
    return this;
  }

  #text(text: string): this {
    // Nearly all text is short ASCII, for which the encoder's call costs more than its work.
    const before = this.#at;
    this.#head(MAJOR.TEXT, text.length);
    const at = this.#room(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) {
        this.#at = before;
        const encoded = utf8(text);
        this.#head(MAJOR.TEXT, encoded.length);
        this.#put(encoded);
        return this;
      }
      this.#bytes[at + i] = code;
    }
    return this;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at;
  }

  /** What was written, borrowed until the next writer is made. The writer is done with. */
  borrow(): Uint8Array<ArrayBuffer> {
    spare = this.#bytes;
    return this.#bytes.subarray(0, this.#at);
  }

  /** A copy of what was written. The writer is done with. */
  finish(): Uint8Array<ArrayBuffer> {
    return keep(this.borrow());
  }
}
