/**
 * The daemon's log: one line of text per event to standard error, where systemd and a terminal both take it.
 *
 * Secrets are kept out twice. Values that are secrets are types that print `[redacted]`; and whatever looks like a key
 * in the finished line is struck out, in case text from elsewhere carries one (TS-2025-005, TS-2026-003).
 *
 * This is all there is of logging: a library's process-wide configuration would tie together the several daemons that
 * a test runs in one process.
 */

/** From least to most important. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** A place to write lines to. */
export interface Log {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
  /** The same log with a prefix, `control: …`. */
  child(prefix: string): Log;
}

/** What a log needs. */
export interface LogOptions {
  /** 0 leaves debug lines out. */
  readonly verbose: number;
  /** Unix milliseconds. */
  readonly wall: () => number;
  /** Takes one finished line with its newline. */
  readonly write: (line: string) => void;
  /** Leave the time out. */
  readonly bare?: boolean;
  /** For systemd's journal, which has a time of its own and takes the level as a number in front (sd-daemon(3)). */
  readonly journal?: boolean;
}

/** syslog(3). */
const PRIORITY: Readonly<Record<LogLevel, number>> = { debug: 7, info: 6, warn: 4, error: 3 };

/** Keys by their prefix. An auth key may carry a base64 suffix that signs for it (`--TL…`), which is secret as well. */
const SECRETS = /\b(?:tskey-[A-Za-z0-9_+\/=-]+|(?:privkey|nlpriv|disablement-secret):[0-9a-fA-F]+)/g;

/** The text with everything that has a secret's form struck out. */
export function redact(text: string): string {
  return text.replace(SECRETS, "[redacted]");
}

/** Makes a log. Line breaks within a text are kept visible as `\n`, so that one event stays one line. */
export function createLog(options: LogOptions): Log {
  const line = (level: LogLevel, prefix: string, text: string) => {
    if (level === "debug" && options.verbose === 0) return;
    const front = options.journal
      ? `<${PRIORITY[level]}>`
      : options.bare
      ? ""
      : `${new Date(options.wall()).toISOString()} `;
    const mark = level === "info" || level === "debug" ? "" : `${level}: `;
    options.write(`${front}${mark}${redact(prefix + text).replaceAll("\r", "").replaceAll("\n", "\\n")}\n`);
  };
  const at = (prefix: string): Log => ({
    debug: (text) => line("debug", prefix, text),
    info: (text) => line("info", prefix, text),
    warn: (text) => line("warn", prefix, text),
    error: (text) => line("error", prefix, text),
    child: (more) => at(`${prefix}${more}: `),
  });
  return at("");
}

const encoder = new TextEncoder();

/** A log to standard error. */
export function stderrLog(verbose: number): Log {
  return createLog({
    verbose,
    wall: Date.now,
    journal: Deno.env.get("JOURNAL_STREAM") !== undefined,
    write: (text) => {
      try {
        Deno.stderr.writeSync(encoder.encode(text));
      } catch {
        // Nobody reads the log any more; the node goes on.
      }
    },
  });
}
