/**
 * Handshake messages by source address, applied only under load and only to sources that proved their address with a
 * cookie (whitepaper 5.3). A token bucket an address: 20 a second, 5 at once, as wireguard-go's `ratelimiter`.
 */
import { INITIATIONS_BURST, INITIATIONS_PER_SECOND } from "./constants.ts";

const COST = 1000 / INITIATIONS_PER_SECOND;
const FULL = COST * INITIATIONS_BURST;

interface Bucket {
  /** ms of time saved up, at most `FULL`. */
  tokens: number;
  last: number;
}

/** Token buckets by address in bounded memory: the address unheard of longest makes room for a new one. */
export class RateLimit {
  readonly #capacity: number;
  readonly #buckets = new Map<string, Bucket>();

  /** @param capacity addresses remembered at most. */
  constructor(capacity = 4096) {
    this.#capacity = capacity;
  }

  /** How many addresses are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Whether one more message of this address is let through. */
  allow(address: string, now: number): boolean {
    const bucket = this.#buckets.get(address) ?? { tokens: FULL, last: now };
    bucket.tokens = Math.min(FULL, bucket.tokens + Math.max(0, now - bucket.last));
    bucket.last = now;
    const allowed = bucket.tokens >= COST;
    if (allowed) bucket.tokens -= COST;
    // A Map keeps the order of insertion: putting it back at the end keeps the longest unheard of in front.
    this.#buckets.delete(address);
    this.#buckets.set(address, bucket);
    if (this.#buckets.size > this.#capacity) this.#buckets.delete(this.#buckets.keys().next().value!);
    return allowed;
  }
}
