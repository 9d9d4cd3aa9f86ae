/** A configuration from the disk: where it lies, and what is there. Source: ipn/conffile (Load), cmd/tailscaled (`--config`). */
import { reasonOf } from "../../base/reason.ts";
import { problemLine } from "./hujson.ts";
import { readConfig } from "./read.ts";
import type { Config } from "./read.ts";

/** What `--config` names. */
export interface ConfigSource {
  readonly path: string;
  /** A file that is not there means: no configuration. */
  readonly optional: boolean;
}

/** What was found. Lines are for the operator, as `path:line:column: …`. */
export type LoadedConfig =
  | { readonly kind: "config"; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly kind: "absent" }
  | { readonly kind: "bad"; readonly lines: readonly string[] };

/** More mistakes than this help nobody. */
const MAX_LINES = 20;

/** Reads the flag's value, `PATH` or `optional:PATH`; undefined for what this version cannot read from. */
export function parseConfigSource(text: string): ConfigSource | undefined {
  const optional = text.startsWith("optional:");
  const path = optional ? text.slice("optional:".length) : text;
  return path === "" || path === "vm:user-data" ? undefined : { path, optional };
}

/** Loads it. Never throws. */
export function loadConfig(
  { path, optional }: ConfigSource,
  readFile: (path: string) => Uint8Array = Deno.readFileSync,
): LoadedConfig {
  let bytes: Uint8Array;
  try {
    bytes = readFile(path);
  } catch (cause) {
    if (optional && cause instanceof Deno.errors.NotFound) return { kind: "absent" };
    return { kind: "bad", lines: [`Cannot read ${path}: ${reasonOf(cause)}`] };
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return { kind: "bad", lines: [`${path}: it is not UTF-8 text`] };
  }
  const read = readConfig(text);
  if (read.ok) {
    const warnings = read.warnings.map((problem) => problemLine(path, text, problem));
    const key = read.config.AuthKey?.reveal() ?? "";
    if (key !== "" && !key.startsWith("file:") && othersMayRead(path)) {
      warnings.push(`${path}: others than root may read the auth key in it; chmod 600, or "AuthKey": "file:PATH"`);
    }
    return { kind: "config", config: read.config, warnings };
  }
  const lines = read.problems.map((problem) => problemLine(path, text, problem));
  if (lines.length > MAX_LINES) lines.splice(MAX_LINES, lines.length, `${path}: and ${lines.length - MAX_LINES} more`);
  return { kind: "bad", lines };
}

function othersMayRead(path: string): boolean {
  try {
    return ((Deno.statSync(path).mode ?? 0) & 0o044) !== 0;
  } catch {
    return false;
  }
}
