/**
 * What a stock node can hold. Tailscale's client stops every walk at 2,000 AUMs (tka/limits.go): a store of more does not
 * open at its next start, the error is only logged, and the node goes on without the lock. So it is never given as many.
 */
import type { Hostinfo } from "../../wire/tailcfg.ts";

/** AUMs that a stock node's store may come to. The rest up to 2,000 is for branches of its own. */
export const STOCK_AUMS = 1900;
/** Length of the chain from which the operator is warned, and from which new nodes begin at a later checkpoint. */
export const WARN_AUMS = 1500;
/** How far back that checkpoint is: no fork may leave the chain before it, so it must leave room for recovery. */
export const FORK_ROOM = 1000;
/** Bytes of an AUM taken from a node: a checkpoint must fit into the 1 MiB that a stock node reads of a bootstrap. */
export const MAX_AUM_BYTES = 700 << 10;

/** `Hostinfo.App` of nodes that take a chain of any length: ours. */
export const UNLIMITED_APP = "agent";

/** AUMs the node's store may come to. */
export function storeLimit(hostinfo: Hostinfo): number {
  return hostinfo.App === UNLIMITED_APP ? Infinity : STOCK_AUMS;
}
