/** A lock filter without an authority: with the lock on it accepts nobody. */
import type { LockFilter } from "../../daemon/lock_filter.ts";

export const CLOSED_LOCK_FILTER: LockFilter = {
  head: "",
  filter(netmap) {
    if (!netmap.tkaEnabled) return { accepted: netmap.peers, rejected: [] };
    return {
      accepted: [],
      rejected: [...netmap.peers],
      problem: "Tailnet Lock is enabled, and there is no authority",
    };
  },
};
