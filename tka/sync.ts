/**
 * How two authorities find out which AUMs the other lacks.
 *
 *   A                                              B
 *   │ offer: head, checkpoints of the last 1,000, oldest ─▶ │
 *   │ ◀─ B's offer, and AUMs after the intersection ─────── │
 *   │ AUMs that B lacks ──────────────────────────────────▶ │
 *
 * The intersection with a remote offer, first match:
 *   up to date   the heads are equal
 *   head         their head is an ancestor of ours: they lack what follows it
 *   tail         one of their ancestors is on our active chain: both lack what follows it
 * Without one there is no common history, and only a bootstrap helps.
 *
 * Source: tka/sync.go as of "send checkpoints to ensure far-behind nodes can catch up" (f6fa2946).
 */
import type { Aum } from "./aum.ts";
import type { AumHash } from "./aum_hash.ts";
import { AUM_KIND } from "./aum_kind.ts";
import type { Authority } from "./authority.ts";
import type { Chonk } from "./chonk.ts";
import { TkaError } from "./errors.ts";
import { OFFER_WALK } from "./limits.ts";
import { fastForward, stateAt } from "./walk.ts";

/** What one side tells the other about its chain. */
export interface SyncOffer {
  readonly head: AumHash;
  /** Some ancestors of the head, newest first; the last one is the oldest AUM known. */
  readonly ancestors: readonly AumHash[];
}

/** The offer of an authority: every checkpoint among the last 1,000 AUMs, and the oldest AUM once. */
export function syncOffer(authority: Authority, chonk: Chonk): SyncOffer {
  const ancestors: AumHash[] = [];
  let at = chonk.aum(authority.head);
  for (let i = 0; i < OFFER_WALK && at !== undefined && at.hash !== authority.oldestAncestor; i++) {
    if (at.kind === AUM_KIND.CHECKPOINT) ancestors.push(at.hash);
    at = at.parent === undefined ? undefined : chonk.aum(at.parent);
  }
  ancestors.push(authority.oldestAncestor);
  return { head: authority.head, ancestors };
}

/** Where a remote chain meets ours. */
export type Intersection =
  | { readonly kind: "up-to-date" }
  | { readonly kind: "head"; readonly at: AumHash }
  | { readonly kind: "tail"; readonly at: AumHash };

/** @throws TkaError "no-intersection", or "iteration-limit" when a walk for one of their ancestors was too long. */
export function syncIntersection(authority: Authority, chonk: Chonk, remote: SyncOffer): Intersection {
  if (remote.head === authority.head) return { kind: "up-to-date" };
  const { limits } = authority;
  if (chonk.aum(remote.head) !== undefined) {
    let at = chonk.aum(authority.head);
    for (let i = 0; i < limits.headIntersection && at !== undefined; i++) {
      if (at.hash === remote.head) return { kind: "head", at: remote.head };
      at = at.parent === undefined ? undefined : chonk.aum(at.parent);
    }
  }
  for (const ancestor of remote.ancestors) {
    if (chonk.aum(ancestor) === undefined) continue;
    const state = stateAt(chonk, ancestor, limits.sync);
    const end = fastForward(chonk, state, limits.sync, ({ aum }) => aum.hash === authority.head);
    if (end.aum.hash === authority.head) return { kind: "tail", at: ancestor };
  }
  throw new TkaError("no-intersection", "Cannot sync: no AUM is known to both sides");
}

/** The AUMs of our active chain that the remote may lack, oldest first. @throws as `syncIntersection`. */
export function missingAums(authority: Authority, chonk: Chonk, remote: SyncOffer): Aum[] {
  const intersection = syncIntersection(authority, chonk, remote);
  if (intersection.kind === "up-to-date") return [];
  const { sync } = authority.limits;
  const missing: Aum[] = [];
  fastForward(chonk, stateAt(chonk, intersection.at, sync), sync, ({ aum }) => {
    if (aum.hash !== intersection.at) missing.push(aum);
    return false;
  });
  return missing;
}
