/** Signing again what hangs on a key that is to be trusted no longer, so that its nodes stay. */
import { fromBase64, toBase64, toHex } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import { decodeNodeKeySignature, SIG_KIND, unverifiedWrappingKey } from "../../tka/node_key_signature.ts";
import type { NodeKeySignature } from "../../tka/node_key_signature.ts";
import type { LocalClient } from "../local_client.ts";
import { refusedAs } from "./command.ts";

/** Whether the signature goes back to the credential of an auth key. */
function isByAuthKey(signature: NodeKeySignature): boolean {
  let at = signature;
  while (at.nested !== undefined) at = at.nested;
  return at.kind === SIG_KIND.CREDENTIAL;
}

/**
 * The key that may rotate the node's key on from the new signature; undefined for none. That of an auth key is not taken
 * over: whoever has the auth key could go on signing node keys with it, although its signer is retired. Upstream takes it
 * over.
 */
export function rotationKeyToKeep(signature: NodeKeySignature): Uint8Array | undefined {
  return isByAuthKey(signature) ? undefined : unverifiedWrappingKey(signature);
}

/** The signatures that would not hold without the key; the daemon has verified them. @throws CliError */
export async function hangingOn(client: LocalClient, keyId: Uint8Array): Promise<NodeKeySignature[]> {
  const what = `affected sigs for key ${toHex(keyId).toUpperCase()}: error`;
  const body = await refusedAs(what, client.bytes("POST", "tka/affected-sigs", keyId));
  const signatures: string[] | null = JSON.parse(new TextDecoder().decode(body));
  return (signatures ?? []).map((text) => decodeNodeKeySignature(fromBase64(text) ?? new Uint8Array(0)));
}

/** The node key a signature is for. */
export function nodeKeyOf(signature: NodeKeySignature): NodePublic {
  return new NodePublic((signature.pubkey ?? new Uint8Array(0)).subarray(2));
}

/** Signs anew, by this node's key, what hangs on `keyId`. @returns how many. @throws CliError */
export async function signAgain(client: LocalClient, keyId: Uint8Array): Promise<number> {
  const signatures = await hangingOn(client, keyId);
  for (const signature of signatures) {
    const nodeKey = nodeKeyOf(signature).toString();
    const rotation = rotationKeyToKeep(signature);
    const RotationPublic = rotation === undefined ? null : toBase64(rotation);
    const signed = client.text("POST", "tka/sign", { NodeKey: nodeKey, RotationPublic });
    await refusedAs(`failed to sign ${nodeKey}: error`, signed);
  }
  return signatures.length;
}
