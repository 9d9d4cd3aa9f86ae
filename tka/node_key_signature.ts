/**
 * The signature that makes a node key acceptable to a locked tailnet. Source: tka/sig.go.
 *
 *   direct      a trusted key signs (node key, the node's lock key as wrapping key)
 *   rotation    the wrapping key of the nested signature signs (new node key, nested signature)
 *   credential  a trusted key signs a wrapping key alone: an auth key that may sign one node key in its name
 *
 *   rotation{node key 3} ─nested─▶ rotation{node key 2} ─nested─▶ direct{node key 1, wrapping key W, key ID K}
 *        signed by W                     signed by W                    signed by K, which the state must trust
 *
 *   CBOR  1 kind · 2 node key ("np" + 32 bytes) · 3 key ID · 4 signature · 5 nested · 6 wrapping key
 *   signed is BLAKE2s-256 of the serialization without field 4
 *
 * CBOR may nest 16 deep, so a chain remembers at most 15 earlier node keys and is rebuilt shorter beyond that.
 */
import { blake2s } from "../base/blake2s.ts";
import { concat, toHex } from "../base/bytes.ts";
import { NodePublic } from "../base/keys.ts";
import { LockPrivate } from "../base/lock_key.ts";
import { CborWriter } from "./cbor.ts";
import type { CborReader } from "./cbor_reader.ts";
import { readCbor } from "./cbor_reader.ts";
import { TkaError } from "./errors.ts";
import type { Key } from "./key.ts";
import { sameBytes } from "./key.ts";
import { MAX_CBOR_NESTING } from "./limits.ts";
import { verifyByKey, verifyGoStd } from "./signature.ts";

export const SIG_KIND = { INVALID: 0, DIRECT: 1, ROTATION: 2, CREDENTIAL: 3 } as const;

const KIND_NAMES = ["invalid", "direct", "rotation", "credential"];

/** "direct" and so on, "Sig?<9>" for a kind of a later version. */
export function sigKindName(kind: number): string {
  return KIND_NAMES[kind] ?? `Sig?<${kind}>`;
}

/** Immutable. All byte fields are written only when they are not empty. */
export interface NodeKeySignature {
  readonly kind: number;
  /** The node key in binary form, 34 bytes; absent in a credential. */
  readonly pubkey?: Uint8Array;
  /** Which trusted key signed a direct or credential signature. */
  readonly keyId?: Uint8Array;
  readonly signature?: Uint8Array;
  /** What a rotation rotates. */
  readonly nested?: NodeKeySignature;
  /** The Ed25519 key that must sign a rotation of this; rotations between may leave it out. */
  readonly wrappingPubkey?: Uint8Array;
}

const NODE_KEY_PREFIX = Uint8Array.of(0x6e, 0x70); // "np"

/** A node key as signatures hold it: "np" and 32 bytes. */
export function nodeKeyBinary(key: NodePublic): Uint8Array<ArrayBuffer> {
  return concat(NODE_KEY_PREFIX, key.bytes);
}

function parseNodeKey(binary: Uint8Array | undefined): NodePublic {
  if (binary?.length !== 34 || binary[0] !== 0x6e || binary[1] !== 0x70) {
    throw new TkaError(
      "invalid",
      `Cannot use a nested signature for a node key of ${binary?.length ?? 0} bytes: want 34`,
    );
  }
  return new NodePublic(binary.subarray(2));
}

function write(out: CborWriter, sig: NodeKeySignature, withSignature: boolean): void {
  const set = (bytes: Uint8Array | undefined): bytes is Uint8Array => bytes !== undefined && bytes.length > 0;
  const { pubkey, keyId, nested, wrappingPubkey } = sig;
  const signature = withSignature ? sig.signature : undefined;
  const optional = [set(pubkey), set(keyId), set(signature), nested !== undefined, set(wrappingPubkey)];
  out.map(1 + optional.filter(Boolean).length);
  out.field(1).uint(sig.kind);
  if (set(pubkey)) out.field(2).bytes(pubkey);
  if (set(keyId)) out.field(3).bytes(keyId);
  if (set(signature)) out.field(4).bytes(signature);
  if (nested !== undefined) write(out.field(5), nested, true);
  if (set(wrappingPubkey)) out.field(6).bytes(wrappingPubkey);
}

/** The serialization of wire and disk. */
export function encodeNodeKeySignature(sig: NodeKeySignature): Uint8Array<ArrayBuffer> {
  const out = new CborWriter();
  write(out, sig, true);
  return out.finish();
}

const FIELDS = [1, 2, 3, 4, 5, 6];

function read(reader: CborReader): NodeKeySignature {
  const sig: { -readonly [Name in keyof NodeKeySignature]: NodeKeySignature[Name] } = { kind: 0 };
  reader.struct(FIELDS, (field) => {
    switch (field) {
      case 1:
        sig.kind = reader.uint8() ?? 0;
        break;
      case 2:
        sig.pubkey = reader.byteSlice() ?? undefined;
        break;
      case 3:
        sig.keyId = reader.byteSlice() ?? undefined;
        break;
      case 4:
        sig.signature = reader.byteSlice() ?? undefined;
        break;
      case 5:
        if (!reader.isNil()) sig.nested = read(reader);
        break;
      default:
        sig.wrappingPubkey = reader.byteSlice() ?? undefined;
    }
  });
  return sig;
}

/** Takes what Go's decoder takes. @throws TkaError "malformed". */
export function decodeNodeKeySignature(bytes: Uint8Array): NodeKeySignature {
  return readCbor(bytes, read);
}

/** What the signature is over: 32 bytes. */
export function nodeKeySigHash(sig: NodeKeySignature): Uint8Array<ArrayBuffer> {
  const out = new CborWriter();
  write(out, sig, false);
  return blake2s(out.borrow());
}

/**
 * The key that must sign a rotation of this signature. What it says is authentic only once `verifyNodeKeySignature`
 * accepted the whole.
 */
export function unverifiedWrappingKey(sig: NodeKeySignature): Uint8Array | undefined {
  if (sig.wrappingPubkey !== undefined && sig.wrappingPubkey.length > 0) return sig.wrappingPubkey;
  return sig.kind === SIG_KIND.ROTATION && sig.nested !== undefined ? unverifiedWrappingKey(sig.nested) : undefined;
}

/** The trusted key the signature goes back to; authentic only once verified. @throws TkaError "invalid". */
export function unverifiedAuthorizingKeyId(sig: NodeKeySignature): Uint8Array {
  switch (sig.kind) {
    case SIG_KIND.DIRECT:
    case SIG_KIND.CREDENTIAL:
      if (sig.keyId === undefined || sig.keyId.length === 0) {
        throw new TkaError("invalid", `Cannot use a ${sigKindName(sig.kind)} signature without a key ID`);
      }
      return sig.keyId;
    case SIG_KIND.ROTATION:
      if (sig.nested === undefined) throw new TkaError("invalid", "Cannot use a rotation signature that nests none");
      return unverifiedAuthorizingKeyId(sig.nested);
    default:
      throw new TkaError("invalid", `Cannot use a node-key signature of kind ${sigKindName(sig.kind)}`);
  }
}

/**
 * Checks that the signature authorizes the node key, by way of the trusted key it goes back to.
 * @param nodeKey binary form. @throws TkaError.
 */
export function verifyNodeKeySignature(sig: NodeKeySignature, nodeKey: Uint8Array, trusted: Key): void {
  if (sig.kind !== SIG_KIND.CREDENTIAL && !sameBytes(nodeKey, sig.pubkey ?? new Uint8Array(0))) {
    throw new TkaError("wrong-node-key", "Cannot accept a node key: its signature is for another one");
  }
  switch (sig.kind) {
    case SIG_KIND.ROTATION: {
      const { nested } = sig;
      if (nested === undefined) throw new TkaError("invalid", "Cannot use a rotation signature that nests none");
      const wrapping = unverifiedWrappingKey(nested);
      if (wrapping?.length !== 32) {
        throw new TkaError("invalid", `Cannot use a rotation key of ${wrapping?.length ?? 0} bytes: want 32`);
      }
      if (!verifyGoStd(wrapping, nodeKeySigHash(sig), sig.signature ?? new Uint8Array(0))) {
        throw new TkaError("bad-signature", `Cannot accept a rotation by tlpub:${toHex(wrapping)}: it does not verify`);
      }
      const certifiesNode = nested.kind !== SIG_KIND.CREDENTIAL;
      const nestedKey = certifiesNode ? nodeKeyBinary(parseNodeKey(nested.pubkey)) : new Uint8Array(0);
      verifyNodeKeySignature(nested, nestedKey, trusted);
      return;
    }
    case SIG_KIND.DIRECT:
    case SIG_KIND.CREDENTIAL:
      if (sig.nested !== undefined) {
        throw new TkaError("invalid", `Cannot use a ${sigKindName(sig.kind)} signature that nests another`);
      }
      verifyByKey(trusted, nodeKeySigHash(sig), sig.signature ?? null);
      return;
    default:
      throw new TkaError("invalid", `Cannot use a node-key signature of kind ${sigKindName(sig.kind)}`);
  }
}

/** What a valid rotation says about the node's past: for dropping the peers it replaces. */
export interface RotationDetails {
  /** Node keys that were rotated out, newest first. */
  readonly previousNodeKeys: readonly NodePublic[];
  /** The direct or credential signature at the end of the chain. */
  readonly initial: NodeKeySignature;
}

/** Undefined for anything but a rotation. @throws TkaError "invalid". */
export function rotationDetails(sig: NodeKeySignature): RotationDetails | undefined {
  if (sig.kind !== SIG_KIND.ROTATION) return undefined;
  const { keys, initial } = chainBelow(sig);
  return { previousNodeKeys: keys.map(parseNodeKey), initial };
}

/** Walks a rotation down to the signature it began with, collecting the node keys on the way, newest first. */
function chainBelow(sig: NodeKeySignature): { keys: Uint8Array[]; initial: NodeKeySignature } {
  const keys: Uint8Array[] = [];
  let at = sig;
  while (at.kind === SIG_KIND.ROTATION && at.nested !== undefined) {
    at = at.nested;
    if (at.pubkey !== undefined && at.pubkey.length > 0) keys.push(at.pubkey);
  }
  return { keys, initial: at };
}

function signed(key: LockPrivate, sig: NodeKeySignature): NodeKeySignature {
  return { ...sig, signature: key.sign(nodeKeySigHash(sig)) };
}

/** Signs a node key directly. @param rotationKey the node's own lock key, so that it may rotate; 32 bytes. */
export function signNodeKey(signer: LockPrivate, nodeKey: NodePublic, rotationKey?: Uint8Array): NodeKeySignature {
  return signed(signer, {
    kind: SIG_KIND.DIRECT,
    keyId: signer.public.bytes,
    pubkey: nodeKeyBinary(nodeKey),
    ...(rotationKey === undefined ? {} : { wrappingPubkey: rotationKey }),
  });
}

/** Certifies a wrapping key: what a wrapped auth key carries. @param wrapping public key, 32 bytes. */
export function signCredential(signer: LockPrivate, wrapping: Uint8Array): NodeKeySignature {
  return signed(signer, { kind: SIG_KIND.CREDENTIAL, keyId: signer.public.bytes, wrappingPubkey: wrapping });
}

/**
 * The signature of a node's new key: the old signature inside a rotation signed by the node's lock key. The old bytes
 * come back as they are when they are for this node key already. @throws TkaError "malformed".
 */
export function resignNodeKey(lockKey: LockPrivate, nodeKey: NodePublic, old: Uint8Array): Uint8Array<ArrayBuffer> {
  const oldSig = decodeNodeKeySignature(old);
  const binary = nodeKeyBinary(nodeKey);
  if (sameBytes(binary, oldSig.pubkey ?? new Uint8Array(0))) return new Uint8Array(old);
  const nested = trimmed(oldSig, lockKey);
  return encodeNodeKeySignature(signed(lockKey, { kind: SIG_KIND.ROTATION, pubkey: binary, nested }));
}

/**
 * A chain that another rotation fits around: of more than 15 signatures it is signed again from its beginning.
 *
 * Upstream counts node keys instead. A credential has none, so its 16th rotation of a node that joined with a wrapped
 * auth key nests 17 deep, which nobody decodes: that node is locked out.
 */
function trimmed(sig: NodeKeySignature, lockKey: LockPrivate): NodeKeySignature {
  if (sig.kind !== SIG_KIND.ROTATION) return sig;
  let levels = 1;
  for (let at = sig.nested; at !== undefined; at = at.nested) levels++;
  if (levels < MAX_CBOR_NESTING) return sig;
  const { keys, initial } = chainBelow(sig);
  const newestFirst = [sig.pubkey ?? new Uint8Array(0), ...keys];
  let result = initial;
  for (const pubkey of newestFirst.slice(0, MAX_CBOR_NESTING - 2).reverse()) {
    result = signed(lockKey, { kind: SIG_KIND.ROTATION, pubkey, nested: result });
  }
  return result;
}

/**
 * Signs a node key with the private key of a wrapped auth key. @param seed 32 bytes of Ed25519.
 * @throws TkaError "invalid" unless `credential` is one.
 */
export function signByCredential(
  seed: Uint8Array,
  credential: NodeKeySignature,
  nodeKey: NodePublic,
): NodeKeySignature {
  if (credential.kind !== SIG_KIND.CREDENTIAL) {
    throw new TkaError("invalid", `Cannot sign with a ${sigKindName(credential.kind)} signature: want a credential`);
  }
  const sig = { kind: SIG_KIND.ROTATION, pubkey: nodeKeyBinary(nodeKey), nested: credential };
  return signed(new LockPrivate(seed), sig);
}

/** The tree that `lock status` prints, two spaces a level. */
export function nodeKeySignatureText(sig: NodeKeySignature): string {
  const lines: string[] = [];
  for (let at: NodeKeySignature | undefined = sig, indent = ""; at !== undefined; at = at.nested, indent += "  ") {
    const line = (text: string) => lines.push(indent + text);
    line(`SigKind: ${sigKindName(at.kind)}`);
    if (at.pubkey !== undefined && at.pubkey.length > 0) line(`Pubkey: ${nodeKeyText(at.pubkey)}`);
    if (at.keyId !== undefined && at.keyId.length > 0) line(`KeyID: ${lockKeyText(at.keyId)}`);
    if (at.wrappingPubkey !== undefined && at.wrappingPubkey.length > 0) {
      line(`WrappingPubkey: ${lockKeyText(at.wrappingPubkey)}`);
    }
    if (at.nested !== undefined) line("Nested:");
  }
  return lines.join("\n");
}

function nodeKeyText(binary: Uint8Array): string {
  try {
    return parseNodeKey(binary).shortString();
  } catch {
    return `<error: ${binary.length} bytes are not a node key>`;
  }
}

/** `tlpub:` and exactly 32 bytes in hex, as Go copies any length into a key. */
function lockKeyText(bytes: Uint8Array): string {
  const key = new Uint8Array(32);
  key.set(bytes.subarray(0, 32));
  return `tlpub:${toHex(key)}`;
}
