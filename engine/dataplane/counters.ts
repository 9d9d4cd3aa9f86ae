/** Packets and bytes by path, as `tailscaled_inbound_packets_total{path=…}` counts them. */
import type { StatusTotals } from "./records.ts";

/** The ways a packet can travel. */
export type PathKind = "direct_ipv4" | "direct_ipv6" | "peer_relay_ipv4" | "peer_relay_ipv6" | "derp";

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
  readonly peer_relay_ipv4: PathCount = zero();
  readonly peer_relay_ipv6: PathCount = zero();
  readonly derp: PathCount = zero();

  /** The counter of a UDP path. */
  udp(family: 4 | 6, relayed: boolean): PathCount {
    if (relayed) return family === 4 ? this.peer_relay_ipv4 : this.peer_relay_ipv6;
    return family === 4 ? this.direct_ipv4 : this.direct_ipv6;
  }

  snapshot(): StatusTotals["paths"] {
    return {
      direct_ipv4: { ...this.direct_ipv4 },
      direct_ipv6: { ...this.direct_ipv6 },
      peer_relay_ipv4: { ...this.peer_relay_ipv4 },
      peer_relay_ipv6: { ...this.peer_relay_ipv6 },
      derp: { ...this.derp },
    };
  }
}

function zero(): PathCount {
  return { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
}
