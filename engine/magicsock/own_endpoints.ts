/**
 * What this node may tell peers of itself, and how fresh that is.
 *
 * A CallMeMaybe opens nothing when the NAT has forgotten the mapping it speaks of: it waits until a STUN round has found
 * the endpoints, the same or not. While any session is active STUN is repeated, so that none has to wait.
 *
 * Source: tailscale.com/wgengine/magicsock `enqueueCallMeMaybe`, `ReSTUN`.
 */
import type { AddrPort } from "../../base/ip.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { ENDPOINTS_ASK_INTERVAL_MS, ENDPOINTS_FRESH_ENOUGH_MS, RESTUN_MAX_MS, RESTUN_MIN_MS } from "./constants.ts";
import type { Endpoint } from "./endpoint.ts";

/** What it needs of its magicsock. */
export interface OwnEndpointsOwner {
  readonly random: RandomBytes;
  /** Asks for a STUN round, to be answered by `set`. */
  ask(reason: string): void;
  /** Sends a CallMeMaybe. */
  tell(endpoint: Endpoint, own: readonly AddrPort[], now: number): void;
}

export class OwnEndpoints {
  readonly #owner: OwnEndpointsOwner;
  /** Peers to be told once the endpoints are fresh. */
  readonly #waiting = new Set<Endpoint>();
  #addrs: readonly AddrPort[] = [];
  #freshAt = -Infinity;
  #askedAt = -Infinity;
  #restunAt = Infinity;

  constructor(owner: OwnEndpointsOwner) {
    this.#owner = owner;
  }

  /** When `advance` has something to do. */
  get deadline(): number {
    return this.#restunAt;
  }

  /** @param fresh a STUN round that ended at `now` found them: who waits is told */
  set(addrs: readonly AddrPort[], fresh: boolean, now: number): void {
    this.#addrs = [...addrs];
    if (!fresh) return;
    this.#freshAt = now;
    this.#askedAt = -Infinity;
    if (this.#restunAt !== Infinity) this.#restunAt = this.#nextRestun(now);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const endpoint of waiting) this.#owner.tell(endpoint, this.#addrs, now);
  }

  /** Tells a peer where this node is, once that is fresh. */
  tell(endpoint: Endpoint, now: number): void {
    if (now - this.#freshAt < ENDPOINTS_FRESH_ENOUGH_MS) return this.#owner.tell(endpoint, this.#addrs, now);
    this.#waiting.add(endpoint);
    this.#ask("refresh-for-peering", now);
  }

  /** The peer is gone. */
  forget(endpoint: Endpoint): void {
    this.#waiting.delete(endpoint);
  }

  /** Traffic with some peer begins. */
  sessionStarted(now: number): void {
    if (this.#restunAt === Infinity) this.#restunAt = Math.max(now, this.#nextRestun(this.#freshAt));
  }

  /** Nobody is told anything any more, and STUN not repeated. */
  stop(): void {
    this.#waiting.clear();
    this.#restunAt = Infinity;
  }

  /** Sockets or links changed: nothing is fresh. @param ask whether a round is wanted at once */
  networkChanged(ask: boolean, now: number): void {
    this.#freshAt = this.#askedAt = -Infinity;
    if (ask) this.#ask("rebind", now);
  }

  /**
   * Repeats STUN when it is time, which keeps the NAT's mapping of this node alive, while there is any session.
   * @param anySession asked only then: it looks at every peer
   */
  advance(anySession: () => boolean, now: number): void {
    if (this.#restunAt > now) return;
    if (!anySession()) {
      this.#restunAt = Infinity;
      return;
    }
    this.#restunAt = this.#nextRestun(now);
    this.#ask("periodic", now);
  }

  /** Asks for endpoints, unless a round asked for a moment ago may still be under way. */
  #ask(reason: string, now: number): void {
    if (now - this.#askedAt < ENDPOINTS_ASK_INTERVAL_MS) return;
    this.#askedAt = now;
    this.#owner.ask(reason);
  }

  #nextRestun(since: number): number {
    const [high, low] = this.#owner.random(2);
    return since + RESTUN_MIN_MS + ((high << 8 | low) / 65_536) * (RESTUN_MAX_MS - RESTUN_MIN_MS);
  }
}
