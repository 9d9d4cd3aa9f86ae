/** Packets and bytes by path, as `tailscaled_inbound_packets_total{path=…}` counts them. */
import type { StatusTotals } from "./records.ts";

/** The ways a packet can travel. */
export type PathKind = "direct_ipv4" | "direct_ipv6" | "derp";

/** One path's counters; numbers, so exact to 2^53 bytes. */
export interface PathCount {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
}

/** Counters of all paths. */
export class PathCounters {
  readonly direct_ipv4: PathCount = zero();
  readonly direct_ipv6: PathCount = zero();
  readonly derp: PathCount = zero();

  snapshot(): StatusTotals["paths"] {
    return {
      direct_ipv4: { ...this.direct_ipv4 },
      direct_ipv6: { ...this.direct_ipv6 },
      derp: { ...this.derp },
    };
  }
}

function zero(): PathCount {
  return { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
}
