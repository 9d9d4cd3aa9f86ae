/** A node-key signature as the LocalAPI writes it, and what people want to know of it. */
import { fromBase64 } from "../../base/bytes.ts";
import { sigKindName } from "../../tka/node_key_signature.ts";
import type { NodeKeySignature } from "../../tka/node_key_signature.ts";
import type { SignatureJson } from "./types.ts";

function bytes(text: string | null): Uint8Array | undefined {
  return text === null ? undefined : fromBase64(text);
}

export function signatureOf(json: SignatureJson): NodeKeySignature {
  const fields = {
    pubkey: bytes(json.Pubkey),
    keyId: bytes(json.KeyID),
    signature: bytes(json.Signature),
    nested: json.Nested === null ? undefined : signatureOf(json.Nested),
    wrappingPubkey: bytes(json.WrappingPubkey),
  };
  return { kind: json.SigKind, ...fields };
}

/** A signature in a line. */
export interface SignatureSummary {
  /** "direct" and so on; "" when there is none. */
  readonly kind: string;
  /** The trusted key it goes back to, 32 bytes. */
  readonly signer: Uint8Array | undefined;
  /** Signatures inside one another: 1 for a direct one, one more for each rotation. */
  readonly depth: number;
}

export function summaryOf(signature: NodeKeySignature): SignatureSummary {
  if (signature.kind === 0) return { kind: "", signer: undefined, depth: 0 };
  let depth = 1;
  let innermost = signature;
  for (; innermost.nested !== undefined; innermost = innermost.nested) depth++;
  return { kind: sigKindName(signature.kind), signer: innermost.keyId, depth };
}
