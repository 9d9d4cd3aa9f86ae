/** What a terminal adds: colour and tables. Everything here is plain text when the output is not a terminal. */

/** Colour on standard output, unless it is piped or NO_COLOR is set (https://no-color.org). */
export function colourWanted(): boolean {
  return Deno.stdout.isTerminal() && !Deno.env.get("NO_COLOR") && Deno.env.get("TERM") !== "dumb";
}

/** SGR codes used. */
export type Colour = "green" | "yellow" | "red" | "dim" | "bold";
const CODES: Readonly<Record<Colour, number>> = { green: 32, yellow: 33, red: 31, dim: 2, bold: 1 };

/** `text` in a colour, when colours are wanted. */
export function paint(text: string, colour: Colour, wanted: boolean): string {
  return wanted ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text;
}

/** Columns padded to their widest cell, two spaces between; the last column is not padded. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, cell.length));
  return rows.map((row) =>
    row.map((cell, i) => i === row.length - 1 ? cell : cell.padEnd(widths[i] + 2)).join("").trimEnd()
  ).join("\n");
}

/** 128 and SIGPIPE, as a shell reports a program that the signal ended. */
const EXIT_PIPE = 141;

/** Prints text to standard output. */
export function print(text: string): void {
  write(Deno.stdout, text);
}

/** Prints text to standard error. */
export function printError(text: string): void {
  write(Deno.stderr, text);
}

/**
 * Text without control characters but line breaks, tabs and our own colours: names, health and errors come from the
 * network, and a terminal would obey them.
 */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character, at: number) => {
    if (character === "\n" || character === "\t") return character;
    return character === "\x1b" && /^\[[0-9;]*m/.test(text.slice(at + 1, at + 12)) ? character : "?";
  });
}

/**
 * Text for one cell of a table that somebody decides by: no line breaks with which a name could draw rows of its own, and
 * nothing invisible that turns its direction.
 */
export function oneLine(text: string): string {
  return text.replace(/\p{C}/gu, "?");
}

function write(to: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(printable(text));
  try {
    for (let at = 0; at < bytes.length;) at += to.writeSync(bytes.subarray(at));
  } catch (error) {
    // The reader has seen enough (`status | head -1`): end as other programs do, without a word.
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(EXIT_PIPE);
    throw error;
  }
}
