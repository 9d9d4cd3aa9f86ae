/** TSMP pings under way: who waits for which pong, and until when. */
import { toHex } from "../../base/bytes.ts";

interface Waiting {
  readonly sent: number;
  readonly deadline: number;
  readonly done: (latencyMs: number | undefined) => void;
}

/** Pings that wait for a pong. */
export class TsmpPings {
  readonly #waiting = new Map<string, Waiting>();

  /** @param data the 8 bytes the pong will repeat. @param done called once, with undefined at the time-out. */
  add(data: Uint8Array, now: number, timeoutMs: number, done: (latencyMs: number | undefined) => void): void {
    this.#waiting.set(toHex(data), { sent: now, deadline: now + timeoutMs, done });
  }

  /** A pong arrived; false when nobody waited for it. */
  pong(data: Uint8Array, now: number): boolean {
    const key = toHex(data);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return false;
    this.#waiting.delete(key);
    waiting.done(now - waiting.sent);
    return true;
  }

  nextDeadline(): number {
    let next = Infinity;
    for (const { deadline } of this.#waiting.values()) next = Math.min(next, deadline);
    return next;
  }

  /** Tells those whose time is over. */
  advance(now: number): void {
    for (const [key, { deadline, done }] of this.#waiting) {
      if (deadline > now) continue;
      this.#waiting.delete(key);
      done(undefined);
    }
  }
}
