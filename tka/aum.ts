/**
 * An authority update message: one signed link of the chain that says which keys the tailnet trusts.
 *
 *   genesis (checkpoint) ◀─prev─ add-key ◀─prev─ … ◀─prev─ checkpoint ◀─prev─ remove-key   head
 *
 *   CBOR  1 kind · 2 previous hash or null · 3 key · 4 key ID · 5 state · 6 votes · 7 meta · 23 signatures
 *   hash      = BLAKE2s-256(all of it)                  names the AUM
 *   sig hash  = BLAKE2s-256(all but field 23)           is what Ed25519 signs
 *
 * Both are over our own encoding of what was decoded, never over the bytes received. Source: tka/aum.go.
 */
import { blake2s, blake2sHex } from "../base/blake2s.ts";
import type { AumHash } from "./aum_hash.ts";
import { aumHashBytes, aumHashOf, aumHashOfHex } from "./aum_hash.ts";
import type { AumKind } from "./aum_kind.ts";
import { AUM_KIND, aumKindName } from "./aum_kind.ts";
import { CborWriter } from "./cbor.ts";
import type { CborReader } from "./cbor_reader.ts";
import { readCbor } from "./cbor_reader.ts";
import { TkaError } from "./errors.ts";
import type { Key } from "./key.ts";
import { readKey, sameBytes, validateKey, writeKey } from "./key.ts";
import type { State } from "./state.ts";
import { findKey, readState, validateCheckpointState, writeState } from "./state.ts";
import { toHex } from "../base/bytes.ts";

/** One signature over an AUM. Null is Go's nil. */
export interface AumSignature {
  /** 32 bytes when valid. */
  readonly keyId: Uint8Array | null;
  /** 64 bytes when valid. */
  readonly signature: Uint8Array | null;
}

/** What an AUM says. Fields a kind does not use are absent; an empty one is not absent. */
export interface AumFields {
  readonly kind: AumKind;
  /** 32 bytes; null for a genesis. */
  readonly prevAumHash: Uint8Array | null;
  /** add-key: the key. */
  readonly key?: Key;
  /** remove-key, update-key: which. */
  readonly keyId?: Uint8Array;
  /** checkpoint: the state. */
  readonly state?: State;
  /** update-key: the new votes. */
  readonly votes?: bigint;
  /** update-key: the new metadata. */
  readonly meta?: ReadonlyMap<string, string>;
  readonly signatures: readonly AumSignature[];
}

/** Signs AUMs; `lockSigner` of `signature.ts` makes one of a lock key. */
export interface AumSigner {
  /** @param sigHash 32 bytes. */
  signAum(sigHash: Uint8Array): readonly AumSignature[];
}

/** An encoding, and the length of all in it that stands before the signatures. */
interface Encoded {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly unsigned: number;
}

function encode(aum: AumFields): Encoded {
  const out = new CborWriter();
  const keyIdSet = aum.keyId !== undefined && aum.keyId.length > 0;
  const metaSet = aum.meta !== undefined && aum.meta.size > 0;
  const signed = aum.signatures.length > 0;
  let fields = 2;
  if (aum.key !== undefined) fields++;
  if (keyIdSet) fields++;
  if (aum.state !== undefined) fields++;
  if (aum.votes !== undefined) fields++;
  if (metaSet) fields++;
  if (signed) fields++;
  out.map(fields);
  out.field(1).uint(aum.kind);
  out.field(2).bytes(aum.prevAumHash);
  if (aum.key !== undefined) writeKey(out.field(3), aum.key);
  if (keyIdSet) out.field(4).bytes(aum.keyId as Uint8Array);
  if (aum.state !== undefined) writeState(out.field(5), aum.state);
  if (aum.votes !== undefined) out.field(6).uint(aum.votes);
  if (metaSet) out.field(7).textMap(aum.meta as ReadonlyMap<string, string>);
  const unsigned = out.length;
  if (signed) {
    out.field(23).array(aum.signatures.length);
    for (const { keyId, signature } of aum.signatures) out.map(2).field(1).bytes(keyId).field(2).bytes(signature);
  }
  return { bytes: out.finish(), unsigned };
}

const FIELDS = [1, 2, 3, 4, 5, 6, 7, 23];
const SIGNATURE_FIELDS = [1, 2];

function readSignature(reader: CborReader): AumSignature {
  const signature: { keyId: Uint8Array | null; signature: Uint8Array | null } = { keyId: null, signature: null };
  reader.struct(SIGNATURE_FIELDS, (field) => {
    if (field === 1) signature.keyId = reader.byteSlice();
    else signature.signature = reader.byteSlice();
  });
  return signature;
}

/** Reads the struct where the reader stands: in a message of its own, or inside a store's record. */
export function readAum(reader: CborReader): Aum {
  const fields: { -readonly [Name in keyof AumFields]: AumFields[Name] } = {
    kind: 0,
    prevAumHash: null,
    signatures: [],
  };
  reader.struct(FIELDS, (field) => {
    switch (field) {
      case 1:
        fields.kind = reader.uint8() ?? 0;
        break;
      case 2:
        fields.prevAumHash = reader.byteSlice();
        break;
      case 3:
        if (!reader.isNil()) fields.key = readKey(reader);
        break;
      case 4:
        fields.keyId = reader.byteSlice() ?? undefined;
        break;
      case 5:
        if (!reader.isNil()) fields.state = readState(reader);
        break;
      case 6:
        fields.votes = reader.uint64();
        break;
      case 7:
        fields.meta = reader.textMap() ?? undefined;
        break;
      default:
        fields.signatures = reader.slice(readSignature) ?? [];
    }
  });
  return new Aum(fields);
}

/** An immutable AUM that computes its encoding and hashes once. */
export class Aum implements AumFields {
  readonly kind: AumKind;
  readonly prevAumHash: Uint8Array | null;
  readonly key?: Key;
  readonly keyId?: Uint8Array;
  readonly state?: State;
  readonly votes?: bigint;
  readonly meta?: ReadonlyMap<string, string>;
  readonly signatures: readonly AumSignature[];
  #encoded: Encoded | undefined;
  #hash: AumHash | undefined;
  #sigHash: Uint8Array<ArrayBuffer> | undefined;
  #parent: AumHash | undefined;

  constructor(fields: AumFields) {
    this.kind = fields.kind;
    this.prevAumHash = fields.prevAumHash;
    this.key = fields.key;
    this.keyId = fields.keyId;
    this.state = fields.state;
    this.votes = fields.votes;
    this.meta = fields.meta;
    this.signatures = fields.signatures;
  }

  /** Takes what Go's decoder takes. @throws TkaError "malformed". */
  static decode(bytes: Uint8Array): Aum {
    return readCbor(bytes, readAum);
  }

  /** The serialization of wire and disk; borrowed, do not write. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return (this.#encoded ??= encode(this)).bytes;
  }

  get hash(): AumHash {
    return this.#hash ??= aumHashOfHex(blake2sHex(this.bytes));
  }

  /** What signatures are over: 32 bytes, borrowed. */
  get sigHash(): Uint8Array<ArrayBuffer> {
    return this.#sigHash ??= this.#hashUnsigned();
  }

  /** Signatures come last, so what they are over is what stands before them, in a map of one field less. */
  #hashUnsigned(): Uint8Array<ArrayBuffer> {
    const { bytes, unsigned } = this.#encoded ??= encode(this);
    if (unsigned === bytes.length) return blake2s(bytes);
    const without = bytes.slice(0, unsigned);
    without[0]--;
    return blake2s(without);
  }

  /** The AUM before this one; undefined for a genesis. */
  get parent(): AumHash | undefined {
    if (this.prevAumHash === null || this.prevAumHash.length === 0) return undefined;
    return this.#parent ??= aumHashOf(this.prevAumHash);
  }

  /** The same AUM with more signatures, which has another hash and the same signature hash. */
  withSignatures(added: readonly AumSignature[]): Aum {
    return new Aum({ ...fieldsOf(this), signatures: [...this.signatures, ...added] });
  }

  toString(): string {
    return `${this.hash} (${aumKindName(this.kind)})`;
  }
}

function fieldsOf(aum: Aum): AumFields {
  const { kind, prevAumHash, key, keyId, state, votes, meta, signatures } = aum;
  return { kind, prevAumHash, key, keyId, state, votes, meta, signatures };
}

/** A new AUM that follows `parent`. */
export function aumAfter(parent: AumHash, fields: Omit<AumFields, "prevAumHash" | "signatures">): Aum {
  return new Aum({ ...fields, prevAumHash: aumHashBytes(parent), signatures: [] });
}

function refuse(what: string): never {
  throw new TkaError("invalid", `Cannot use this AUM: ${what}`);
}

/** The rules that need no state: sizes, and which fields a kind may have. @throws TkaError "invalid". */
export function validateAum(aum: AumFields): void {
  if (aum.key !== undefined) validateKey(aum.key);
  if (aum.prevAumHash?.length === 0) refuse("its parent is empty, want none or 32 bytes");
  for (const { keyId, signature } of aum.signatures) {
    if (keyId?.length !== 32 || signature?.length !== 64) {
      refuse(`a key ID of ${keyId?.length ?? 0} bytes and a signature of ${signature?.length ?? 0}, want 32 and 64`);
    }
  }
  if (aum.state !== undefined) validateCheckpointState(aum.state);
  const has = {
    key: aum.key !== undefined,
    "key ID": aum.keyId !== undefined,
    state: aum.state !== undefined,
    votes: aum.votes !== undefined,
    metadata: aum.meta !== undefined,
  };
  const only = (...allowed: (keyof typeof has)[]): void => {
    for (const [name, there] of Object.entries(has)) {
      if (there && !allowed.includes(name as keyof typeof has)) refuse(`${aumKindName(aum.kind)} with a ${name}`);
    }
  };
  const idMissing = aum.keyId === undefined || aum.keyId.length === 0;
  switch (aum.kind) {
    case AUM_KIND.ADD_KEY:
      if (!has.key) refuse("add-key without a key");
      only("key");
      break;
    case AUM_KIND.REMOVE_KEY:
      if (idMissing) refuse("remove-key without a key ID");
      only("key ID");
      break;
    case AUM_KIND.UPDATE_KEY:
      if (idMissing) refuse("update-key without a key ID");
      if (!has.votes && !has.metadata) refuse("update-key without votes or metadata");
      only("key ID", "votes", "metadata");
      break;
    case AUM_KIND.CHECKPOINT:
      if (!has.state) refuse("checkpoint without a state");
      only("state");
      break;
    default:
      // No rule for no-op, nor for kinds of later versions: old nodes must follow those.
  }
}

/** Sum of the votes of the distinct trusted keys that signed: decides forks. Signatures must be verified. */
export function aumWeight(aum: Aum, state: State): bigint {
  let weight = 0n;
  const counted: Uint8Array[] = [];
  for (const { keyId } of aum.signatures) {
    const key = keyId === null ? undefined : findKey(state, keyId);
    if (key === undefined || counted.some((id) => sameBytes(id, keyId as Uint8Array))) continue;
    weight += key.votes;
    counted.push(keyId as Uint8Array);
  }
  return weight;
}

/** For a log line: "tlpub:<hex>" of each signer. */
export function signersOf(aum: AumFields): string[] {
  return aum.signatures.map(({ keyId }) => `tlpub:${toHex(keyId ?? new Uint8Array(0))}`);
}
