/** Whether the device is under load, judged by how many handshake messages came in the last second. */
import { UNDER_LOAD_AFTER_TIME, UNDER_LOAD_HANDSHAKES } from "./constants.ts";

const WINDOW = 1000;

/**
 * Counts handshake messages in a sliding second, from two fixed buckets: the running one and the part of the one before
 * that still lies within the second, taken as evenly spread. Once above the limit the device stays under load for `UNDER_LOAD_AFTER_TIME`.
 */
export class HandshakeLoad {
  readonly #limit: number;
  #bucketStart = -Infinity;
  #count = 0;
  #before = 0;
  #until = -Infinity;

  /** @param limit messages a second that are still no load. */
  constructor(limit: number = UNDER_LOAD_HANDSHAKES) {
    this.#limit = limit;
  }

  /** Counts one message and says whether it came under load. */
  arrived(now: number): boolean {
    const past = now - this.#bucketStart;
    if (past >= WINDOW) {
      this.#before = past < 2 * WINDOW ? this.#count : 0;
      this.#bucketStart = past < 2 * WINDOW ? this.#bucketStart + WINDOW : now;
      this.#count = 0;
    }
    this.#count++;
    const share = 1 - (now - this.#bucketStart) / WINDOW;
    if (this.#count + this.#before * share > this.#limit) this.#until = now + UNDER_LOAD_AFTER_TIME;
    return now < this.#until;
  }
}
