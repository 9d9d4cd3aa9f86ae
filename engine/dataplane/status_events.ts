/** What the worker tells of its peers: all of them when asked, one when its path became another. */
import type { PeerStatus } from "../config.ts";
import type { Peers } from "./peers.ts";
import type { PlanePeer } from "./plane_peer.ts";
import type { StatusTotals, WorkerEvent } from "./records.ts";

/** Peers in one record. */
const PEERS_PER_RECORD = 200;
/** Below this a change of the two clocks' difference is drift, not a clock that was set, ms. */
const DRIFT_MS = 1000;

/** What status is made of. */
export interface StatusEventsOptions {
  readonly peers: Peers;
  readonly monotonic: () => number;
  readonly wall: () => number;
  readonly emit: (event: WorkerEvent) => void;
}

/** Makes status events. */
export class StatusEvents {
  readonly #options: StatusEventsOptions;
  #wallOffset = 0;

  constructor(options: StatusEventsOptions) {
    this.#options = options;
  }

  /** The path of `peer` is another. */
  path(peer: PlanePeer, now: number): void {
    this.#options.emit({ kind: "path", status: peer.status(now, this.#toWall()) });
  }

  /** All peers, then the totals. Those that never had traffic are left out: their status is all zeros. */
  all(id: number, totals: StatusTotals, now: number): void {
    const { emit } = this.#options;
    const toWall = this.#toWall();
    let peers: PeerStatus[] = [];
    for (const peer of this.#options.peers.awake()) {
      if (peer.rxBytes === 0 && peer.txBytes === 0 && peer.endpoint.lastSend === 0) continue;
      peers.push(peer.status(now, toWall));
      if (peers.length === PEERS_PER_RECORD) {
        emit({ kind: "status-peers", id, peers });
        peers = [];
      }
    }
    emit({ kind: "status-peers", id, peers });
    emit({ kind: "status", id, totals });
  }

  /** What makes Unix time of the engine's; the same each time unless the wall clock was set, so that times compare. */
  #toWall(): number {
    const offset = this.#options.wall() - this.#options.monotonic();
    if (Math.abs(offset - this.#wallOffset) > DRIFT_MS) this.#wallOffset = offset;
    return this.#wallOffset;
  }
}
