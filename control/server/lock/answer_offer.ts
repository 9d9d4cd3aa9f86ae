/**
 * The answer to `sync/offer`, made for its asker, and what it says about the asker. Pure.
 *
 *   our active chain    G─────────────J───────────────H
 *   the asker's             O─────────┴──a──b            O its oldest AUM, b its head
 *
 * What follows J, where the asker's chain meets ours, is what it lacks. It can use that only if it still has J, that is
 * if O is not behind J. Our offer names first the newest AUM of the asker's that we know: a stock node looks for common
 * ground before it takes anything, gives up when it finds none, and so finds it at once (L16).
 */
import type { Aum } from "../../../tka/aum.ts";
import type { AumHash } from "../../../tka/aum_hash.ts";
import type { SyncOffer } from "../../../tka/sync.ts";
import { firstPage, offerFor, PAGE_BYTES } from "../../../tka/sync_round.ts";
import type { LockChain } from "./lock_chain.ts";

/** How far a node is. */
export type NodeSync =
  | { readonly kind: "synced" }
  /** It lacks so many, and is being sent them. */
  | { readonly kind: "behind"; readonly aums: number }
  /** Its head is none of ours; it is to send what we lack. */
  | { readonly kind: "ahead" }
  /** It lacks so many, and its store may not take any more. */
  | { readonly kind: "full"; readonly aums: number }
  /** It has nothing that our chain follows from. */
  | { readonly kind: "no-common-history" };

export interface OfferAnswer {
  readonly offer: SyncOffer;
  /** Parents first. */
  readonly missing: readonly Aum[];
  readonly sync: NodeSync;
}

export interface OfferLimits {
  /** AUMs the asker's store may come to. */
  readonly store: number;
  /** Bytes of one answer. */
  readonly page?: number;
}

export function answerOffer(chain: LockChain, asker: SyncOffer, limits: OfferLimits): OfferAnswer {
  const offer = offerFor(chain.authority, chain.chonk, asker);
  const answer = (sync: NodeSync, missing: readonly Aum[] = []): OfferAnswer => ({ offer, missing, sync });
  if (asker.head === chain.head) return answer({ kind: "synced" });
  const known = [asker.head, ...asker.ancestors].find((hash) => chain.chonk.aum(hash) !== undefined);
  const joint = known === undefined ? undefined : chain.jointOf(known);
  const oldest = chain.placeOf(asker.ancestors.at(-1) ?? asker.head);
  if (joint === undefined || oldest === undefined || oldest > joint.place) return answer({ kind: "no-common-history" });
  const lacking = chain.length - 1 - joint.place;
  if (lacking === 0) return answer({ kind: "ahead" });
  const held = joint.place - oldest + 1 + joint.beside;
  const room = Math.max(0, limits.store - held);
  const missing = firstPage(chain.after(joint.place, room), limits.page ?? PAGE_BYTES);
  const full = missing.length === room && lacking > room;
  return answer({ kind: full ? "full" : "behind", aums: lacking - (full ? missing.length : 0) }, missing);
}

/** What a head alone says: of a map request, or after `sync/send`. */
export function syncOfHead(chain: LockChain, head: AumHash): NodeSync {
  if (head === chain.head) return { kind: "synced" };
  const joint = chain.jointOf(head);
  return joint === undefined ? { kind: "ahead" } : { kind: "behind", aums: chain.length - 1 - joint.place };
}
