/** Time as the control server sees it: keys expire by its clock, and ours may be wrong. Source: ipnlocal/expiry.go. */
import type { Clock } from "../base/clock.ts";

/** A control clock before this, January 2023, is wrong: our own is taken then (flagExpiredPeersEpoch). */
const EARLIEST = 1_673_373_066_000;

/** Our clock corrected by what the server said last. */
export class ControlClock {
  readonly #clock: Clock;
  /** Control's clock less ours, ms; 0 while they agree to a minute. */
  delta = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Unix milliseconds. */
  now(): number {
    const ours = this.#clock.wall();
    const theirs = ours + this.delta;
    return theirs < EARLIEST ? ours : theirs;
  }
}
