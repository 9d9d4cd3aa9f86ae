/**
 * Receiver indices (whitepaper 5.4): random 32-bit numbers by which a message names the handshake or keypair it is
 * for, so that a packet on the wire does not tell whose it is. Handshakes and keypairs share one space; an index goes
 * from the handshake to the keypair it makes.
 */
import type { RandomBytes } from "../../base/keys.ts";

const MAX_DRAWS = 128;

/** Random unique indices and what each stands for. */
export class IndexTable<T> {
  readonly #random: RandomBytes;
  readonly #entries = new Map<number, T>();

  constructor(random: RandomBytes) {
    this.#random = random;
  }

  /** How many indices are in use. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Takes an unused index for `entry`.
   * @throws RangeError when the random source keeps repeating itself: a device must not run with such a source.
   */
  allocate(entry: T): number {
    for (let draw = 0; draw < MAX_DRAWS; draw++) {
      const bytes = this.#random(4);
      const index = ((bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3]) >>> 0;
      if (this.#entries.has(index)) continue;
      this.#entries.set(index, entry);
      return index;
    }
    throw new RangeError(`Cannot find a free receiver index in ${MAX_DRAWS} draws: the random source repeats itself`);
  }

  get(index: number): T | undefined {
    return this.#entries.get(index);
  }

  /** Frees an index; it may be drawn again. */
  release(index: number): void {
    this.#entries.delete(index);
  }
}
