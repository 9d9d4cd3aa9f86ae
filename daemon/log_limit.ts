/**
 * How often one place of the program may write to the log: five lines at once and one every five seconds after that. What
 * is left out is counted, and the count is told before the next line of that place, or with the next line of anybody once
 * the place has been quiet.
 *
 * A place is known by what it writes, numbers, keys and addresses aside, so no caller has to name itself. A line that
 * tells of a peer or a port over and over is thereby one place. Source: types/logger.RateLimitedFn (5 s, 5, 100).
 */

const BURST = 5;
const REFILL_MS = 5_000;
const MOST_PLACES = 100;
/** Lines are told apart by their beginning; what an error of others appends could differ each time. */
const SHAPE_LENGTH = 120;

interface Place {
  /** Lines it may write now; grows by one every REFILL_MS up to BURST. */
  tokens: number;
  at: number;
  leftOut: number;
  /** The last of them. */
  last: string;
}

/** A line with what differs from one time to the next taken out. */
export function shapeOf(text: string): string {
  return text.slice(0, SHAPE_LENGTH)
    .replace(/\b[a-z]*key:[0-9a-f]+/g, "#")
    .replace(/\[?[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]+\]?/g, "#")
    .replace(/[0-9a-f]*\d[0-9a-f]*/gi, "#")
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
  admit(text: string, now: number): false | readonly string[] {
    const shape = shapeOf(text);
    let place = this.#places.get(shape);
    const told: string[] = [];
    if (place === undefined) {
      this.#makeRoom(told);
      place = { tokens: BURST, at: now, leftOut: 0, last: text };
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

  #makeRoom(told: string[]): void {
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

function tell(place: Place, told: string[]): void {
  if (place.leftOut === 0) return;
  const like = place.leftOut === 1 ? "1 line like this was" : `${place.leftOut} lines like this were`;
  told.push(`${like} left out: ${place.last}`);
  place.leftOut = 0;
}
