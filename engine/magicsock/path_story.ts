/**
 * What happened on the way to one peer: the last events, for a person who asks why packets go as they go.
 *
 * Never one entry a packet: pings and answers alone, and what repeats between two changes of path (heartbeats, candidates
 * that never answer) is one entry that counts. Changes of path are kept apart, so that no crowd of candidates drives them
 * out. Both are bounded: a peer costs the same however long it is there.
 */
import type { PathEvent, PathEventKind } from "../config.ts";

const MOST_EVENTS = 64;
const MOST_CHANGES = 16;

interface Noted {
  readonly kind: PathEventKind;
  readonly path: string;
  readonly first: number;
  last: number;
  count: number;
  latencyMs: number | undefined;
}

export class PathStory {
  /** What happened since the last change of path comes last. */
  readonly #events: Noted[] = [];
  readonly #changes: Noted[] = [];
  #changedAt = -Infinity;
  #lastAt = 0;

  /** When something was last noted. */
  get lastAt(): number {
    return this.#lastAt;
  }

  /** @param path where: `ip:port`, `ip:port:vni:N`, `derp-N`, or "" */
  note(kind: PathEventKind, path: string, now: number, latencyMs?: number): void {
    this.#lastAt = now;
    const event: Noted = { kind, path, first: now, last: now, count: 1, latencyMs };
    if (kind === "path") {
      this.#changedAt = now;
      if (this.#changes.push(event) > MOST_CHANGES) this.#changes.shift();
      return;
    }
    const again = this.#events.findLast((old) => old.kind === kind && old.path === path);
    if (again !== undefined && again.last >= this.#changedAt) {
      again.last = now;
      again.count++;
      again.latencyMs = latencyMs ?? again.latencyMs;
      return;
    }
    if (this.#events.push(event) > MOST_EVENTS) this.#events.shift();
  }

  /** All of it by when each began, oldest first, in milliseconds before `now`. */
  tell(now: number): PathEvent[] {
    const all = [...this.#events, ...this.#changes].sort((a, b) => a.first - b.first);
    return all.map(({ kind, path, first, last, count, latencyMs }) => ({
      kind,
      path,
      firstAgoMs: Math.round(now - first),
      lastAgoMs: Math.round(now - last),
      count,
      ...(latencyMs !== undefined && { latencyMs }),
    }));
  }
}
