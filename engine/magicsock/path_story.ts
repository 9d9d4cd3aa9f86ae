/**
 * What happened on the way to one peer: the last events, for a person who asks why packets go as they go.
 *
 * Never one entry a packet: pings and answers alone, and those that repeat (heartbeats) are one entry that counts. Kept in
 * a ring of `MOST_EVENTS`, so that a peer costs the same however long it is there.
 */
import type { PathEvent, PathEventKind } from "../config.ts";

const MOST_EVENTS = 48;
/** An event of the same kind and address among the last so many is a repetition. */
const FOLD = 8;

interface Noted {
  readonly kind: PathEventKind;
  readonly path: string;
  first: number;
  last: number;
  count: number;
  latencyMs: number | undefined;
}

export class PathStory {
  #events: Noted[] = [];

  /** @param path where: `ip:port`, `ip:port:vni:N`, `derp-N`, or "" */
  note(kind: PathEventKind, path: string, now: number, latencyMs?: number): void {
    const from = Math.max(0, this.#events.length - FOLD);
    const again = this.#events.findLast((event, i) => i >= from && event.kind === kind && event.path === path);
    // A change of path is a turn of the story: what repeats behind it is told anew.
    if (again !== undefined && !this.#turned(again)) {
      again.last = now;
      again.count++;
      again.latencyMs = latencyMs ?? again.latencyMs;
      return;
    }
    if (this.#events.length >= MOST_EVENTS) this.#events.shift();
    this.#events.push({ kind, path, first: now, last: now, count: 1, latencyMs });
  }

  /** All of it, oldest first, in milliseconds before `now`. */
  tell(now: number): PathEvent[] {
    return this.#events.map(({ kind, path, first, last, count, latencyMs }) => ({
      kind,
      path,
      firstAgoMs: Math.round(now - first),
      lastAgoMs: Math.round(now - last),
      count,
      ...(latencyMs !== undefined && { latencyMs }),
    }));
  }

  #turned(since: Noted): boolean {
    return this.#events.some((event) => event.kind === "path" && event.first >= since.last);
  }
}
