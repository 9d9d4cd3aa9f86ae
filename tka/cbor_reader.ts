/**
 * The second pass: reads well-formed CBOR (`cbor_check.ts`) into the fields of a Go struct, with Go's conversions.
 *
 * Go's decoder is not a strict schema, and every node of a tailnet must accept the same bytes, so this is its
 * behaviour and no stricter:
 *
 *   null, undefined   -> nil for slices, maps and pointers; for anything else the field keeps its zero value
 *   []byte            <- a byte string, or an array of small integers
 *   [32]byte          <- the same, cut or filled with zeros to 32
 *   uint8, uint64     <- an unsigned integer that fits, or an unassigned simple value
 *   struct            <- a map; field 5 has the key 5 or the text "5"; unknown keys are skipped, any key twice is an error
 *   map[string]string <- a map; a null key or value repeats the one before it
 *
 * Source: github.com/fxamacker/cbor/v2 decode.go, checked by the differential oracle.
 */
import { MAJOR } from "./cbor.ts";
import { checkOneItem } from "./cbor_check.ts";
import { TkaError } from "./errors.ts";

// A byte order mark is text like any other: dropping it would change the hash.
const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const UINT8_MAX = 0xffn;

/** Reads typed items one after the other. Bytes handed out are copies. */
export class CborReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  /** @param bytes already checked by `checkOneItem` or `checkFirstItem`. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  #refuse(what: string): never {
    throw new TkaError("malformed", `Cannot decode CBOR at byte ${this.#at}: want ${what}`);
  }

  /** The argument of the head that begins here; the position moves behind the head. */
  #head(): bigint {
    return BigInt(this.#smallHead());
  }

  /** As `#head`, exact up to 2^53 and else a bigint. */
  #smallHead(): number | bigint {
    const info = this.#bytes[this.#at++] & 31;
    if (info < 24) return info;
    let value = 0;
    const count = 1 << (info - 24);
    for (let i = 0; i < count; i++) value = value * 256 + this.#bytes[this.#at + i];
    if (value > Number.MAX_SAFE_INTEGER) {
      let big = 0n;
      for (let i = 0; i < 8; i++) big = big << 8n | BigInt(this.#bytes[this.#at + i]);
      this.#at += count;
      return big;
    }
    this.#at += count;
    return value;
  }

  #major(): number {
    return this.#bytes[this.#at] & 0xe0;
  }

  /** Consumes a null or undefined, if that is what comes. */
  isNil(): boolean {
    const nil = this.#bytes[this.#at] === 0xf6 || this.#bytes[this.#at] === 0xf7;
    if (nil) this.#at++;
    return nil;
  }

  /** Go's uint64; undefined for null. */
  uint64(): bigint | undefined {
    if (this.isNil()) return undefined;
    const initial = this.#bytes[this.#at];
    const simple = (initial & 0xe0) === MAJOR.SIMPLE && ((initial & 31) < 20 || (initial & 31) === 24);
    if ((initial & 0xe0) !== MAJOR.UINT && !simple) this.#refuse("an unsigned integer");
    return this.#head();
  }

  /** Go's uint8; undefined for null. */
  uint8(): number | undefined {
    const value = this.uint64();
    if (value !== undefined && value > UINT8_MAX) this.#refuse("an integer below 256");
    return value === undefined ? undefined : Number(value);
  }

  /** Go's []byte; null for nil. */
  byteSlice(): Uint8Array<ArrayBuffer> | null {
    if (this.isNil()) return null;
    const major = this.#major();
    if (major === MAJOR.BYTES) {
      const length = Number(this.#smallHead());
      const at = this.#at;
      this.#at += length;
      return this.#bytes.slice(at, at + length) as Uint8Array<ArrayBuffer>;
    }
    if (major !== MAJOR.ARRAY) this.#refuse("a byte string");
    const out = new Uint8Array(Number(this.#smallHead()));
    for (let i = 0; i < out.length; i++) out[i] = this.uint8() ?? 0;
    return out;
  }

  /** Go's *[32]byte; null for nil. */
  array32(): Uint8Array<ArrayBuffer> | null {
    if (this.isNil()) return null;
    const major = this.#major();
    const out = new Uint8Array(32);
    if (major === MAJOR.BYTES) {
      out.set((this.byteSlice() as Uint8Array).subarray(0, 32));
      return out;
    }
    if (major !== MAJOR.ARRAY) this.#refuse("32 bytes");
    const elements = Number(this.#smallHead());
    for (let i = 0; i < elements; i++) {
      if (i < 32) out[i] = this.uint8() ?? 0;
      else this.skip();
    }
    return out;
  }

  /** A slice of anything but bytes; null for nil. */
  slice<T>(element: (reader: CborReader) => T): T[] | null {
    if (this.isNil()) return null;
    if (this.#major() !== MAJOR.ARRAY) this.#refuse("an array");
    const elements = Number(this.#smallHead());
    const out: T[] = [];
    for (let i = 0; i < elements; i++) out.push(element(this));
    return out;
  }

  #text(): string {
    if (this.#major() !== MAJOR.TEXT) this.#refuse("text");
    const length = Number(this.#smallHead());
    const at = this.#at;
    this.#at += length;
    try {
      return textDecoder.decode(this.#bytes.subarray(at, at + length));
    } catch {
      return this.#refuse("valid UTF-8");
    }
  }

  /** Go's map[string]string; null for nil. */
  textMap(): Map<string, string> | null {
    if (this.isNil()) return null;
    if (this.#major() !== MAJOR.MAP) this.#refuse("a map");
    const pairs = Number(this.#smallHead());
    const out = new Map<string, string>();
    let key = "";
    let value = "";
    for (let i = 0; i < pairs; i++) {
      if (!this.isNil()) key = this.#text();
      if (!this.isNil()) value = this.#text();
      if (out.has(key)) this.#refuse("every key once");
      out.set(key, value);
    }
    return out;
  }

  /**
   * Reads a map into a struct: `read` is called for each of the struct's `fields` that is there and must consume its
   * value. Null leaves the struct as it is.
   */
  struct(fields: readonly number[], read: (field: number) => void): void {
    if (this.isNil()) return;
    if (this.#major() !== MAJOR.MAP) this.#refuse("a map");
    const pairs = Number(this.#smallHead());
    const seen = new Set<number | bigint | string>();
    for (let i = 0; i < pairs; i++) {
      const key = this.#key();
      const field = typeof key === "string" ? fields.find((number) => String(number) === key) : key;
      const known = typeof field === "number" && fields.includes(field);
      const name = known ? field : key;
      if (seen.has(name)) this.#refuse("every key once");
      seen.add(name);
      if (known) read(field);
      else this.skip();
    }
  }

  /** A map key: text, or an integer of 64 bits as Go holds it in an int64. */
  #key(): number | bigint | string {
    const major = this.#major();
    if (major === MAJOR.TEXT) return this.#text();
    if (major === MAJOR.UINT) {
      const value = this.#smallHead();
      return typeof value === "number" ? value : normal(BigInt.asIntN(64, value));
    }
    if (major !== MAJOR.NEGATIVE) this.#refuse("an integer or text as map key");
    const value = this.#head();
    if (value > 0x7fffffffffffffffn) this.#refuse("a map key of 64 bits");
    return normal(-1n - value);
  }

  /** Passes over one item. */
  skip(): void {
    const major = this.#major();
    const value = this.#smallHead();
    if (major === MAJOR.BYTES || major === MAJOR.TEXT) this.#at += Number(value);
    const items = major === MAJOR.ARRAY ? Number(value) : major === MAJOR.MAP ? 2 * Number(value) : 0;
    for (let i = 0; i < items; i++) this.skip();
  }
}

/** One integer, one representation, so that a Set finds it again. */
function normal(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/** Checks the bytes and reads them whole. @throws TkaError "malformed". */
export function readCbor<T>(bytes: Uint8Array, read: (reader: CborReader) => T): T {
  checkOneItem(bytes);
  return read(new CborReader(bytes));
}
