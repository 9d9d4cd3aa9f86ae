/**
 * One verb's flags, in Go's spelling and ours: `--name value`, `--name=value`, `-name=value`, `--flag`, `--flag=false`.
 *
 * A declared table gives parsing, defaults and the help text, so the three cannot disagree.
 */
import { parseDuration } from "./duration.ts";
import { UsageError } from "./exit_codes.ts";

/** One flag. `hidden` flags work and are not listed. */
export interface FlagSpec {
  readonly type: "string" | "boolean" | "number" | "duration";
  readonly help: string;
  /** What the help text shows as the value. */
  readonly value?: string;
  readonly fallback?: string | boolean | number;
  readonly hidden?: boolean;
}

/** A verb's flags by name. */
export type FlagTable = Readonly<Record<string, FlagSpec>>;

type ValueOf<S extends FlagSpec> = S["type"] extends "boolean" ? boolean
  : S["type"] extends "string" ? string
  : number;

/** What was parsed: every flag has a value; `given` has the names the user wrote. */
export interface Parsed<T extends FlagTable> {
  readonly values: { readonly [K in keyof T]: ValueOf<T[K]> };
  readonly given: ReadonlySet<string>;
  readonly rest: readonly string[];
}

const ZERO = { string: "", boolean: false, number: 0, duration: 0 } as const;

function parseValue(name: string, spec: FlagSpec, text: string): string | boolean | number {
  switch (spec.type) {
    case "string":
      return text;
    case "boolean":
      if (/^(true|1|t|T|TRUE|True)$/.test(text)) return true;
      if (/^(false|0|f|F|FALSE|False)$/.test(text)) return false;
      throw new UsageError(`invalid value "${text}" for flag --${name}: want true or false`);
    case "number":
      if (/^-?[0-9]+$/.test(text)) return Number(text);
      throw new UsageError(`invalid value "${text}" for flag --${name}: want a whole number`);
    case "duration": {
      const ms = parseDuration(text);
      if (ms !== undefined) return ms;
      throw new UsageError(`invalid value "${text}" for flag --${name}: want a duration like 30s, 5m or 0`);
    }
  }
}

/** Parses `args`; what follows the first non-flag or `--` is `rest`, as in Go, unless `interleaved`. */
export function parseFlags<T extends FlagTable>(
  table: T,
  args: readonly string[],
  { interleaved = true }: { interleaved?: boolean } = {},
): Parsed<T> {
  const values: Record<string, string | boolean | number> = {};
  for (const [name, spec] of Object.entries(table)) values[name] = spec.fallback ?? ZERO[spec.type];
  const given = new Set<string>();
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === "--") {
      rest.push(...args.slice(i + 1));
      break;
    }
    const match = /^--?([A-Za-z0-9][\w-]*)(?:=([^]*))?$/.exec(arg);
    if (match === null) {
      if (!interleaved) {
        rest.push(...args.slice(i));
        break;
      }
      rest.push(arg);
      continue;
    }
    const [, name, inline] = match;
    const spec = Object.hasOwn(table, name) ? table[name] : undefined;
    if (spec === undefined) throw new UsageError(`flag provided but not defined: ${arg.split("=")[0]}`);
    given.add(name);
    if (inline !== undefined) values[name] = parseValue(name, spec, inline);
    else if (spec.type === "boolean") values[name] = true;
    else if (i + 1 < args.length) values[name] = parseValue(name, spec, args[++i]);
    else throw new UsageError(`flag needs an argument: ${arg}`);
  }
  return { values: values as Parsed<T>["values"], given, rest };
}

/** As `parseFlags`, of a verb that takes flags alone. @throws UsageError for anything else */
export function parseOnlyFlags<T extends FlagTable>(table: T, args: readonly string[]): Omit<Parsed<T>, "rest"> {
  const { rest, ...parsed } = parseFlags(table, args);
  if (rest.length > 0) throw new UsageError(`unexpected argument: ${rest[0]}`);
  return parsed;
}

/** The flags' part of a verb's help. @param fallbacks false where a flag that is not given means nothing at all. */
export function flagHelp(table: FlagTable, { fallbacks = true }: { fallbacks?: boolean } = {}): string {
  const rows = Object.entries(table).filter(([, spec]) => !spec.hidden).map(([name, spec]) => {
    const value = spec.value ?? (spec.type === "boolean" ? "" : spec.type === "string" ? "value" : spec.type);
    // A value that may be left out is written behind `=`.
    const shown = value === "" || value.startsWith("[") ? value : ` ${value}`;
    return { left: `  ${name.length === 1 ? "-" : "--"}${name}${shown}`, spec };
  });
  const width = Math.min(34, Math.max(...rows.map(({ left }) => left.length)) + 2);
  return rows.map(({ left, spec }) => {
    const fallback = !fallbacks || spec.fallback === undefined || spec.fallback === "" || spec.fallback === false
      ? ""
      : ` (default ${spec.type === "duration" ? `${Number(spec.fallback) / 1000}s` : spec.fallback})`;
    const gap = left.length < width ? left.padEnd(width) : `${left}\n${" ".repeat(width)}`;
    return `${gap}${spec.help}${fallback}`;
  }).join("\n");
}
