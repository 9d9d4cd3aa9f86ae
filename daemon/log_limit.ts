/**
 * How often one place of the program may write to the log: five lines at once and one every five seconds after that. What
 * is left out is counted, and the count is told, at the level of what it counts, before the next line of that place, with
 * the next line of anybody once the place has been quiet, or at the end of the program.
 *
 * A place is known by what it writes and its level, numbers, keys and addresses aside, so no caller has to name itself. A
 * line that tells of a peer or a port over and over is thereby one place. Source: types/logger.RateLimitedFn (5 s, 5, 100).
 */
import type { LogLevel } from "./log_level.ts";

const BURST = 5;
const REFILL_MS = 5_000;
const MOST_PLACES = 100;
/** Characters looked at: what is longer is somebody's whole answer. */
const SHAPE_LENGTH = 1_000;

interface Place {
  /** Lines it may write now; grows by one every REFILL_MS up to BURST. */
  tokens: number;
  at: number;
  readonly level: LogLevel;
  leftOut: number;
  /** The last of them. */
  last: string;
}

/** A line that tells of others. */
export interface LeftOut {
  readonly level: LogLevel;
  readonly text: string;
}

/** A line with what differs from one time to the next taken out: keys, addresses, and every word with a digit in it. */
export function shapeOf(text: string): string {
  return text.slice(0, SHAPE_LENGTH)
    .replace(/\b[a-z]*key:[0-9a-f]+/g, "#")
    .replace(/\[?[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]+\]?/g, "#")
    .replace(/[\w+\/=.-]+/g, (word) => /\d/.test(word) ? "#" : word)
    .replace(/#(?:[.:]#)+/g, "#");
}

/** Counts lines by place. All times are milliseconds of one clock. */
export class LogLimit {
  readonly #places = new Map<string, Place>();

  /**
   * Asks whether a line may be written.
   *
   * @returns false to leave it out; else the lines to write before it, each telling of lines left out
   */
  admit(level: LogLevel, text: string, now: number): false | readonly LeftOut[] {
    const shape = `${level} ${shapeOf(text)}`;
    let place = this.#places.get(shape);
    const told: LeftOut[] = [];
    if (place === undefined) {
      this.#makeRoom(told);
      place = { tokens: BURST, at: now, level, leftOut: 0, last: text };
    } else this.#places.delete(shape);
    // The map's order is the order of use.
    this.#places.set(shape, place);
    refill(place, now);
    if (place.tokens < 1) {
      place.leftOut++;
      place.last = text;
      return false;
    }
    place.tokens--;
    for (const other of this.#places.values()) {
      if (other !== place) refill(other, now);
      if (other === place || other.tokens >= 1) tell(other, told);
    }
    return told;
  }

  /** What has not been told yet, at the end of it all. */
  flush(): readonly LeftOut[] {
    const told: LeftOut[] = [];
    for (const place of this.#places.values()) tell(place, told);
    return told;
  }

  #makeRoom(told: LeftOut[]): void {
    if (this.#places.size < MOST_PLACES) return;
    const [shape, place] = this.#places.entries().next().value!;
    tell(place, told);
    this.#places.delete(shape);
  }
}

function refill(place: Place, now: number): void {
  const gained = Math.floor((now - place.at) / REFILL_MS);
  if (gained <= 0) {
    // A clock that was set back begins anew.
    if (now < place.at) place.at = now;
    return;
  }
  place.tokens = Math.min(BURST, place.tokens + gained);
  place.at += gained * REFILL_MS;
}

function tell(place: Place, told: LeftOut[]): void {
  if (place.leftOut === 0) return;
  const like = place.leftOut === 1 ? "1 line like this was" : `${place.leftOut} lines like this were`;
  told.push({ level: place.level, text: `${like} left out: ${place.last}` });
  place.leftOut = 0;
}
