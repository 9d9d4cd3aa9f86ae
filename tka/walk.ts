/**
 * Walks over the tree of AUMs in a store.
 *
 *   stateAt        back to the nearest checkpoint or genesis, then forward on the same path: the state at any AUM
 *   fastForward    from a state on by the fork rules, to the head or until told to stop
 *
 * A store's parents cannot form a cycle - hashes forbid it - but a corrupt one may lie, so every walk is bounded.
 * Source: tka.computeStateAt, tka.fastForward.
 */
import type { Aum } from "./aum.ts";
import type { AumHash } from "./aum_hash.ts";
import { AUM_KIND } from "./aum_kind.ts";
import type { Chonk } from "./chonk.ts";
import { TkaError } from "./errors.ts";
import { pickNextAum } from "./fork.ts";
import type { State } from "./state.ts";
import { applyVerifiedAum, EMPTY_STATE } from "./state.ts";

/** An AUM and the state behind it. */
export interface Position {
  readonly aum: Aum;
  readonly state: State;
}

export function limitExceeded(limit: number): TkaError {
  return new TkaError("iteration-limit", `Cannot follow the chain: it is longer than ${limit} AUMs`);
}

/** The AUM, or @throws TkaError "missing-aum". */
export function requireAum(chonk: Chonk, hash: AumHash): Aum {
  const aum = chonk.aum(hash);
  if (aum === undefined) throw new TkaError("missing-aum", `Cannot find AUM ${hash} in the store`);
  return aum;
}

/** State at a starting point; undefined when it depends on the AUM before. */
function ownState(aum: Aum): State | undefined {
  if (aum.kind === AUM_KIND.CHECKPOINT) {
    if (aum.state === undefined) throw new TkaError("invalid", `Cannot start from checkpoint ${aum.hash}: no state`);
    return { ...aum.state, lastAumHash: aum.hash };
  }
  if (aum.parent !== undefined) return undefined;
  // Chains that begin with these two come from the time before genesis checkpoints.
  if (aum.kind === AUM_KIND.NO_OP || aum.kind === AUM_KIND.ADD_KEY) return applyVerifiedAum(EMPTY_STATE, aum);
  throw new TkaError("invalid-genesis", `Cannot start from ${aum}: want a checkpoint`);
}

/** The state at an AUM of the store, on whichever branch. @param limit AUMs to the nearest checkpoint at most. */
export function stateAt(chonk: Chonk, hash: AumHash, limit: number): State {
  const path: Aum[] = [];
  let at = requireAum(chonk, hash);
  let state = ownState(at);
  while (state === undefined) {
    path.push(at);
    if (path.length >= limit) throw limitExceeded(limit);
    at = requireAum(chonk, at.parent as AumHash);
    state = ownState(at);
  }
  for (const aum of path.reverse()) state = applyVerifiedAum(state, aum);
  return state;
}

/**
 * Follows the fork rules from a state until `visit` returns true or no AUM follows.
 * @param visit sees every position, the first one included.
 */
export function fastForward(
  chonk: Chonk,
  start: State,
  limit: number,
  visit: (position: Position) => boolean = () => false,
): Position {
  if (start.lastAumHash === null) throw new TkaError("invalid", "Cannot follow the chain from a state of no AUM");
  let aum = requireAum(chonk, start.lastAumHash);
  let state = start;
  for (let i = 0; i < limit; i++) {
    if (visit({ aum, state })) return { aum, state };
    const next = pickNextAum(state, chonk.children(aum.hash));
    if (next === undefined) return { aum, state };
    state = applyVerifiedAum(state, next);
    aum = next;
  }
  throw limitExceeded(limit);
}
