/** One measurement after another of which relays are near and what NAT is in between, through ports only. */
import type { RandomBytes } from "../../base/keys.ts";
import type { Scheduler } from "../../base/clock.ts";
import type { DERPNode, DERPRegion } from "../../derp/derp_map.ts";

/** What a netcheck needs from the machine. */
export interface NetcheckPorts {
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  /** Sends from the engine's own UDP socket, so that what is learnt is the mapping of that socket. `to` is `ip:port`. */
  sendStun(to: string, payload: Uint8Array): void;
  /** Subscribes to STUN answers; the result unsubscribes. */
  onStun(handler: (payload: Uint8Array, from: string) => void): () => void;
  /** Addresses of one family; rejects or gives none when there are none. */
  resolve(host: string, family: 4 | 6): Promise<readonly string[]>;
  /** Milliseconds of `GET /derp/latency-check` over a fresh TLS connection to the node, or undefined. */
  httpsLatency(region: DERPRegion, node: DERPNode, timeoutMs: number): Promise<number | undefined>;
  /** Whether the machine has an address of each family that could reach the Internet, and IPv6 at all. */
  localFamilies(): { readonly v4: boolean; readonly v6: boolean; readonly osHasIpv6: boolean };
}

/** How one run differs from the usual. */
export interface NetcheckOptions {
  /** Probe all regions, whatever is known. */
  readonly full?: boolean;
  /** Wait for all regions instead of the first three. */
  readonly verbose?: boolean;
  /** Unix milliseconds a DERP frame last came from a region, 0 for never (`DerpPool.status`). */
  readonly lastDerpActivity?: (region: number) => number;
}
