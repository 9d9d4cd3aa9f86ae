/**
 * Keys that signed peers and that this node's chain never trusted: what it can see of a chain that others were shown.
 *
 *   control shows us   G──A──B            and others   G──A──C(+key 4)
 *   a peer comes with a valid signature by key 4: somebody trusts it, and we have no AUM that says so
 *
 * Control may have made such a signature itself, with a key of its own; that too an operator should know. A key that was
 * trusted once and removed is none of these (L7).
 */
import { fromBase64, toHex } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import type { CompactableChonk } from "../../tka/chonk.ts";
import { TkaError } from "../../tka/errors.ts";
import { KEY_25519, keyId } from "../../tka/key.ts";
import type { Key } from "../../tka/key.ts";
import {
  decodeNodeKeySignature,
  nodeKeyBinary,
  unverifiedAuthorizingKeyId,
  verifyNodeKeySignature,
} from "../../tka/node_key_signature.ts";
import type { RejectedPeer } from "./judge.ts";

export interface UnknownSigner {
  /** "tlpub:<hex>". */
  readonly key: string;
  /** Names of the peers it signed. */
  readonly peers: readonly string[];
}

/** Key IDs, in hex, that any AUM of the store trusts or trusted. */
export function everTrusted(chonk: CompactableChonk): Set<string> {
  const ids = new Set<string>();
  const add = (key: Key) => ids.add(toHex(keyId(key)));
  for (const hash of chonk.all()) {
    const aum = chonk.aum(hash);
    if (aum?.key !== undefined) add(aum.key);
    aum?.state?.keys?.forEach(add);
  }
  return ids;
}

/** @param known from `everTrusted`. Signatures that are not valid by their own key count for nothing. */
export function unknownSigners(rejected: readonly RejectedPeer[], known: ReadonlySet<string>): UnknownSigner[] {
  const peers = new Map<string, string[]>();
  for (const { node } of rejected) {
    const id = validSigner(node);
    if (id === undefined || known.has(id)) continue;
    peers.set(id, [...peers.get(id) ?? [], node.Name]);
  }
  return [...peers].map(([id, names]) => ({ key: `tlpub:${id}`, peers: names.sort() }));
}

/** The key that a signature goes back to, in hex, when it is valid by that key. */
function validSigner({ Key, KeySignature }: RejectedPeer["node"]): string | undefined {
  const nodeKey = NodePublic.parse(Key);
  const bytes = KeySignature ? fromBase64(KeySignature) : undefined;
  if (nodeKey === undefined || bytes === undefined) return undefined;
  try {
    const signature = decodeNodeKeySignature(bytes);
    const id = unverifiedAuthorizingKeyId(signature);
    verifyNodeKeySignature(signature, nodeKeyBinary(nodeKey), { kind: KEY_25519, votes: 1n, public: id });
    return toHex(id);
  } catch (cause) {
    if (cause instanceof TkaError) return undefined;
    throw cause;
  }
}

/** For health. @param headSince Unix milliseconds. */
export function unknownSignersText(signers: readonly UnknownSigner[], head: string, headSince: number): string {
  if (signers.length === 0) return "";
  const count = new Set(signers.flatMap(({ peers }) => peers)).size;
  const keys = signers.map(({ key }) => key).join(", ");
  const since = new Date(headSince).toISOString();
  return `Tailnet Lock: ${count} ${count === 1 ? "peer is" : "peers are"} signed by ${keys}, which this node's chain ` +
    `(head ${head}, unchanged since ${since}) never trusted: the control server may show others another chain. What ` +
    "to do: compare the heads of `agent lock log` here and on a signing node.";
}
