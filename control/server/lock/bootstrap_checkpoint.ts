/**
 * Where a node begins that has no lock yet.
 *
 *   chain shorter than 1,500          the genesis
 *   longer, and a stock node          the newest checkpoint that has 1,000 AUMs behind it in the chain
 *
 * A node knows nothing of what was before its first AUM and cannot follow a fork from there, so such a checkpoint is the
 * `floor`: once told, forks before it are refused for ever.
 */
import type { Aum } from "../../../tka/aum.ts";
import { AUM_KIND } from "../../../tka/aum_kind.ts";
import type { LockChain } from "./lock_chain.ts";
import { FORK_ROOM, WARN_AUMS } from "./stock_limits.ts";

/** @param storeLimit AUMs the asker's store may come to. */
export function bootstrapCheckpoint(chain: LockChain, storeLimit: number): Aum {
  const genesis = chain.at(0) as Aum;
  if (chain.length < WARN_AUMS || storeLimit === Infinity) return genesis;
  for (let place = chain.length - 1 - FORK_ROOM; place > 0; place--) {
    const aum = chain.at(place) as Aum;
    if (aum.kind === AUM_KIND.CHECKPOINT) return aum;
  }
  return genesis;
}
