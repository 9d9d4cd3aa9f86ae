/** The end of the log, kept in memory for a bug report: debug lines too, whatever is written elsewhere. */

/** Characters kept; a few thousand lines. */
const ROOM = 256 << 10;

/** The last lines, oldest first. */
export class LogTail {
  #lines: string[] = [];
  #size = 0;
  #first = 0;

  /** Takes one finished line with its newline. */
  add(line: string): void {
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

  text(): string {
    return this.#lines.slice(this.#first).join("");
  }
}
