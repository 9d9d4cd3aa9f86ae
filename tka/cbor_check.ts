/**
 * The first of two passes over CBOR from outside: is it one well-formed item within the limits, without tags and
 * indefinite lengths, and nothing behind it? Allocates nothing, so that a lying length costs nothing.
 *
 * As lenient as Go's decoder with upstream's options (fxamacker/cbor: tags and indefinite lengths forbidden, nesting
 * 16, arrays 4096, maps 1024): integers and lengths need not be the shortest, floats and simple values may stand in
 * fields nobody reads. What was accepted is hashed in our own re-encoding, so leniency does not make two hashes of one
 * message.
 */
import { TkaError } from "./errors.ts";
import { MAX_CBOR_ARRAY, MAX_CBOR_NESTING, MAX_CBOR_PAIRS } from "./limits.ts";

function malformed(what: string): never {
  throw new TkaError("malformed", `Cannot decode CBOR: ${what}`);
}

class Check {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get at(): number {
    return this.#at;
  }

  /** Reads `count` bytes as a number; exact while it matters, as anything above 2^53 is over every limit. */
  #argument(count: number): number {
    if (this.#at + count > this.#bytes.length) malformed("it ends inside a length");
    let value = 0;
    for (let i = 0; i < count; i++) value = value * 256 + this.#bytes[this.#at++];
    return value;
  }

  item(depth: number): void {
    if (this.#at >= this.#bytes.length) malformed("it ends where an item should begin");
    const initial = this.#bytes[this.#at++];
    const major = initial >> 5;
    const info = initial & 31;
    if (info > 27) malformed(info === 31 ? "an indefinite length" : `additional information ${info}`);
    const value = info < 24 ? info : this.#argument(1 << (info - 24));
    switch (major) {
      case 2:
      case 3:
        if (value > this.#bytes.length - this.#at) malformed(`a string of ${value} bytes that are not there`);
        this.#at += value;
        return;
      case 4:
        if (depth === MAX_CBOR_NESTING) malformed(`nesting deeper than ${MAX_CBOR_NESTING}`);
        if (value > MAX_CBOR_ARRAY) malformed(`an array of ${value} elements, want at most ${MAX_CBOR_ARRAY}`);
        for (let i = 0; i < value; i++) this.item(depth + 1);
        return;
      case 5:
        if (depth === MAX_CBOR_NESTING) malformed(`nesting deeper than ${MAX_CBOR_NESTING}`);
        if (value > MAX_CBOR_PAIRS) malformed(`a map of ${value} pairs, want at most ${MAX_CBOR_PAIRS}`);
        for (let i = 0; i < 2 * value; i++) this.item(depth + 1);
        return;
      case 6:
        malformed("a tag");
        break;
      case 7:
        if (info === 24 && value < 32) malformed(`simple value ${value} in two bytes`);
    }
  }
}

/** Returns the length of the first item. @throws TkaError "malformed". */
export function checkFirstItem(bytes: Uint8Array): number {
  const check = new Check(bytes);
  check.item(0);
  return check.at;
}

/** @throws TkaError "malformed" unless the bytes are exactly one acceptable item. */
export function checkOneItem(bytes: Uint8Array): void {
  const length = checkFirstItem(bytes);
  if (length !== bytes.length) malformed(`${bytes.length - length} bytes behind the item`);
}
