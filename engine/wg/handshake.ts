/**
 * Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard uses it (whitepaper 5.4.1 to 5.4.5). Pure functions over bytes:
 * ephemerals, timestamps and indices come in, so that tests can fix every byte.
 *
 * ```
 *   IKpsk2:   <- s   (the initiator knows the responder's static key)
 *   1  -> e, es, s, ss, {timestamp}          createInitiation    openInitiation, then verifyInitiation
 *   2  <- e, ee, se, psk, {}                 consumeResponse     createResponse
 * ```
 * Messages come out with both MACs zero (`cookie.ts` fills them) and are read whatever their MACs are. Opening an
 * initiation takes two steps because the key of the second is known only after the first has named the peer.
 */
import type { Drop } from "../../base/drops.ts";
import type { NodePrivate, NodePublic } from "../../base/keys.ts";
import { SymmetricState } from "../../base/noise.ts";
import { X25519Private } from "../../base/x25519.ts";
import { utf8 } from "../../base/bytes.ts";
import { decodeInitiation, decodeResponse, encodeInitiation, encodeResponse } from "./messages.ts";

const CONSTRUCTION = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER = utf8("WireGuard v1 zx2c4 Jason@zx2c4.com");
/** Tailscale uses no preshared keys: 32 zeros (5.2). */
export const NO_PRESHARED_KEY: Uint8Array = new Uint8Array(32);

/** The two keys of a session, from the side that holds them. To be wiped once they are in the AEAD provider. */
export interface SessionKeys {
  readonly send: Uint8Array<ArrayBuffer>;
  readonly receive: Uint8Array<ArrayBuffer>;
}

/** What an initiator keeps until the response comes. */
export interface SentInitiation {
  readonly noise: SymmetricState;
  readonly ephemeral: X25519Private;
}

/** An initiation whose sender is named but not yet authenticated. */
export interface OpenedInitiation {
  readonly noise: SymmetricState;
  /** The sender's index. */
  readonly sender: number;
  /** 32 bytes: who the message says it is from. */
  readonly remoteStatic: Uint8Array;
  /** 32 bytes, borrowed from the message. */
  readonly remoteEphemeral: Uint8Array;
  readonly sealedTimestamp: Uint8Array;
}

/** A response accepted. */
export interface ConsumedResponse {
  /** The responder's index. */
  readonly sender: number;
  readonly keys: SessionKeys;
}

function start(responderStatic: Uint8Array): SymmetricState {
  const noise = SymmetricState.initialize(CONSTRUCTION);
  noise.mixHash(IDENTIFIER);
  noise.mixHash(responderStatic);
  return noise;
}

/**
 * Message 1.
 * @param remote The responder.
 * @param staticStatic X25519 between our static key and `remote`.
 * @param ephemeral 32 random bytes, never used before.
 * @param timestamp TAI64N, 12 bytes.
 * @param index Our receiver index.
 * @returns "low-order-key" when `remote` is no key to agree a secret with.
 */
export function createInitiation(
  local: NodePrivate,
  remote: NodePublic,
  staticStatic: Uint8Array,
  ephemeral: Uint8Array,
  timestamp: Uint8Array,
  index: number,
): { readonly message: Uint8Array<ArrayBuffer>; readonly sent: SentInitiation } | Drop {
  const ours = new X25519Private(ephemeral);
  const ephemeralStatic = ours.sharedSecret(remote.bytes);
  if (ephemeralStatic === undefined) return "low-order-key";
  const noise = start(remote.bytes);
  noise.mixChainingKey(ours.publicKey);
  noise.mixHash(ours.publicKey);
  noise.mixKey(ephemeralStatic);
  const sealedStatic = noise.encryptAndHash(local.public.bytes);
  noise.mixKey(staticStatic);
  const sealedTimestamp = noise.encryptAndHash(timestamp);
  const message = encodeInitiation({ sender: index, ephemeral: ours.publicKey, sealedStatic, sealedTimestamp });
  return { message, sent: { noise, ephemeral: ours } };
}

/** First half of consuming message 1: who it claims to come from. */
export function openInitiation(local: NodePrivate, message: Uint8Array): OpenedInitiation | Drop {
  const { sender, ephemeral, sealedStatic, sealedTimestamp } = decodeInitiation(message);
  const noise = start(local.public.bytes);
  noise.mixChainingKey(ephemeral);
  noise.mixHash(ephemeral);
  const ephemeralStatic = local.sharedSecret(ephemeral);
  if (ephemeralStatic === undefined) return "low-order-key";
  noise.mixKey(ephemeralStatic);
  const remoteStatic = noise.decryptAndHash(sealedStatic);
  if (remoteStatic === undefined) return "handshake-crypto";
  return { noise, sender, remoteStatic, remoteEphemeral: ephemeral, sealedTimestamp };
}

/**
 * Second half: proves the sender and gives its timestamp, 12 bytes, or says why not. Uses `opened` up.
 * @param staticStatic X25519 of both static keys, undefined where the sender's is of low order
 */
export function verifyInitiation(opened: OpenedInitiation, staticStatic: Uint8Array | undefined): Uint8Array | Drop {
  if (staticStatic === undefined) return "low-order-key";
  opened.noise.mixKey(staticStatic);
  return opened.noise.decryptAndHash(opened.sealedTimestamp) ?? "handshake-crypto";
}

/**
 * Message 2, and the session it makes. Uses `opened`, which must have been verified, up.
 * @param ephemeral 32 random bytes, never used before.
 * @param index Our receiver index.
 */
export function createResponse(
  opened: OpenedInitiation,
  ephemeral: Uint8Array,
  index: number,
  presharedKey: Uint8Array = NO_PRESHARED_KEY,
): { readonly message: Uint8Array<ArrayBuffer>; readonly keys: SessionKeys } | Drop {
  const { noise, sender, remoteStatic, remoteEphemeral } = opened;
  const ours = new X25519Private(ephemeral);
  const ephemeralEphemeral = ours.sharedSecret(remoteEphemeral);
  const staticEphemeral = ours.sharedSecret(remoteStatic);
  if (ephemeralEphemeral === undefined || staticEphemeral === undefined) return "low-order-key";
  noise.mixHash(ours.publicKey);
  noise.mixChainingKey(ours.publicKey);
  noise.mixChainingKey(ephemeralEphemeral);
  noise.mixChainingKey(staticEphemeral);
  noise.mixKeyAndHash(presharedKey);
  const sealedEmpty = noise.encryptAndHash(new Uint8Array(0));
  const message = encodeResponse({ sender: index, receiver: sender, ephemeral: ours.publicKey, sealedEmpty });
  const { initiatorToResponder, responderToInitiator } = noise.split();
  noise.wipe();
  return { message, keys: { send: responderToInitiator, receive: initiatorToResponder } };
}

/** Consumes message 2 and wipes `sent`. A forged one leaves `sent` as it was, so that the true one can still come. */
export function consumeResponse(
  local: NodePrivate,
  sent: SentInitiation,
  message: Uint8Array,
  presharedKey: Uint8Array = NO_PRESHARED_KEY,
): ConsumedResponse | Drop {
  const { sender, ephemeral, sealedEmpty } = decodeResponse(message);
  const ephemeralEphemeral = sent.ephemeral.sharedSecret(ephemeral);
  const staticEphemeral = local.sharedSecret(ephemeral);
  if (ephemeralEphemeral === undefined || staticEphemeral === undefined) return "low-order-key";
  const noise = sent.noise.clone();
  noise.mixHash(ephemeral);
  noise.mixChainingKey(ephemeral);
  noise.mixChainingKey(ephemeralEphemeral);
  noise.mixChainingKey(staticEphemeral);
  noise.mixKeyAndHash(presharedKey);
  if (noise.decryptAndHash(sealedEmpty) === undefined) return "handshake-crypto";
  const { initiatorToResponder, responderToInitiator } = noise.split();
  noise.wipe();
  sent.noise.wipe();
  return { sender, keys: { send: initiatorToResponder, receive: responderToInitiator } };
}
