import type { Drop } from "../../base/drops.ts";
import type { AddrPort } from "../../base/ip.ts";
import type { DiscoPrivate, NodePublic, RandomBytes } from "../../base/keys.ts";
import type { PeerConfig, PingOutcome } from "../config.ts";
import type { AddrId, AddrTable } from "../ports.ts";
import type { Endpoint } from "./endpoint.ts";

/** What magicsock needs done. Payloads are its callee's to keep. */
export interface MagicsockIo {
  sendUdp(to: AddrId, payload: Uint8Array): void;
  sendDerp(region: number, peer: NodePublic, payload: Uint8Array): void;
  /** Asks for a new STUN round, answered by `setLocalEndpoints`. */
  endpointsWanted(reason: string): void;
  pathChanged(endpoint: Endpoint): void;
}

/** Where a disco message came from. */
export type DiscoSource = { readonly addr: AddrId } | { readonly derp: number; readonly peer: NodePublic };

export class Magicsock {
  constructor(_options: { disco: DiscoPrivate; random: RandomBytes; io: MagicsockIo; addrs: AddrTable }) {
  }

  setSelf(_nodeKey: NodePublic | undefined, _homeDerp: number): void {
    throw new Error("being written");
  }

  setLocalEndpoints(_addrs: readonly AddrPort[], _now: number): void {
    throw new Error("being written");
  }

  upsertPeer(_config: PeerConfig, _now: number): Endpoint {
    throw new Error("being written");
  }

  removePeer(_key: string): void {
    throw new Error("being written");
  }

  endpoint(_key: string): Endpoint | undefined {
    throw new Error("being written");
  }

  endpoints(): IterableIterator<Endpoint> {
    throw new Error("being written");
  }

  handleDisco(_message: Uint8Array, _source: DiscoSource, _now: number): Drop | undefined {
    throw new Error("being written");
  }

  noteDerp(_region: number, _key: string): void {
    throw new Error("being written");
  }

  derpPeerGone(_region: number, _key: string): void {
    throw new Error("being written");
  }

  ping(
    _key: string,
    _size: number,
    _timeoutMs: number,
    _now: number,
    _done: (outcome: PingOutcome | undefined) => void,
  ): void {
    throw new Error("being written");
  }

  rebind(_now: number): void {
    throw new Error("being written");
  }

  /** Ids that must survive `AddrTable.sweep`. */
  liveAddresses(): IterableIterator<AddrId> {
    throw new Error("being written");
  }

  nextDeadline(): number {
    throw new Error("being written");
  }

  advance(_now: number): void {
    throw new Error("being written");
  }
}
