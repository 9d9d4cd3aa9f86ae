/**
 * The keys of a tailnet and their texts.
 *
 * | key      | public text      | private text      | use |
 * |----------|------------------|-------------------|-----|
 * | node     | `nodekey:<hex>`  | `privkey:<hex>`   | WireGuard identity, registered with control |
 * | machine  | `mkey:<hex>`     | `privkey:<hex>`   | the Noise channel to control |
 * | disco    | `discokey:<hex>` | never written     | path discovery, new at each start |
 * | lock     | `nlpub:<hex>`    | `nlpriv:<hex>`    | Ed25519, Tailnet Lock |
 *
 * Source: tailscale.com/types/key. Private keys print `[redacted]` however they are printed.
 */
import { equalBytes, fromHex, isZero, toBase64, toHex } from "./bytes.ts";
import { clamp, X25519Private } from "./x25519.ts";

const inspect = Symbol.for("Deno.customInspect");

/** Fills an array with random bytes; passed in so that transcripts can be fixed. */
export type RandomBytes = (length: number) => Uint8Array<ArrayBuffer>;

function parsePrefixed(text: string, prefix: string, length: number): Uint8Array<ArrayBuffer> | undefined {
  if (!text.startsWith(prefix)) return undefined;
  const bytes = fromHex(text.slice(prefix.length));
  return bytes?.length === length ? bytes : undefined;
}

abstract class PublicKey {
  abstract readonly prefix: string;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #hex: string;

  /** @param bytes 32 bytes, copied. @throws RangeError for another length. */
  constructor(bytes: Uint8Array) {
    if (bytes.length !== 32) throw new RangeError(`Cannot use a public key of ${bytes.length} bytes, want 32`);
    this.#bytes = new Uint8Array(bytes);
    this.#hex = toHex(this.#bytes);
  }

  /** The 32 bytes, borrowed: do not write. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** 64 hex digits, good as a map key. */
  get hex(): string {
    return this.#hex;
  }

  get isZero(): boolean {
    return isZero(this.#bytes);
  }

  equals(other: PublicKey | undefined): boolean {
    return other !== undefined && other.prefix === this.prefix && equalBytes(this.#bytes, other.#bytes);
  }

  /** The text form with its prefix. */
  toString(): string {
    return this.prefix + this.#hex;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect](): string {
    return this.toString();
  }
}

/** A node's WireGuard public key. */
export class NodePublic extends PublicKey {
  static readonly PREFIX = "nodekey:";
  readonly prefix = NodePublic.PREFIX;

  static parse(text: string): NodePublic | undefined {
    const bytes = parsePrefixed(text, NodePublic.PREFIX, 32);
    return bytes && new NodePublic(bytes);
  }

  /** "[OTB3a]": the first five base64 digits, as in logs of all WireGuard programs. */
  shortString(): string {
    return `[${toBase64(this.bytes).slice(0, 5)}]`;
  }
}

/** The key of a machine or of a control server. */
export class MachinePublic extends PublicKey {
  static readonly PREFIX = "mkey:";
  readonly prefix = MachinePublic.PREFIX;

  static parse(text: string): MachinePublic | undefined {
    const bytes = parsePrefixed(text, MachinePublic.PREFIX, 32);
    return bytes && new MachinePublic(bytes);
  }
}

/** The key a node's disco messages are sealed with. */
export class DiscoPublic extends PublicKey {
  static readonly PREFIX = "discokey:";
  readonly prefix = DiscoPublic.PREFIX;

  static parse(text: string): DiscoPublic | undefined {
    const bytes = parsePrefixed(text, DiscoPublic.PREFIX, 32);
    return bytes && new DiscoPublic(bytes);
  }

  /** "d:0123456789abcdef": the first eight bytes, as in Tailscale's logs. */
  shortString(): string {
    return `d:${this.hex.slice(0, 16)}`;
  }
}

abstract class PrivateKey {
  readonly #scalar: Uint8Array<ArrayBuffer>;
  #x25519: X25519Private | undefined;

  constructor(scalar: Uint8Array) {
    if (scalar.length !== 32) throw new RangeError(`Cannot use a private key of ${scalar.length} bytes, want 32`);
    this.#scalar = new Uint8Array(scalar);
  }

  /** The 32 secret bytes, copied, for storage and for the worker that needs them. */
  reveal(): Uint8Array<ArrayBuffer> {
    return this.#scalar.slice();
  }

  /** `privkey:<hex>`, for the state file only. */
  revealText(): string {
    return `privkey:${toHex(this.#scalar)}`;
  }

  protected get x25519(): X25519Private {
    return this.#x25519 ??= new X25519Private(this.#scalar);
  }

  protected get publicBytes(): Uint8Array<ArrayBuffer> {
    return this.x25519.publicKey;
  }

  /** X25519 with a peer's 32 bytes; undefined for a low-order key. */
  sharedSecret(publicKey: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    return this.x25519.sharedSecret(publicKey);
  }

  toString(): string {
    return "[redacted]";
  }

  toJSON(): string {
    return "[redacted]";
  }

  [inspect](): string {
    return "[redacted]";
  }
}

/** A node's WireGuard private key. */
export class NodePrivate extends PrivateKey {
  #public: NodePublic | undefined;

  static generate(random: RandomBytes): NodePrivate {
    return new NodePrivate(clamp(random(32)));
  }

  static parse(text: string): NodePrivate | undefined {
    const bytes = parsePrefixed(text, "privkey:", 32);
    return bytes && new NodePrivate(bytes);
  }

  get public(): NodePublic {
    return this.#public ??= new NodePublic(this.publicBytes);
  }
}

/** The key of this machine (or control server) on the Noise channel. */
export class MachinePrivate extends PrivateKey {
  #public: MachinePublic | undefined;

  static generate(random: RandomBytes): MachinePrivate {
    return new MachinePrivate(clamp(random(32)));
  }

  static parse(text: string): MachinePrivate | undefined {
    const bytes = parsePrefixed(text, "privkey:", 32);
    return bytes && new MachinePrivate(bytes);
  }

  get public(): MachinePublic {
    return this.#public ??= new MachinePublic(this.publicBytes);
  }
}

/** The private half of a disco key; lives in memory only. */
export class DiscoPrivate extends PrivateKey {
  #public: DiscoPublic | undefined;

  static generate(random: RandomBytes): DiscoPrivate {
    return new DiscoPrivate(clamp(random(32)));
  }

  get public(): DiscoPublic {
    return this.#public ??= new DiscoPublic(this.publicBytes);
  }
}
