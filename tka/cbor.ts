/**
 * CBOR as Tailnet Lock writes it: the CTAP2 canonical form (RFC 8949 4.2, CTAP 2 "message encoding").
 *
 *   shortest integers · definite lengths · map keys in bytewise order of their encoding · no tags · no floats
 *
 * Hashes and signatures cover what these functions write, so every byte matters: Go's nil slice is `f6` where an empty
 * one is `40` or `80`. Maps have keys 1 to 23 only, one byte each; their writers put fields in ascending order.
 * Reading is in `cbor_reader.ts`.
 */
import { ByteWriter, compareBytes, utf8 } from "../base/bytes.ts";

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

/** UTF-8; nearly all text is short ASCII, for which the encoder's call costs more than its work. */
function textBytes(text: string): Uint8Array {
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return utf8(text);
    out[i] = code;
  }
  return out;
}

/** Appends CBOR items to a byte string. */
export class CborWriter {
  readonly #out: ByteWriter;

  constructor(capacity = 256) {
    this.#out = new ByteWriter(capacity);
  }

  #head(major: number, value: number): void {
    const out = this.#out;
    if (value < 24) out.u8(major | value);
    else if (value < 0x100) out.u8(major | 24).u8(value);
    else if (value < 0x10000) out.u8(major | 25).u16be(value);
    else if (value < 0x100000000) out.u8(major | 26).u32be(value);
    else out.u8(major | 27).u64be(BigInt(value));
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
    this.#out.u8(number);
    return this;
  }

  uint(value: number | bigint): this {
    if (typeof value === "bigint" && value > 0xffffffffn) this.#out.u8(MAJOR.UINT | 27).u64be(value);
    else this.#head(MAJOR.UINT, Number(value));
    return this;
  }

  /** A byte string, or null for Go's nil slice. */
  bytes(value: Uint8Array | null): this {
    if (value === null) return this.null();
    this.#head(MAJOR.BYTES, value.length);
    this.#out.bytes(value);
    return this;
  }

  null(): this {
    this.#out.u8(NULL);
    return this;
  }

  /** A map from text to text, sorted bytewise by encoded key: shorter keys first. */
  textMap(value: ReadonlyMap<string, string>): this {
    const pairs = [...value].map(([key, text]) => ({ key: textBytes(key), text: textBytes(text) }));
    pairs.sort((a, b) => a.key.length - b.key.length || compareBytes(a.key, b.key));
    this.map(pairs.length);
    for (const { key, text } of pairs) {
      this.#head(MAJOR.TEXT, key.length);
      this.#out.bytes(key);
      this.#head(MAJOR.TEXT, text.length);
      this.#out.bytes(text);
    }
    return this;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#out.finish();
  }
}
