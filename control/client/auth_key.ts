/**
 * Auth keys with a Tailnet Lock credential behind them. Source: tka.DecodeWrappedAuthkey.
 *
 * ```
 *   tskey-auth-…--TL<base64 of a NodeKeySignature, unpadded>-<base64 of an Ed25519 private key, unpadded>
 *   └─ sent ────┘    └─ never leaves this machine ──────────────────────────────────────────────────────┘
 * ```
 * The private key can sign a node into the tailnet, so a damaged suffix is refused rather than sent along with the key.
 */
import { fromBase64 } from "../../base/bytes.ts";
import { Secret } from "../../base/secret.ts";

const MARK = "--TL";

/** A signature that lets its key sign node keys. Bytes of `privateKey` must never be printed. */
export interface WrappedCredential {
  /** CBOR of a NodeKeySignature of kind credential. */
  readonly signature: Uint8Array<ArrayBuffer>;
  /** Ed25519 seed and public key, 64 bytes. */
  revealPrivateKey(): Uint8Array<ArrayBuffer>;
}

export interface ParsedAuthKey {
  /** What the server gets. */
  readonly authKey: Secret;
  readonly credential: WrappedCredential | undefined;
}

/** A text that prints itself in errors without the key. */
const DAMAGED = "Cannot use the auth key: the part after --TL is damaged, want it whole as `lock sign` printed it";

/** Takes an auth key apart; a text tells what is wrong with it, without any of it. */
export function parseAuthKey(wrapped: Secret): ParsedAuthKey | string {
  const text = wrapped.reveal();
  const mark = text.indexOf(MARK);
  if (mark < 0) return { authKey: wrapped, credential: undefined };
  const [signatureText, keyText, more] = text.slice(mark + MARK.length).split("-");
  const signature = fromBase64(signatureText);
  const privateKey = keyText === undefined ? undefined : fromBase64(keyText);
  if (more !== undefined || signature === undefined || signature.length === 0) return DAMAGED;
  if (privateKey?.length !== 64) return DAMAGED;
  return {
    authKey: new Secret(text.slice(0, mark)),
    credential: { signature, revealPrivateKey: () => privateKey.slice() },
  };
}
