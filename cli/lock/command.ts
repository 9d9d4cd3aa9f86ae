/** What the subcommands of `lock` share: their form, the daemon's answers, and refusals in Tailscale's words. */
import { CliError } from "../exit_codes.ts";
import { parseFlags } from "../flags.ts";
import type { FlagTable } from "../flags.ts";
import { LocalApiError } from "../local_client.ts";
import type { LocalClient } from "../local_client.ts";
import type { VerbContext } from "../verb.ts";
import { parseExact } from "./types.ts";
import type { LockStatus } from "./types.ts";

/** Runs with the arguments behind the subcommand; resolves to the exit code. */
export type Run = (args: readonly string[], context: VerbContext) => Promise<number>;

export const JSON_FLAG = { type: "string", value: "[=1]", help: "print as JSON, of this schema version" } as const;

/** `parseFlags`, where `--json` alone means schema 1. */
export function withJsonVersion<T extends FlagTable>(table: T, args: readonly string[]) {
  return parseFlags(table, args.map((arg) => /^--?json(=true)?$/.test(arg) ? "--json=1" : arg));
}

/** @throws CliError for a schema that is not known. */
export function requireSchema(version: string): void {
  if (version !== "1") throw new CliError(`unrecognised version: ${version}`);
}

/** JSON as Go's encoder writes it for people: indented, a line break behind it, and no character that HTML would read. */
export function goJson(value: unknown, indent = "  "): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `${JSON.stringify(value, null, indent).replace(/[<>&\u2028\u2029]/g, escaped)}\n`;
}

/** Go writes maps in the order of their names. */
export function metaV1(meta: Iterable<readonly [string, string]>): Record<string, string> {
  return Object.fromEntries([...meta].sort(([a], [b]) => a < b ? -1 : 1));
}

/** A number that is written as it is, beyond what a double holds exactly. */
export function exact(value: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value));
}

const STATUS_TEXT: Readonly<Record<number, string>> = { 400: "Bad Request", 404: "Not Found" };

/**
 * Runs a call of the daemon; its refusal reads as that of Tailscale's client, which scripts look at:
 * "error: 500 Internal Server Error: signing failed: …". Source: local.Client.send.
 *
 * @throws CliError
 */
export async function refusedAs<T>(prefix: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof LocalApiError) || error.status === 403) throw error;
    const status = `${error.status} ${STATUS_TEXT[error.status] ?? "Internal Server Error"}`;
    throw new CliError(`${prefix}: ${status}: ${error.message}`, error.code, { cause: error });
  }
}

export async function lockStatus(client: LocalClient): Promise<LockStatus> {
  return parseExact(await refusedAs("error", client.text("GET", "tka/status"))) as LockStatus;
}

/** @throws CliError when there is no lock. */
export async function requireEnabled(client: LocalClient): Promise<LockStatus> {
  const seen = await lockStatus(client);
  if (!seen.Enabled) throw new CliError("tailnet lock is not enabled");
  return seen;
}

/** @throws CliError unless this node's key is trusted. */
export function requireSigner({ TrustedKeys, PublicKey }: LockStatus): void {
  if ((TrustedKeys ?? []).some(({ Key }) => Key === PublicKey)) return;
  throw new CliError(
    "this node is not trusted by Tailnet Lock: run it on a signing node, `lock status` names their keys",
  );
}

/**
 * Asks before something that is not easily undone. True when it is to be done: because of the flag, or by the answer.
 * @throws CliError when nobody can answer.
 */
export function agreed(question: string, yes: boolean): boolean {
  if (yes) return true;
  if (!Deno.stdin.isTerminal()) throw new CliError("nothing was changed: nobody is here to ask; add --yes to go on");
  return confirm(question);
}
