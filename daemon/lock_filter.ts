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
