/**
 * The one place where Tailnet Lock decides which peers exist for the rest of the node. Full netmaps and deltas pass it
 * alike: it is asked about the whole netmap every time, so no sequence of deltas can keep a peer that a full map would
 * not have (L1, L2).
 */
import type { Netmap } from "../control/client/netmap.ts";
import type { Node } from "../control/wire/tailcfg.ts";

/** What the lock says of a netmap. */
export interface LockVerdict {
  readonly accepted: Iterable<Node>;
  readonly rejected: readonly Node[];
  /** For health, when peers are kept out. */
  readonly problem?: string;
}

/** Asked for every netmap before anything else looks at its peers. Must not throw. */
export interface LockFilter {
  filter(netmap: Netmap): LockVerdict;
  /** Base32 hash of the newest AUM applied here, "" without a lock. */
  readonly head: string;
}

/** The filter of a version that cannot verify signatures: with the lock on it accepts nobody. */
export const CLOSED_LOCK_FILTER: LockFilter = {
  head: "",
  filter(netmap) {
    if (!netmap.tkaEnabled) return { accepted: netmap.peers, rejected: [] };
    return {
      accepted: [],
      rejected: [...netmap.peers],
      problem: "Tailnet Lock is enabled in this tailnet, and this version cannot verify its signatures yet; " +
        "all peers are kept out",
    };
  },
};
