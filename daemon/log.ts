/**
 * The daemon's log: one line per event to standard error, where systemd and a terminal both take it.
 *
 * ```
 *   event ─▶ secrets struck out ─┬─▶ tail (for a bug report)
 *                                └─▶ level ─▶ limit ─▶ text, or JSON; for the journal with its priority in front
 * ```
 * Secrets are kept out twice. Values that are secrets are types that print `[redacted]`; and whatever looks like a key
 * in the finished line is struck out, in case text from elsewhere carries one (TS-2025-005, TS-2026-003).
 *
 * This is all there is of logging: a library's process-wide configuration would tie together the several daemons that
 * a test runs in one process.
 */
import { LogThreshold } from "./log_level.ts";
import type { LogLevel } from "./log_level.ts";
import { LogLimit } from "./log_limit.ts";
import { LogTail } from "./log_tail.ts";
export type { LogLevel } from "./log_level.ts";

/** A place to write lines to. */
export interface Log {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
  /** The same log with a prefix, `control: …`. */
  child(prefix: string): Log;
}

/** How a line is written. */
export type LogFormat = "text" | "json";

/** What a log needs. */
export interface LogOptions {
  /** 0 leaves debug lines out, where `threshold` does not say. */
  readonly verbose: number;
  /** What is written, looked at for each line. */
  readonly threshold?: LogThreshold;
  /** Unix milliseconds. */
  readonly wall: () => number;
  /** Takes one finished line with its newline. */
  readonly write: (line: string) => void;
  /** "text" unless given. */
  readonly format?: LogFormat;
  /** Leave the time out. */
  readonly bare?: boolean;
  /** For systemd's journal, which has a time of its own and takes the level as a number in front (sd-daemon(3)). */
  readonly journal?: boolean;
  /** How often one place may write; without limit unless given. */
  readonly limit?: LogLimit;
  /** Takes what is to be called when nothing is written any more: it tells of lines that were left out. */
  readonly atEnd?: (end: () => void) => void;
  /** Gets every line. */
  readonly tail?: LogTail;
}

/** syslog(3). */
const PRIORITY: Readonly<Record<LogLevel, number>> = { debug: 7, info: 6, warn: 4, error: 3 };

/**
 * Keys by their prefix, headscale's too, and passwords in a URL. An auth key may carry a base64 suffix that signs for it
 * (`--TL…`), which is secret as well.
 */
const SECRETS = /\b(?:(?:ts|hs)key-[A-Za-z0-9_+\/=-]+|(?:privkey|nlpriv|disablement-secret):[0-9a-fA-F]+)/g;
const PASSWORDS = /(:\/\/[^\s\/:@]*:)[^\s\/@]+(?=@)/g;

/** The text with everything that has a secret's form struck out. */
export function redact(text: string): string {
  return text.replace(SECRETS, "[redacted]").replace(PASSWORDS, "$1[redacted]");
}

function prefixOf(parts: readonly string[]): string {
  return parts.map((part) => `${part}: `).join("");
}

function textLine(level: LogLevel, parts: readonly string[], text: string): string {
  const mark = level === "info" || level === "debug" ? "" : `${level}: `;
  return `${mark}${prefixOf(parts)}${text}`.replaceAll("\r", "").replaceAll("\n", "\\n");
}

/** One object: RFC 3339 time, level, the part of the program that speaks where one does, and the text. */
function jsonLine(time: string | undefined, level: LogLevel, parts: readonly string[], text: string): string {
  return JSON.stringify({ time, level, component: parts.length > 0 ? parts.join(".") : undefined, msg: text });
}

/** Makes a log. Line breaks within a text are kept visible as `\n`, so that one event stays one line. */
export function createLog(options: LogOptions): Log {
  const { format = "text", limit, tail, wall } = options;
  const threshold = options.threshold ?? new LogThreshold(options.verbose === 0 ? "info" : "debug");
  const stamp = (now: number) => new Date(now).toISOString();
  const put = (level: LogLevel, parts: readonly string[], text: string, now: number) => {
    const priority = options.journal ? `<${PRIORITY[level]}>` : "";
    const time = options.journal || options.bare ? undefined : stamp(now);
    const line = format === "json"
      ? jsonLine(options.bare ? undefined : stamp(now), level, parts, text)
      : `${time === undefined ? "" : `${time} `}${textLine(level, parts, text)}`;
    options.write(`${priority}${line}\n`);
  };
  const line = (level: LogLevel, parts: readonly string[], said: string) => {
    const passes = threshold.passes(level);
    if (!passes && tail === undefined) return;
    const text = redact(said);
    const now = wall();
    tail?.add({ level, time: stamp(now), text: textLine(level, parts, text) });
    if (!passes) return;
    const left = limit?.admit(level, `${prefixOf(parts)}${text}`, now) ?? [];
    if (left === false) return;
    for (const told of left) put(told.level, [], told.text, now);
    put(level, parts, text, now);
  };
  options.atEnd?.(() => {
    for (const told of limit?.flush() ?? []) put(told.level, [], told.text, wall());
  });
  const at = (parts: readonly string[]): Log => ({
    debug: (text) => line("debug", parts, text),
    info: (text) => line("info", parts, text),
    warn: (text) => line("warn", parts, text),
    error: (text) => line("error", parts, text),
    child: (more) => at([...parts, more]),
  });
  return at([]);
}

const encoder = new TextEncoder();

/** The log of a whole process, and what can be done with it while it runs. */
export interface ProcessLog {
  readonly log: Log;
  readonly threshold: LogThreshold;
  readonly tail: LogTail;
}

/** A log to standard error. */
export function stderrLog(verbose: number, format: LogFormat = "text"): ProcessLog {
  const threshold = new LogThreshold(verbose === 0 ? "info" : "debug");
  const tail = new LogTail();
  const log = createLog({
    verbose,
    threshold,
    tail,
    format,
    limit: new LogLimit(),
    wall: Date.now,
    journal: Deno.env.get("JOURNAL_STREAM") !== undefined,
    atEnd: (end) => globalThis.addEventListener("unload", end),
    write: (text) => {
      try {
        Deno.stderr.writeSync(encoder.encode(text));
      } catch {
        // Nobody reads the log any more; the node goes on.
      }
    },
  });
  return { log, threshold, tail };
}
