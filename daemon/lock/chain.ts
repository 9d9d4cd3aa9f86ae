/**
 * The active chain from the head back, and the branches that lost against it, each with the rule that decided.
 *
 *   G──1──2──3──4──H     asked for 3: H, 4, 3; the branch b stands by 3, since both follow 2
 *         └─b──c
 */
import type { Aum } from "../../tka/aum.ts";
import { aumWeight } from "../../tka/aum.ts";
import type { Authority } from "../../tka/authority.ts";
import type { Chonk } from "../../tka/chonk.ts";
import { forkRule } from "../../tka/fork.ts";
import type { ForkRule } from "../../tka/fork.ts";
import { stateAt } from "../../tka/walk.ts";

/** A branch that is not followed. */
export interface LostBranch {
  /** Its first AUM. */
  readonly root: Aum;
  /** AUMs behind the first, on all its branches. */
  readonly more: number;
  readonly rule: ForkRule;
  /** Of the signers of its first AUM, counted where it leaves the chain. */
  readonly votes: bigint;
  readonly winnerVotes: bigint;
}

/** An AUM of the active chain. */
export interface ChainLink {
  readonly aum: Aum;
  /** Branches from the same parent. */
  readonly lost: readonly LostBranch[];
}

/** AUMs below one, itself not counted. */
function countBehind(chonk: Chonk, root: Aum): number {
  let count = 0;
  const open = [root];
  for (let aum = open.pop(); aum !== undefined; aum = open.pop()) {
    const children = chonk.children(aum.hash);
    count += children.length;
    open.push(...children);
  }
  return count;
}

/** At most `limit` links, newest first. */
export function chainLinks(authority: Authority, chonk: Chonk, limit: number): ChainLink[] {
  const links: ChainLink[] = [];
  let aum = chonk.aum(authority.head);
  while (aum !== undefined && links.length < limit) {
    const winner: Aum = aum;
    const { parent } = winner;
    const others = parent === undefined ? [] : chonk.children(parent).filter(({ hash }) => hash !== winner.hash);
    const state = others.length === 0 ? undefined : stateAt(chonk, parent!, authority.limits.scan);
    const lost = state === undefined ? [] : others.map((root): LostBranch => ({
      root,
      more: countBehind(chonk, root),
      rule: forkRule(winner, root, state),
      votes: aumWeight(root, state),
      winnerVotes: aumWeight(winner, state),
    }));
    links.push({ aum: winner, lost });
    aum = parent === undefined ? undefined : chonk.aum(parent);
  }
  return links;
}
