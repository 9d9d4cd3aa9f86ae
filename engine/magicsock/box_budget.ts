/**
 * How many disco messages that do not open are tried (W9). Anybody may send a message in a known peer's name, and each
 * costs a Salsa20 and a Poly1305 before it is found out.
 *
 * ```
 *   from an address we know of this peer   the peer's own budget   \
 *   from anywhere else                     one budget for all       } empty: dropped unopened,
 *   in the name of a peer that sleeps      one, a smaller one      /  until time has filled it again
 * ```
 * Only failures spend, so that a peer that is itself is never limited, and strangers elsewhere cannot spend what the peer's
 * own address has. For a peer that sleeps the key is to be agreed on first, which is ten times the work. Ours; Tailscale
 * opens every message.
 */
import { TokenBucket } from "./token_bucket.ts";

/** Failures at once, and one more in so many ms. */
const BURST = 100;
const INTERVAL_MS = 1;
/** The same in the names of those who sleep: one percent of the thread. */
export const SLEEPERS_BURST = 20;
export const SLEEPERS_INTERVAL_MS = 5;

/** A budget of failures. */
export class BoxBudget {
  readonly #bucket: TokenBucket;
  readonly #intervalMs: number;
  #spentUntil = -Infinity;

  constructor(burst = BURST, intervalMs = INTERVAL_MS) {
    this.#bucket = new TokenBucket(burst, intervalMs);
    this.#intervalMs = intervalMs;
  }

  /** Whether another message may be opened. */
  allows(now: number): boolean {
    return now >= this.#spentUntil;
  }

  /** A message did not open. */
  failed(now: number): void {
    if (!this.#bucket.take(now)) this.#spentUntil = now + this.#intervalMs;
  }
}
