/**
 * Which peers the lock accepts: those whose node key carries a signature that goes back to a trusted key, less those
 * that a rotation made obsolete.
 *
 *   rotation{new key} ─▶ every node key below it in the chain is obsolete
 *   several rotations that begin with a direct signature of one wrapping key (a cloned node): the longest chain stands;
 *   of equally long ones none, as nobody can tell which is the newest
 *
 * Always asked about all peers at once, so that a netmap reached by deltas is judged as the same netmap sent whole (L2).
 * Source: ipnlocal.tkaFilterNetmapLocked, rotationTracker.
 */
import { fromBase64, toHex } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import type { Authority } from "../../tka/authority.ts";
import type { Key } from "../../tka/key.ts";
import { sameBytes } from "../../tka/key.ts";
import type { RotationDetails } from "../../tka/node_key_signature.ts";
import { SIG_KIND } from "../../tka/node_key_signature.ts";

/**
 * Why a peer is kept out, by name: "unsigned"; "untrusted": its signature does not hold; "replaced": by a newer node key;
 * "closed": nobody passes.
 */
export type Rejection = "unsigned" | "untrusted" | "replaced" | "closed";

/** A peer kept out, and why. */
export interface RejectedPeer {
  readonly node: Node;
  readonly rejection: Rejection;
  readonly why: string;
}

/** What the lock says of all peers. */
export interface Judgement {
  readonly accepted: readonly Node[];
  readonly rejected: readonly RejectedPeer[];
}

const NO_BYTES = new Uint8Array(0);

type Verdict =
  | { readonly ok: true; readonly rotation: RotationDetails | undefined }
  | { readonly ok: false; readonly rejection: Rejection; readonly why: string };

/** What the lock says of one node by itself. */
export function judgeNode(authority: Authority, node: Pick<Node, "Key" | "KeySignature">): Verdict {
  if (!node.KeySignature) return { ok: false, rejection: "unsigned", why: "it has no signature" };
  const untrusted = (why: string): Verdict => ({ ok: false, rejection: "untrusted", why });
  const key = NodePublic.parse(node.Key);
  const signature = fromBase64(node.KeySignature);
  if (key === undefined || signature === undefined) return untrusted("its key or signature cannot be read");
  const verdict = authority.nodeKeyAuthorized(key, signature);
  if (verdict.authorized) return { ok: true, rotation: verdict.rotation };
  const { code, message } = verdict.error;
  return untrusted(code === "unknown-key" ? "its signer is not trusted" : message);
}

interface Rotated {
  readonly key: string;
  readonly previous: number;
}

/** Node keys that rotations made obsolete. @param rotations by the node key that was rotated in. */
function obsoleteKeys(rotations: Iterable<readonly [key: string, details: RotationDetails]>): Set<string> {
  const obsolete = new Set<string>();
  const byWrappingKey = new Map<string, Rotated[]>();
  for (const [key, { previousNodeKeys, initial }] of rotations) {
    for (const previous of previousNodeKeys) obsolete.add(previous.toString());
    // Nodes that joined by one reusable auth key share its wrapping key and are no clones.
    if (initial.kind !== SIG_KIND.DIRECT) continue;
    const wrapping = toHex(initial.wrappingPubkey ?? new Uint8Array(0));
    const known = byWrappingKey.get(wrapping) ?? [];
    known.push({ key, previous: previousNodeKeys.length });
    byWrappingKey.set(wrapping, known);
  }
  const dropped: string[] = [];
  for (const rotated of byWrappingKey.values()) {
    const live = rotated.filter(({ key }) => !obsolete.has(key)).sort((a, b) => b.previous - a.previous);
    const tie = live.length > 1 && live[0].previous === live[1].previous;
    for (const { key } of live.slice(tie ? 0 : 1)) dropped.push(key);
  }
  for (const key of dropped) obsolete.add(key);
  return obsolete;
}

/** Whether both trust the same keys, which is all of an authority that a verdict depends on. */
function sameKeys(a: Authority, b: Authority): boolean {
  const same = (key: Key, other: Key) =>
    key.kind === other.kind && sameBytes(key.public ?? NO_BYTES, other.public ?? NO_BYTES);
  return a.keys.length === b.keys.length && a.keys.every((key, i) => same(key, b.keys[i]));
}

/** Judges netmaps by one authority; remembers verdicts, since the next netmap has nearly the same peers. */
export class PeerJudge {
  readonly authority: Authority;
  #verdicts = new Map<string, Verdict>();

  /** @param before the judge until now: its verdicts stand, unless the trusted keys are others. */
  constructor(authority: Authority, before?: PeerJudge) {
    this.authority = authority;
    if (before !== undefined && sameKeys(authority, before.authority)) this.#verdicts = before.#verdicts;
  }

  judge(peers: Iterable<Node>): Judgement {
    const used = new Map<string, Verdict>();
    const verdictOf = (node: Node): Verdict => {
      const name = `${node.Key} ${node.KeySignature ?? ""}`;
      const verdict = this.#verdicts.get(name) ?? judgeNode(this.authority, node);
      used.set(name, verdict);
      return verdict;
    };
    const all = [...peers];
    const verdicts = all.map((node) => node.UnsignedPeerAPIOnly === true ? undefined : verdictOf(node));
    this.#verdicts = used;
    const obsolete = obsoleteKeys(all.flatMap((node, i) => {
      const verdict = verdicts[i];
      return verdict?.ok && verdict.rotation !== undefined ? [[node.Key, verdict.rotation] as const] : [];
    }));
    const accepted: Node[] = [];
    const rejected: RejectedPeer[] = [];
    all.forEach((node, i) => {
      const verdict = verdicts[i];
      // Such a peer is outside the lock, and the router gives it no WireGuard (L4).
      if (verdict === undefined) accepted.push(node);
      else if (!verdict.ok) rejected.push({ node, rejection: verdict.rejection, why: verdict.why });
      else if (obsolete.has(node.Key)) {
        rejected.push({ node, rejection: "replaced", why: "a newer node key replaced its key" });
      } else accepted.push(node);
    });
    return { accepted, rejected };
  }
}
