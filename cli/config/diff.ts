/** `config diff`: where the running node is not as its file says. Exit codes are those of diff(1). */
import { reasonOf } from "../../base/reason.ts";
import { differences } from "../../daemon/config/compare.ts";
import type { Difference } from "../../daemon/config/compare.ts";
import { CliError, EXIT_OK } from "../exit_codes.ts";
import { parseFlags } from "../flags.ts";
import { columns, print } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";
import { declaredState, readFile } from "./source.ts";

export const DIFF_FLAGS = {
  all: { type: "boolean", help: "compare what the file does not name too, with what a new node has" },
  json: { type: "boolean", help: "print as JSON" },
} as const;

/** There is a difference. */
const DIFFERENT = 1;
/** It cannot be told whether there is one. */
const TROUBLE = 2;

function shown(value: unknown): string {
  return value === undefined ? "-" : JSON.stringify(value);
}

/** The table of differences. */
export function diffTable(found: readonly Difference[]): string {
  return columns([
    ["KEY", "FILE", "RUNNING"],
    ...found.map(({ key, file, running }) => [key, shown(file), shown(running)]),
  ]);
}

export async function diff(args: readonly string[], { client }: VerbContext): Promise<number> {
  const { values, rest } = parseFlags(DIFF_FLAGS, args);
  const state = await declaredState(client).catch((cause) => {
    throw new CliError(reasonOf(cause), TROUBLE, { cause });
  });
  const path = rest[0] ?? state.Path;
  if (path === "") {
    throw new CliError("The daemon has no configuration file (--config); name one to compare with", TROUBLE);
  }
  const { config } = readFile(path, TROUBLE);
  const found = differences(config, state.Settings, values.all ? "all" : state.Applied);
  if (values.json) {
    const rows = found.map(({ key, file, running }) => ({ Key: key, File: file ?? null, Running: running ?? null }));
    print(`${JSON.stringify({ Path: path, Differences: rows }, undefined, 2)}\n`);
  } else if (found.length > 0) {
    print(`${diffTable(found)}\n`);
  }
  return found.length === 0 ? EXIT_OK : DIFFERENT;
}
