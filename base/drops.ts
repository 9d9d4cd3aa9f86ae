/**
 * Why a packet was dropped. Bytes from the network never throw: whoever refuses them names one of these, and the
 * counters are what `metrics` and `debug` show.
 */

/** Every reason, in the order of the counters. Add at the end; never reuse a place. */
export const DROP_REASONS = [
  "too-short",
  "too-long",
  "unknown-type",
  "reserved-bytes",
  "unknown-index",
  "unknown-peer",
  "mac1",
  "mac2",
  "cookie",
  "under-load",
  "rate-limited",
  "handshake-crypto",
  "handshake-state",
  "timestamp-replay",
  "low-order-key",
  "decrypt",
  "counter-replay",
  "counter-limit",
  "keypair-expired",
  "inner-length",
  "inner-malformed",
  "source-not-allowed",
  "no-route",
  "no-keypair",
  "queue-full",
  "filter-acl",
  "filter-shields",
  "filter-multicast",
  "filter-link-local",
  "filter-fragment",
  "filter-destination",
  "jailed",
  "disco-envelope",
  "disco-unknown-sender",
  "disco-decrypt",
  "disco-malformed",
  "disco-rate",
  "stun-malformed",
  "stun-unknown-transaction",
  "derp-frame",
  "derp-too-large",
  "derp-queue",
  "no-path",
  "send-failed",
  "tun-write",
  "peer-expired",
  "disco-unknown-transaction",
  "relay-denied",
  "relay-session",
] as const;

/** One of the named reasons. */
export type Drop = (typeof DROP_REASONS)[number];

const INDEX = new Map<string, number>(DROP_REASONS.map((reason, i) => [reason, i]));

/** Counters of drops by reason, perhaps over shared memory so that another thread can read them. */
export class DropCounters {
  readonly #counts: Int32Array;

  /** @param counts at least `DROP_REASONS.length` words, borrowed. */
  constructor(counts: Int32Array = new Int32Array(DROP_REASONS.length)) {
    this.#counts = counts;
  }

  count(reason: Drop, times = 1): void {
    this.#counts[INDEX.get(reason)!] += times;
  }

  get(reason: Drop): number {
    return this.#counts[INDEX.get(reason)!] >>> 0;
  }

  /** The reasons that happened, with their counts. */
  snapshot(): Partial<Record<Drop, number>> {
    const seen: Partial<Record<Drop, number>> = {};
    for (const [i, reason] of DROP_REASONS.entries()) if (this.#counts[i] !== 0) seen[reason] = this.#counts[i] >>> 0;
    return seen;
  }
}
