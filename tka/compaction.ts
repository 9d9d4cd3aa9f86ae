/**
 * Forgetting old AUMs without losing the way back for anyone who may still come with a fork.
 *
 *   …──o──o──C──o──o──C──o──o──o──o──H        C checkpoint, H head
 *   purged   │  └─ retained ──────────┘
 *            └─ new oldest ancestor: the first checkpoint that is not young, behind at least `minChain` AUMs
 *
 * Retained are AUMs that are young, AUMs of the active chain from the head back to that checkpoint, whatever descends
 * from a retained one, and whatever links a retained one to the oldest ancestor, which moves back where a retained
 * branch left the chain before it. Source: tka.Compact.
 *
 * One rule is ours: nothing from the last head that control acknowledged on is purged (`keepFrom`). A node that made a
 * branch nobody has seen and then forgot where it left the common chain could never sync again (L16).
 */
import type { Aum } from "./aum.ts";
import type { AumHash } from "./aum_hash.ts";
import { AUM_KIND } from "./aum_kind.ts";
import type { CompactableChonk } from "./chonk.ts";
import { TkaError } from "./errors.ts";
import type { CompactionOptions } from "./limits.ts";
import { requireAum } from "./walk.ts";

export interface CompactionRequest extends CompactionOptions {
  /** The last head that the other side said it has. */
  readonly keepFrom?: AumHash;
}

/** Marks on the way to a verdict. */
interface Marks {
  readonly all: ReadonlySet<AumHash>;
  readonly young: ReadonlySet<AumHash>;
  /** Not purged, for any of the reasons above. */
  readonly retained: Set<AumHash>;
  /** Ancestors of the head behind the new oldest ancestor: purged unless a branch needs them. */
  readonly candidates: Set<AumHash>;
}

/** Purges and returns the new oldest ancestor. @param now ms since 1970. */
export function compact(chonk: CompactableChonk, head: AumHash, request: CompactionRequest, now: number): AumHash {
  if (request.minChain <= 0 || request.minAgeMs <= 0) {
    throw new TkaError("bad-compaction", "Cannot compact: minChain and minAgeMs must be above 0");
  }
  const all = new Set(chonk.all());
  const young = new Set<AumHash>();
  for (const hash of all) {
    if ((chonk.commitTime(hash) as number) > now - request.minAgeMs) young.add(hash);
  }
  if (request.keepFrom !== undefined && all.has(request.keepFrom)) young.add(request.keepFrom);
  const marks: Marks = { all, young, retained: new Set(young), candidates: new Set() };
  const candidate = markActiveChain(chonk, marks, request.minChain, head);
  markDescendants(chonk, marks);
  const ancestor = markLinks(chonk, marks, candidate);
  chonk.setLastActiveAncestor(ancestor);
  chonk.purge(childrenFirst(chonk, new Set([...all].filter((hash) => !marks.retained.has(hash)))), now);
  return ancestor;
}

/**
 * The same AUMs, children before their parents: whoever dies while purging leaves a beginning that is whole, behind the
 * cut, and not a piece that nothing leads to, which no store can be opened with.
 */
function childrenFirst(chonk: CompactableChonk, purged: ReadonlySet<AumHash>): AumHash[] {
  const waiting = new Map<AumHash, number>();
  const ready: AumHash[] = [];
  for (const hash of purged) {
    const count = chonk.children(hash).filter((child) => purged.has(child.hash)).length;
    if (count === 0) ready.push(hash);
    else waiting.set(hash, count);
  }
  // An array hands out what is added while it is walked.
  for (const hash of ready) {
    const parent = requireAum(chonk, hash).parent;
    const left = parent === undefined ? undefined : waiting.get(parent);
    if (left === 1) ready.push(parent!);
    else if (left !== undefined) waiting.set(parent!, left - 1);
  }
  return ready;
}

function parentIn(chonk: CompactableChonk, aum: Aum): Aum | undefined {
  return aum.parent === undefined ? undefined : chonk.aum(aum.parent);
}

/** Retains the active chain from the head back to a checkpoint that is old enough, and returns that one. */
function markActiveChain(chonk: CompactableChonk, marks: Marks, minChain: number, head: AumHash): AumHash {
  let at = requireAum(chonk, head);
  for (let i = 0; i < minChain; i++) {
    marks.retained.add(at.hash);
    const parent = parentIn(chonk, at);
    if (parent === undefined) return at.hash; // all there is: nothing to cut
    at = parent;
  }
  for (;;) {
    marks.retained.add(at.hash);
    if (at.kind === AUM_KIND.CHECKPOINT && (!marks.young.has(at.hash) || at.parent === undefined)) break;
    const parent = parentIn(chonk, at);
    // A store that was cut begins with a checkpoint, so it is a place to stop although it is young.
    if (parent === undefined && at.kind === AUM_KIND.CHECKPOINT) break;
    if (parent === undefined) {
      throw new TkaError("missing-aum", `Cannot compact: the chain ends at ${at} without a checkpoint`);
    }
    at = parent;
  }
  const ancestor = at.hash;
  for (let older = parentIn(chonk, at); older !== undefined; older = parentIn(chonk, older)) {
    marks.candidates.add(older.hash);
  }
  return ancestor;
}

/** Retains whatever descends from a retained AUM: a branch is kept to its end. */
function markDescendants(chonk: CompactableChonk, { retained }: Marks): void {
  // A set hands out what is added while it is walked.
  for (const hash of retained) for (const child of chonk.children(hash)) retained.add(child.hash);
}

/** Retains the way from every retained AUM to the oldest ancestor, moving that one back where it must be. */
function markLinks(chonk: CompactableChonk, marks: Marks, candidate: AumHash): AumHash {
  const { retained, candidates } = marks;
  let ancestor = candidate;
  const moveTo = (hash: AumHash): void => {
    ancestor = hash;
    retainTowardsHead(chonk, marks, hash);
  };
  for (const hash of [...retained]) {
    let at = requireAum(chonk, hash);
    while (at.hash !== ancestor) {
      const { parent } = at;
      if (parent !== undefined && retained.has(parent)) break;
      const parentAum = parentIn(chonk, at);
      if (parentAum === undefined) {
        if (!candidates.has(at.hash)) {
          throw new TkaError("bad-compaction", `Cannot compact: ${hash} does not descend from ${ancestor}`);
        }
        moveTo(at.hash); // the very first AUM is to be kept
      } else if (candidates.has(parentAum.hash)) {
        moveTo(parentAum.hash);
        break;
      } else {
        at = parentAum;
        retained.add(at.hash);
      }
    }
  }
  return ancestor === candidate ? candidate : checkpointBefore(chonk, marks, ancestor);
}

/** The active chain between a candidate and what is retained of it already. */
function retainTowardsHead(chonk: CompactableChonk, marks: Marks, from: AumHash): void {
  let at: AumHash | undefined = from;
  while (at !== undefined) {
    marks.retained.add(at);
    at = chonk.children(at).find(({ hash }) => marks.candidates.has(hash))?.hash;
  }
}

/** Goes back to a checkpoint, as only there a chain can begin. */
function checkpointBefore(chonk: CompactableChonk, { retained }: Marks, from: AumHash): AumHash {
  let at = requireAum(chonk, from);
  for (;;) {
    retained.add(at.hash);
    if (at.kind === AUM_KIND.CHECKPOINT) return at.hash;
    if (at.parent === undefined) {
      throw new TkaError("bad-compaction", `Cannot compact: no checkpoint at or before ${from}`);
    }
    at = requireAum(chonk, at.parent);
  }
}
