/**
 * The lock's part in a registration.
 *
 *   a signature comes along (wrapped auth key, or renewed)   kept if it is valid for the new key, else as if none came
 *   a new key of a signed node, without a signature          answered with the old signature, for the node to wrap
 *   anything else                                            registered unsigned: its peers do not know it until signed
 *
 * The old signature is handed back only to a node that can use it: one that names the old key and whose lock key is what
 * must sign the rotation. Any other would take the answer for a refusal and ask again for ever.
 */
import { fromBase64, toBase64, toHex } from "../../../base/bytes.ts";
import { LockPublic } from "../../../base/lock_key.ts";
import { decodeNodeKeySignature, unverifiedWrappingKey } from "../../../tka/node_key_signature.ts";
import type { RegisterRequest } from "../../wire/tailcfg.ts";
import type { NodeRecord } from "../node_record.ts";
import type { TailnetLock } from "./tailnet_lock.ts";

/** What registration asks of the lock. */
export type SignatureCheck = Pick<TailnetLock, "authorizes">;

/** The signature to keep with a node key: base64, "" for none. */
export function acceptedSignature(lock: SignatureCheck, nodeKey: string, given: string | null | undefined): string {
  const bytes = given ? fromBase64(given) : undefined;
  if (bytes === undefined || bytes.length === 0) return "";
  const signature = toBase64(bytes);
  return lock.authorizes(nodeKey, signature) ? signature : "";
}

/** The old signature, base64, when the node is to wrap it for its new key; undefined to go on without. */
export function signatureToRenew(
  lock: SignatureCheck,
  node: NodeRecord | undefined,
  request: RegisterRequest,
): string | undefined {
  if (node === undefined || request.NodeKeySignature) return undefined;
  if (request.OldNodeKey !== node.nodeKey && request.NodeKey !== node.nodeKey) return undefined;
  if (!lock.authorizes(node.nodeKey, node.keySignature)) return undefined;
  const wrapping = unverifiedWrappingKey(decodeNodeKeySignature(fromBase64(node.keySignature)!));
  const lockKey = LockPublic.parse(request.NLKey ?? "");
  if (wrapping === undefined || lockKey === undefined || toHex(wrapping) !== toHex(lockKey.bytes)) return undefined;
  return node.keySignature;
}
