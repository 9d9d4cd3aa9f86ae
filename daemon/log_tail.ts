/** The end of the log, kept in memory for a bug report, and whoever follows it: debug lines too, whatever is written. */
import type { LogLevel } from "./log_level.ts";

/** Characters kept; a few thousand lines. */
const ROOM = 256 << 10;

/** One line as a follower gets it. */
export interface TailLine {
  readonly level: LogLevel;
  /** RFC 3339. */
  readonly time: string;
  /** Without time and newline. */
  readonly text: string;
}

/** The last lines, oldest first. */
export class LogTail {
  readonly #followers = new Set<(line: TailLine) => void>();
  #lines: string[] = [];
  #size = 0;
  #first = 0;

  add(told: TailLine): void {
    const line = `${told.time} ${told.text}\n`;
    for (const follower of this.#followers) follower(told);
    this.#lines.push(line);
    this.#size += line.length;
    while (this.#size > ROOM && this.#first < this.#lines.length - 1) {
      this.#size -= this.#lines[this.#first].length;
      this.#lines[this.#first++] = "";
    }
    // Moving the rest down costs as much as it freed.
    if (this.#first > this.#lines.length / 2) {
      this.#lines = this.#lines.slice(this.#first);
      this.#first = 0;
    }
  }

  /** Calls back for every line from now on. @returns the end of it */
  follow(follower: (line: TailLine) => void): () => void {
    this.#followers.add(follower);
    return () => void this.#followers.delete(follower);
  }

  text(): string {
    return this.#lines.slice(this.#first).join("");
  }
}
