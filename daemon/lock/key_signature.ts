/**
 * Signatures that a node makes for its own new node key, so that a locked tailnet takes it at once.
 *
 *   first registration   a wrapped auth key brings a credential and the key to sign with
 *   renewal              control hands out the old key's signature; it goes inside a rotation signed by the lock key
 *
 * Source: controlclient/direct.go doLogin.
 */
import type { NodePublic } from "../../base/keys.ts";
import type { LockPrivate } from "../../base/lock_key.ts";
import type { Secret } from "../../base/secret.ts";
import { parseAuthKey } from "../../control/client/auth_key.ts";
import { TkaError } from "../../tka/errors.ts";
import {
  decodeNodeKeySignature,
  encodeNodeKeySignature,
  resignNodeKey,
  signByCredential,
} from "../../tka/node_key_signature.ts";

/** By the credential in an auth key; undefined when it has none, or a damaged one: control then says what is missing. */
export function signByAuthKey(authKey: Secret | undefined, nodeKey: NodePublic): Uint8Array | undefined {
  const parsed = authKey === undefined ? undefined : parseAuthKey(authKey);
  if (parsed === undefined || typeof parsed === "string" || parsed.credential === undefined) return undefined;
  const seed = parsed.credential.revealPrivateKey().subarray(0, 32);
  try {
    const credential = decodeNodeKeySignature(parsed.credential.signature);
    return encodeNodeKeySignature(signByCredential(seed, credential, nodeKey));
  } catch (cause) {
    if (cause instanceof TkaError) return undefined;
    throw cause;
  }
}

/** The old signature rotated to the new key; undefined when it does not decode. */
export function resign(lockKey: LockPrivate, nodeKey: NodePublic, oldSignature: Uint8Array): Uint8Array | undefined {
  try {
    return resignNodeKey(lockKey, nodeKey, oldSignature);
  } catch (cause) {
    if (cause instanceof TkaError) return undefined;
    throw cause;
  }
}
