/** What an endpoint is told, what it gives, and what it needs of the magicsock it belongs to. */
import type { DiscoPublic, RandomBytes } from "../../base/keys.ts";
import type { AddrId, AddrTable } from "../ports.ts";
import type { Endpoint } from "./endpoint.ts";

/** Where the next packets for a peer go; both set means send to both, both 0 that there is no path. */
export interface SendPath {
  addr: AddrId;
  /** The session when `addr` is a relay server's, 0 when it is the peer's. */
  vni: number;
  /** DERP region, 0 for none. */
  derp: number;
}

/** What an endpoint needs of the magicsock it belongs to. */
export interface EndpointOwner {
  readonly addrs: AddrTable;
  readonly random: RandomBytes;
  /** No heartbeats: data that comes by a path is what keeps it trusted. */
  isSilent(): boolean;
  /** Sends a ping to `addr`, in the session `vni` when that is a relay server's, or by `derp` when `addr` is 0. */
  sendPing(endpoint: Endpoint, txId: Uint8Array, addr: AddrId, vni: number, derp: number, size: number): void;
  /** No direct path carries the traffic: a peer relay may be looked for, if it is time. */
  relayWanted(endpoint: Endpoint, now: number): void;
  /** This node has just pinged the peer: tell it so once own endpoints are fresh. */
  callMeMaybeWanted(endpoint: Endpoint, now: number): void;
  /** Traffic begins after idleness. */
  sessionStarted(now: number): void;
  /** `endpoint.deadline()` may have become earlier. */
  deadlineChanged(endpoint: Endpoint): void;
  pathChanged(endpoint: Endpoint): void;
}

/** What a netmap says of a peer, in the engine's terms. */
export interface EndpointSettings {
  readonly disco: DiscoPublic | undefined;
  /** Home DERP region, 0 for none. */
  readonly derp: number;
  readonly endpoints: readonly AddrId[];
  /** The peer speaks by peer relays too. */
  readonly relayCapable: boolean;
}
