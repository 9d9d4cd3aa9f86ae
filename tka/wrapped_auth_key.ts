/**
 * An auth key that brings its own signature, so that a new node joins a locked tailnet without anyone awake:
 *
 *   tskey-auth-…--TL<base64 of a credential signature>-<base64 of an Ed25519 private key>
 *
 * Both base64 parts are standard and unpadded. The suffix never leaves the node: control gets the auth key alone.
 * Source: tka.DecodeWrappedAuthkey, ipnlocal.TailnetLockWrapPreauthKey.
 */
import { concat, toBase64 } from "../base/bytes.ts";
import { LockPrivate } from "../base/lock_key.ts";
import type { RandomBytes } from "../base/keys.ts";
import { Secret } from "../base/secret.ts";
import type { NodeKeySignature } from "./node_key_signature.ts";
import { decodeNodeKeySignature, encodeNodeKeySignature, signCredential } from "./node_key_signature.ts";

/** The parts of an auth key that was wrapped. */
export interface WrappedAuthKey {
  /** What control is given. */
  readonly authKey: Secret;
  readonly credential: NodeKeySignature;
  /** Signs the node key, once: `signByCredential(reveal…)`. */
  readonly seed: () => Uint8Array<ArrayBuffer>;
}

/** What a text given as auth key is. */
export type ParsedAuthKey =
  | { readonly kind: "plain"; readonly authKey: Secret }
  | ({ readonly kind: "wrapped" } & WrappedAuthKey)
  /** It has the marker and the rest is broken; upstream then sends all of it to control, which refuses it. */
  | { readonly kind: "broken"; readonly authKey: Secret; readonly problem: string };

function fromRawBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[A-Za-z0-9+/]*$/.test(text)) return undefined;
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    return undefined;
  }
}

/** Takes an auth key apart. Never throws, and no text it returns holds a secret. */
export function parseAuthKey(text: string): ParsedAuthKey {
  const marker = text.indexOf("--TL");
  if (marker < 0) return { kind: "plain", authKey: new Secret(text) };
  const broken = (problem: string): ParsedAuthKey => ({
    kind: "broken",
    authKey: new Secret(text),
    problem: `Cannot use a wrapped auth key: ${problem}. Copy it whole, or sign it again with "lock sign"`,
  });
  const suffix = text.slice(marker + 4);
  const dash = suffix.indexOf("-");
  if (dash < 0) return broken("its private key is missing");
  const signature = fromRawBase64(suffix.slice(0, dash));
  if (signature === undefined) return broken("its signature is not base64");
  const key = fromRawBase64(suffix.slice(dash + 1));
  if (key?.length !== 64) return broken("its private key is not 64 bytes of base64");
  try {
    const credential = decodeNodeKeySignature(signature);
    return { kind: "wrapped", authKey: new Secret(text.slice(0, marker)), credential, seed: () => key.slice(0, 32) };
  } catch {
    return broken("its signature does not decode");
  }
}

/** Wraps an auth key for a locked tailnet: a fresh key pair, certified by `signer`, which must stay trusted. */
export function wrapAuthKey(authKey: Secret, signer: LockPrivate, random: RandomBytes): Secret {
  const seed = random(32);
  const wrapping = new LockPrivate(seed).public.bytes;
  const raw = (bytes: Uint8Array) => toBase64(bytes).replaceAll("=", "");
  const signature = encodeNodeKeySignature(signCredential(signer, wrapping));
  return new Secret(`${authKey.reveal()}--TL${raw(signature)}-${raw(concat(seed, wrapping))}`);
}
