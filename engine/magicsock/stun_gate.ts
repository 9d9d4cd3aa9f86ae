/**
 * Which STUN messages are passed on: answers to requests this node sent a moment ago. Everything else ends here, before it
 * costs the main thread anything (W9: a flood of answers nobody asked for).
 *
 * Header of a STUN message (RFC 8489 5): type u16 | length u16 | magic cookie u32 | transaction ID 12 bytes.
 */

/** Time for an answer. `netcheck` gives a STUN probe 3 s (stunProbeTimeout). */
const ANSWER_MS = 5_000;
/** Answers to one request: a network may double it. */
const MOST_ANSWERS = 4;
/** Requests that may be out: a netcheck of all regions sends a few each. */
const MOST_REQUESTS = 1_024;

interface Request {
  readonly expires: number;
  answers: number;
}

export class StunGate {
  /** By transaction ID, in the order they were sent. */
  readonly #requests = new Map<string, Request>();

  /** Notes a request that is being sent. @param message a whole STUN message. */
  sent(message: Uint8Array, now: number): void {
    for (const [id, { expires }] of this.#requests) {
      if (expires > now && this.#requests.size < MOST_REQUESTS) break;
      this.#requests.delete(id);
    }
    this.#requests.set(transactionOf(message, 0), { expires: now + ANSWER_MS, answers: 0 });
  }

  /** True for an answer to one of them. `classify` has said that the bytes at `offset` are a STUN message. */
  takes(u8: Uint8Array, offset: number, now: number): boolean {
    if (this.#requests.size === 0) return false;
    const request = this.#requests.get(transactionOf(u8, offset));
    return request !== undefined && request.expires > now && ++request.answers <= MOST_ANSWERS;
  }
}

function transactionOf(u8: Uint8Array, offset: number): string {
  return u8.subarray(offset + 8, offset + 20).toHex();
}
