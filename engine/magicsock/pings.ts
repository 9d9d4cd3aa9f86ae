/** Pings sent and not yet answered, in the order they were sent. */
import type { AddrId } from "../ports.ts";
import type { PingOutcome } from "../config.ts";
import { PING_TIMEOUT_MS } from "./constants.ts";

/** A person's wish to know whether a peer answers; the first pong settles it. */
export interface PingRequest {
  readonly deadline: number;
  readonly done: (outcome: PingOutcome | undefined) => void;
}

/** A ping on its way, either to `addr` or, when that is 0, by the relay `derp`. */
export interface SentPing {
  readonly addr: AddrId;
  /** The session when `addr` is a relay server's, 0 when it is the peer's. */
  readonly vni: number;
  readonly derp: number;
  readonly at: number;
  /** Bytes the message was padded to, 0 for none. */
  readonly size: number;
  readonly request: PingRequest | undefined;
}

/** By transaction ID, hex. */
export class SentPings {
  readonly #byTx = new Map<string, SentPing>();

  /** When the oldest counts as lost; Infinity when none is out. */
  get deadline(): number {
    for (const ping of this.#byTx.values()) return ping.at + PING_TIMEOUT_MS;
    return Infinity;
  }

  add(txId: string, ping: SentPing): void {
    this.#byTx.set(txId, ping);
  }

  /** The ping that a pong answers, which is then no longer out. */
  take(txId: string): SentPing | undefined {
    const ping = this.#byTx.get(txId);
    if (ping !== undefined) this.#byTx.delete(txId);
    return ping;
  }

  /** Takes out those that are lost by now. */
  expire(now: number): SentPing[] {
    const lost: SentPing[] = [];
    for (const [txId, ping] of this.#byTx) {
      if (ping.at + PING_TIMEOUT_MS > now) break;
      this.#byTx.delete(txId);
      lost.push(ping);
    }
    return lost;
  }

  clear(): void {
    this.#byTx.clear();
  }

  [Symbol.iterator](): IterableIterator<SentPing> {
    return this.#byTx.values();
  }
}
