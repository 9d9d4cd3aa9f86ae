/**
 * Which child follows where the chain forks. Every node must choose alike, whatever order it learnt of the children:
 *
 *   1. the one whose signers have more votes, counted in the state at the parent, so that several honest signers undo
 *      what one stolen key wrote (L9)
 *   2. a remove-key before anything else, so that distrust wins a draw
 *   3. the lowest hash
 *
 * Source: tka.pickNextAUM.
 */
import type { Aum } from "./aum.ts";
import { aumWeight } from "./aum.ts";
import { compareAumHashes } from "./aum_hash.ts";
import { AUM_KIND } from "./aum_kind.ts";
import type { State } from "./state.ts";

/** Which of the three rules decides between two children. */
export type ForkRule = "votes" | "removal" | "hash";

const removes = (aum: Aum) => aum.kind === AUM_KIND.REMOVE_KEY;

/** @param state at the parent of both. */
export function forkRule(a: Aum, b: Aum, state: State): ForkRule {
  if (aumWeight(a, state) !== aumWeight(b, state)) return "votes";
  return removes(a) !== removes(b) ? "removal" : "hash";
}

/** True when `a` goes before `b`. */
function beats(a: Aum, b: Aum, state: State): boolean {
  switch (forkRule(a, b, state)) {
    case "votes":
      return aumWeight(a, state) > aumWeight(b, state);
    case "removal":
      return removes(a);
    case "hash":
      return compareAumHashes(a.hash, b.hash) < 0;
  }
}

/** The child that continues the chain; undefined when there is none. @param state at the parent. */
export function pickNextAum(state: State, children: readonly Aum[]): Aum | undefined {
  let best: Aum | undefined;
  for (const child of children) if (best === undefined || beats(child, best, state)) best = child;
  return best;
}
