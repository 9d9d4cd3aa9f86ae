/** Life times on the command line: Go's durations, days and weeks besides, and "never". */
import { parseDuration } from "../duration.ts";
import { UsageError } from "../exit_codes.ts";

const LONG_UNITS: Readonly<Record<string, number>> = { d: 86_400_000, w: 7 * 86_400_000 };

/** Milliseconds; 0 for "never" and "0". @throws UsageError that names the flag. */
export function parseLife(flag: string, text: string): number {
  if (text === "never") return 0;
  const long = /^([0-9]+)([dw])$/.exec(text);
  const ms = long === null ? parseDuration(text) : Number(long[1]) * LONG_UNITS[long[2]];
  if (ms !== undefined && ms >= 0 && ms <= 100 * 366 * LONG_UNITS.d) return ms;
  throw new UsageError(`invalid value "${text}" for flag --${flag}: want a time like 90d, 24h, 30m or never`);
}

/** `--tags tag:a,tag:b` as a list; the names are checked by the coordinator. */
export function parseTags(text: string): string[] {
  return text.split(",").map((tag) => tag.trim()).filter((tag) => tag !== "");
}
