/**
 * Keys and secrets on the command line: `tlpub:<hex>[?votes]`, `disablement:<hex>`, `nodekey:<hex>`, `file:<path>`.
 * Source: cli.parseTLArgs, cli.runTailnetLockSign.
 */
import { fromHex, toBase64, toHex } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import { LockPublic } from "../../base/lock_key.ts";
import { reasonOf } from "../../base/reason.ts";
import { CliError, UsageError } from "../exit_codes.ts";
import type { Program } from "../program.ts";

/** A key to trust, and its votes. */
export interface KeyArg {
  readonly key: LockPublic;
  readonly votes: number;
  readonly meta?: Readonly<Record<string, string>>;
}

/** What to know of an auth key that a trusted key signed itself. */
export const NO_KEY_ADDED = "No key was added for it: to distrust this auth key alone, expire it.\n";

const DISABLEMENT = /^disablement(-secret)?:/;

/** @throws CliError naming the argument by its number. */
export function parseKey(text: string, number: number): KeyArg {
  const [name, votesText] = text.split(/\?(.*)/s);
  const key = LockPublic.parse(name);
  if (key === undefined) throw new CliError(`parsing key ${number}: want tlpub:<64 hex digits>, got "${name}"`);
  if (votesText === undefined) return { key, votes: 1 };
  if (!/^[0-9]{1,9}$/.test(votesText)) {
    throw new CliError(`parsing key ${number} votes: "${votesText}" is not a number`);
  }
  return { key, votes: Number(votesText) };
}

/** Keys alone; at least one. @throws UsageError, CliError */
export function parseKeys(args: readonly string[]): KeyArg[] {
  if (args.length === 0) throw new UsageError("missing argument, expected one or more tailnet lock keys");
  return args.map((arg, i) => parseKey(arg, i + 1));
}

/** Keys and disablement values, in any order. */
export function parseKeysAndValues(args: readonly string[]): { keys: KeyArg[]; values: Uint8Array[] } {
  const keys: KeyArg[] = [];
  const values: Uint8Array[] = [];
  args.forEach((arg, i) => {
    if (DISABLEMENT.test(arg)) values.push(hexArg(arg.slice(arg.indexOf(":") + 1), `disablement ${i + 1}`));
    else keys.push(parseKey(arg, i + 1));
  });
  return { keys, values };
}

/** A secret or value with its prefix. The text itself is in no error. */
export function parseSecret(arg: string, number: number): Uint8Array {
  if (!DISABLEMENT.test(arg)) {
    throw new CliError(
      `parsing argument ${number}: expected value with "disablement:" or "disablement-secret:" prefix`,
    );
  }
  return hexArg(arg.slice(arg.indexOf(":") + 1), `disablement ${number}`);
}

export function hexArg(text: string, what: string): Uint8Array<ArrayBuffer> {
  const bytes = fromHex(text);
  if (bytes === undefined || bytes.length === 0) throw new CliError(`parsing ${what}: not hexadecimal`);
  return bytes;
}

/** Go's JSON of a `tka.Key`. */
export function keyJson({ key, votes, meta }: KeyArg): Record<string, unknown> {
  return { Kind: 1, Votes: votes, Public: toBase64(key.bytes), ...(meta && { Meta: meta }) };
}

/** `tlpub:<hex>` of a key ID. */
export function tlpub(bytes: Uint8Array): string {
  return `tlpub:${toHex(bytes)}`;
}

/** The words of a command line, read from files where they say so. @throws CliError */
export function readWords(args: readonly string[]): string[] {
  return args.map((arg) => {
    if (!arg.startsWith("file:")) return arg;
    try {
      return Deno.readTextFileSync(arg.slice(5)).trim();
    } catch (cause) {
      throw new CliError(`Cannot read ${arg.slice(5)}: ${reasonOf(cause)}`, undefined, { cause });
    }
  });
}

/** A node to sign: its key, and the lock key that may rotate it on. @throws UsageError, CliError */
export function parseNode(
  words: readonly string[],
  program: Program,
): { readonly nodeKey: NodePublic; readonly rotation?: LockPublic } {
  if (words.length === 0 || words.length > 2) {
    throw new UsageError(`usage: ${program} lock sign <node-key> [<rotation-key>]`);
  }
  const nodeKey = NodePublic.parse(words[0]);
  if (nodeKey === undefined) throw new CliError("decoding node-key: want nodekey:<64 hex digits>");
  if (words.length === 1) return { nodeKey };
  const rotation = LockPublic.parse(words[1]);
  if (rotation === undefined) throw new CliError("decoding rotation-key: want tlpub:<64 hex digits>");
  return { nodeKey, rotation };
}
