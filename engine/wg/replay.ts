/**
 * Sliding-window replay protection (RFC 6479, whitepaper 5.4.6).
 *
 * A ring of 8192 bits holds what was seen of the newest counters. Moving the window forward clears whole words that
 * come into it and nothing else, so a packet costs a few operations however far it jumps.
 *
 * ```
 *   newest = 10000, one bit a counter, ring position = counter mod 8192
 *   ... 1872 ─────────────── 10000 ───▶
 *        └ 8128 behind: accepted once │ ahead: accepted, window moves
 *   1871: 8129 behind, refused
 * ```
 * Accepting takes two steps: `check` before the packet is opened, `accept` once it is authentic. A forged packet
 * therefore never moves the window.
 */
import type { Drop } from "../../base/drops.ts";
import { COUNTER_LIMIT, REPLAY_RING_BITS, REPLAY_WINDOW } from "./constants.ts";

const WORDS = REPLAY_RING_BITS / 32;
const WORD_MASK = WORDS - 1;
const TWO_32 = 2 ** 32;

/** The counters a keypair has received. 64-bit counters come as two unsigned 32-bit halves. */
export class ReplayWindow {
  readonly #ring = new Uint32Array(WORDS);
  #newest = 0;

  /** Whether a packet may be opened at all. Changes nothing. */
  check(counterLow: number, counterHigh: number): Drop | undefined {
    const counter = counterHigh * TWO_32 + counterLow;
    if (counter >= COUNTER_LIMIT) return "counter-limit";
    if (counter > this.#newest) return undefined;
    if (this.#newest - counter > REPLAY_WINDOW) return "counter-replay";
    const seen = this.#ring[(counterLow >>> 5) & WORD_MASK] & (1 << (counterLow & 31));
    return seen === 0 ? undefined : "counter-replay";
  }

  /** Records an authentic packet's counter. False: seen before, too old or beyond the limit; nothing changed then. */
  accept(counterLow: number, counterHigh: number): boolean {
    const counter = counterHigh * TWO_32 + counterLow;
    if (counter >= COUNTER_LIMIT) return false;
    if (counter > this.#newest) {
      this.#moveTo(counter);
    } else if (this.#newest - counter > REPLAY_WINDOW) {
      return false;
    }
    const word = (counterLow >>> 5) & WORD_MASK;
    const bit = 1 << (counterLow & 31);
    if ((this.#ring[word] & bit) !== 0) return false;
    this.#ring[word] |= bit;
    return true;
  }

  #moveTo(counter: number): void {
    const from = Math.floor(this.#newest / 32);
    const steps = Math.min(Math.floor(counter / 32) - from, WORDS);
    for (let i = 1; i <= steps; i++) this.#ring[(from + i) % WORDS] = 0;
    this.#newest = counter;
  }
}
