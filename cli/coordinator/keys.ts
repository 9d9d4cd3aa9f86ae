/** `agent coordinator keys`: auth keys. */
import type { KeySummary } from "../../control/server/admin.ts";
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { flagHelp, parseFlags } from "../flags.ts";
import type { FlagTable } from "../flags.ts";
import { columns, print, printError } from "../terminal.ts";
import { ADMIN_FLAGS, administer } from "./admin_client.ts";
import { parseLife, parseTags } from "./life.ts";
import { runVerb } from "./verbs.ts";
import type { Verb } from "./verbs.ts";

const CREATE_FLAGS = {
  reusable: { type: "boolean", help: "may register any number of nodes" },
  ephemeral: { type: "boolean", help: "its nodes are removed at logout and after 30 minutes offline" },
  expiry: { type: "string", value: "TIME", help: "how long it may be used: 90d, 24h, 30m, never", fallback: "90d" },
  tags: { type: "string", value: "TAGS", help: "its nodes get these tags: tag:web,tag:db" },
  user: { type: "string", value: "NAME", help: "whose its nodes are", fallback: "operator" },
  ...ADMIN_FLAGS,
} as const satisfies FlagTable;

/** The group's help text. */
export const HELP = `Auth keys let nodes join without a person: agent up --auth-key tskey-auth-…

Usage:
  agent coordinator keys create [flags]   make a key and print it, once
  agent coordinator keys list             list keys, without their secrets
  agent coordinator keys expire ID        end a key's life; its nodes stay

Flags of create:
${flagHelp(CREATE_FLAGS)}
`;

const VERBS: Readonly<Record<string, Verb>> = { create, list, expire };

/** Runs with the arguments behind `keys`. */
export function run(args: readonly string[]): Promise<number> {
  return runVerb("keys", HELP, VERBS, args);
}

async function create(args: readonly string[]): Promise<number> {
  const { values, rest } = parseFlags(CREATE_FLAGS, args);
  if (rest.length > 0) throw new UsageError(`unexpected argument "${rest[0]}" for keys create`);
  const { user, reusable, ephemeral } = values;
  const request = {
    user,
    reusable,
    ephemeral,
    tags: parseTags(values.tags),
    expiryMs: parseLife("expiry", values.expiry),
  };
  const created = await administer(values, (admin) => admin.createKey(request));
  print(values.json ? JSON.stringify(created, null, 2) + "\n" : `${created.key}\n`);
  if (!values.json && Deno.stdout.isTerminal()) {
    const until = created.expires === undefined ? "for ever" : `until ${created.expires}`;
    printError(`Good ${until}${reusable ? "" : ", for one node"}. It is not shown again.\n`);
  }
  return EXIT_OK;
}

function row({ id, user, state, reusable, ephemeral, tags, expires, used }: KeySummary): string[] {
  const kind = [reusable ? "reusable" : "one-off", ...(ephemeral ? ["ephemeral"] : [])].join(" ");
  return [id, state, kind, user, tags.join(",") || "-", expires ?? "never", used ?? "-"];
}

async function list(args: readonly string[]): Promise<number> {
  const { values, rest } = parseFlags(ADMIN_FLAGS, args);
  if (rest.length > 0) throw new UsageError(`unexpected argument "${rest[0]}" for keys list`);
  const keys = await administer(values, (admin) => admin.listKeys());
  if (values.json) print(JSON.stringify(keys, null, 2) + "\n");
  else print(columns([["ID", "STATE", "KIND", "USER", "TAGS", "EXPIRES", "LAST USED"], ...keys.map(row)]) + "\n");
  return EXIT_OK;
}

async function expire(args: readonly string[]): Promise<number> {
  const { values, rest } = parseFlags(ADMIN_FLAGS, args);
  if (rest.length !== 1) throw new UsageError("want one key: agent coordinator keys expire ID");
  const key = await administer(values, (admin) => admin.expireKey(rest[0]));
  print(values.json ? JSON.stringify(key, null, 2) + "\n" : `Auth key ${key.id} is ${key.state}.\n`);
  return EXIT_OK;
}
