/** `config`: the one file that declares a node. It reads files as the daemon does, and asks the daemon what is in force. */
import { configText } from "../daemon/config/compare.ts";
import { schemaText } from "../daemon/config/schema.ts";
import { diff, DIFF_FLAGS } from "./config/diff.ts";
import { declaredState, readFile } from "./config/source.ts";
import { EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import { print } from "./terminal.ts";
import { commandsOf } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

type Run = (args: readonly string[], context: VerbContext) => Promise<number> | number;

function check(args: readonly string[]): number {
  if (args.length === 0) throw new UsageError("check needs a file");
  for (const path of args) {
    const { warnings } = readFile(path);
    print(`${warnings.map((line) => `${line}\n`).join("")}${path}: ok\n`);
  }
  return EXIT_OK;
}

async function show(_args: readonly string[], { client }: VerbContext): Promise<number> {
  const { Settings, InUse, Locked } = await declaredState(client);
  print(configText(Settings, Locked || !InUse));
  return EXIT_OK;
}

function schema(): number {
  print(schemaText());
  return EXIT_OK;
}

const COMMANDS: Readonly<Record<string, { readonly run: Run; readonly most: number }>> = {
  check: { run: check, most: Infinity },
  diff: { run: diff, most: 1 },
  show: { run: show, most: 0 },
  schema: { run: schema, most: 0 },
};

export const config: Verb = {
  help: `Usage: {program} config COMMAND

The file that '{program} daemon --config FILE' takes a node's settings from: JSON with comments and trailing commas, in
Tailscale's format alpha0 with keys of its own besides. '{program} reload' has the daemon read it again.

  check FILE...    say whether files can be used; each mistake with its line and column
  diff [FILE]      where the node is not as the file says: nothing and 0, or a table and 1; 2 when it cannot be told
${flagHelp(DIFF_FLAGS).replaceAll(/^/gm, "    ")}
  show             print what the node runs with as such a file, without its auth key
  schema           print the format's JSON Schema
`,
  commands: commandsOf(COMMANDS),
  async run(args, context) {
    const [name, ...rest] = args;
    if (name === undefined || !Object.hasOwn(COMMANDS, name)) {
      throw new UsageError(name === undefined ? "config needs a command" : `unknown config command "${name}"`);
    }
    const { run, most } = COMMANDS[name];
    const extra = parseFlags(name === "diff" ? DIFF_FLAGS : {}, rest).rest[most];
    if (extra !== undefined) throw new UsageError(`unexpected argument: ${extra}`);
    return await run(rest, context);
  },
};
