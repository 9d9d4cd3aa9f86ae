/**
 * Tailnet-lock keys: Ed25519, made once per profile and kept in the state file.
 * Source: tailscale.com/types/key/nl.go. Text: `nlpriv:` + 128 hex (seed, then public), `nlpub:`/`tlpub:` + 64 hex.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { equalBytes, fromHex, toHex } from "./bytes.ts";
import type { RandomBytes } from "./keys.ts";

/** A tailnet-lock public key; its 32 bytes are also its key ID. */
export class LockPublic {
  readonly #bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array) {
    if (bytes.length !== 32) throw new RangeError(`Cannot use a tailnet-lock key of ${bytes.length} bytes, want 32`);
    this.#bytes = new Uint8Array(bytes);
  }

  /** Accepts both spellings, `nlpub:` of the wire and `tlpub:` of the command line. */
  static parse(text: string): LockPublic | undefined {
    if (!text.startsWith("nlpub:") && !text.startsWith("tlpub:")) return undefined;
    const bytes = fromHex(text.slice(6));
    return bytes?.length === 32 ? new LockPublic(bytes) : undefined;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  equals(other: LockPublic): boolean {
    return equalBytes(this.#bytes, other.#bytes);
  }

  /** `nlpub:<hex>`, the spelling of the wire and of JSON. */
  toString(): string {
    return `nlpub:${toHex(this.#bytes)}`;
  }

  toJSON(): string {
    return this.toString();
  }

  /** `tlpub:<hex>`, the spelling of the command line. */
  cliString(): string {
    return `tlpub:${toHex(this.#bytes)}`;
  }
}

/** A tailnet-lock private key; prints `[redacted]`. */
export class LockPrivate {
  readonly #seed: Uint8Array<ArrayBuffer>;
  readonly public: LockPublic;

  constructor(seed: Uint8Array) {
    this.#seed = new Uint8Array(seed);
    this.public = new LockPublic(ed25519.getPublicKey(this.#seed));
  }

  static generate(random: RandomBytes): LockPrivate {
    return new LockPrivate(random(32));
  }

  /** Undefined unless it is `nlpriv:` with a seed and the public key that belongs to it. */
  static parse(text: string): LockPrivate | undefined {
    if (!text.startsWith("nlpriv:")) return undefined;
    const bytes = fromHex(text.slice(7));
    if (bytes?.length !== 64) return undefined;
    const key = new LockPrivate(bytes.subarray(0, 32));
    return equalBytes(key.public.bytes, bytes.subarray(32)) ? key : undefined;
  }

  /** `nlpriv:<seed><public>`, for the state file only. */
  revealText(): string {
    return `nlpriv:${toHex(this.#seed)}${toHex(this.public.bytes)}`;
  }

  /** RFC 8032 signature, 64 bytes. */
  sign(message: Uint8Array): Uint8Array {
    return ed25519.sign(message, this.#seed);
  }

  toString(): string {
    return "[redacted]";
  }

  toJSON(): string {
    return "[redacted]";
  }

  [Symbol.for("Deno.customInspect")](): string {
    return "[redacted]";
  }
}
