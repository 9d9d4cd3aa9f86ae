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
 *   struct            <- a map; unknown keys are skipped, any key twice is an error
 *   map[string]string <- a map; a null key or value repeats the one before it
 *
 * Source: github.com/fxamacker/cbor/v2 v2.9.3 decode.go, checked by the differential oracle. Its v2.9.0, in Tailscale
 * before 1.104, took the text "5" for the key 5 and keys beyond 64 bits with a sign; nobody writes either.
 */
import { MAJOR } from "./cbor.ts";
import { checkOneItem } from "./cbor_check.ts";
import { TkaError } from "./errors.ts";
import { keep } from "./slab.ts";

// A byte order mark is text like any other: dropping it would change the hash.
const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const INT64_MAX = 0x7fffffffffffffffn;

/** Reads typed items one after the other. Bytes handed out are views of what it was given. */
export class CborReader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #at = 0;

  /** @param bytes already checked by `checkOneItem` or `checkFirstItem`; nobody may write to them any more. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  #refuse(what: string): never {
    throw new TkaError("malformed", `Cannot decode CBOR at byte ${this.#at}: want ${what}`);
  }

  /** The argument of the head that begins here: exact, a bigint beyond 2^53. The position moves behind the head. */
  #head(): number | bigint {
    const info = this.#bytes[this.#at++] & 31;
    if (info < 24) return info;
    const count = 1 << (info - 24);
    let value = 0;
    for (let i = 0; i < count; i++) value = value * 256 + this.#bytes[this.#at + i];
    this.#at += count;
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    let exact = 0n;
    for (let i = 8; i > 0; i--) exact = exact << 8n | BigInt(this.#bytes[this.#at - i]);
    return exact;
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

  /** An unsigned integer of any size, or a simple value that has no other meaning. */
  #unsigned(): number | bigint {
    const initial = this.#bytes[this.#at];
    const major = initial & 0xe0;
    const info = initial & 31;
    if (major !== MAJOR.UINT && !(major === MAJOR.SIMPLE && (info < 20 || info === 24))) {
      this.#refuse("an unsigned integer");
    }
    return this.#head();
  }

  /** Go's uint64; undefined for null. */
  uint64(): bigint | undefined {
    return this.isNil() ? undefined : BigInt(this.#unsigned());
  }

  /** Go's uint8; undefined for null. */
  uint8(): number | undefined {
    if (this.isNil()) return undefined;
    const value = this.#unsigned();
    if (value > 255) this.#refuse("an integer below 256");
    return Number(value);
  }

  /** Go's []byte; null for nil. */
  byteSlice(): Uint8Array<ArrayBuffer> | null {
    if (this.isNil()) return null;
    const major = this.#major();
    if (major === MAJOR.BYTES) {
      const length = Number(this.#head());
      const at = this.#at;
      this.#at += length;
      return this.#bytes.subarray(at, at + length);
    }
    if (major !== MAJOR.ARRAY) this.#refuse("a byte string");
    const out = new Uint8Array(Number(this.#head()));
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
    const elements = Number(this.#head());
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
    const elements = Number(this.#head());
    const out: T[] = [];
    for (let i = 0; i < elements; i++) out.push(element(this));
    return out;
  }

  #text(): string {
    if (this.#major() !== MAJOR.TEXT) this.#refuse("text");
    const length = Number(this.#head());
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    // Nearly all text is short ASCII, for which the decoder's call costs more than its work.
    if (length <= 64) {
      let text = "";
      let all = 0;
      for (let i = 0; i < length; i++) {
        text += String.fromCharCode(bytes[i]);
        all |= bytes[i];
      }
      if (all < 0x80) return text;
    }
    try {
      return textDecoder.decode(bytes);
    } catch {
      return this.#refuse("valid UTF-8");
    }
  }

  /** Go's map[string]string; null for nil. */
  textMap(): Map<string, string> | null {
    if (this.isNil()) return null;
    if (this.#major() !== MAJOR.MAP) this.#refuse("a map");
    const pairs = Number(this.#head());
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
    const pairs = Number(this.#head());
    let seen = 0; // a bit for each field
    let unknown: Set<number | bigint | string> | undefined;
    for (let i = 0; i < pairs; i++) {
      const key = this.#key();
      const at = typeof key === "number" ? fields.indexOf(key) : -1;
      if (at >= 0) {
        if ((seen & 1 << at) !== 0) this.#refuse("every key once");
        seen |= 1 << at;
        read(fields[at]);
      } else {
        unknown ??= new Set();
        if (unknown.has(key)) this.#refuse("every key once");
        unknown.add(key);
        this.skip();
      }
    }
  }

  /** A map key: text, or an integer of 64 bits with its sign. */
  #key(): number | bigint | string {
    const major = this.#major();
    if (major === MAJOR.TEXT) return this.#text();
    if (major !== MAJOR.UINT && major !== MAJOR.NEGATIVE) this.#refuse("an integer or text as map key");
    const value = this.#head();
    if (value > INT64_MAX) this.#refuse("a map key of 64 bits");
    return major === MAJOR.UINT ? value : normal(-1n - BigInt(value));
  }

  /** Passes over one item. */
  skip(): void {
    const major = this.#major();
    const value = this.#head();
    if (major === MAJOR.BYTES || major === MAJOR.TEXT) this.#at += Number(value);
    const items = major === MAJOR.ARRAY ? Number(value) : major === MAJOR.MAP ? 2 * Number(value) : 0;
    for (let i = 0; i < items; i++) this.skip();
  }
}

/** One integer, one representation, so that a Set finds it again. */
function normal(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/** Checks the bytes and reads a copy of them whole. @throws TkaError "malformed". */
export function readCbor<T>(bytes: Uint8Array, read: (reader: CborReader) => T): T {
  checkOneItem(bytes);
  return read(new CborReader(keep(bytes)));
}
