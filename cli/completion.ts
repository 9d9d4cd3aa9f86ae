/** `completion`: prints the script by which a shell completes commands and flags. Source: cmd/tailscale/cli. */
import { bashCompletion } from "./completion/bash.ts";
import { flagsOf } from "./completion/commands.ts";
import type { CompletedCommand } from "./completion/commands.ts";
import { fishCompletion } from "./completion/fish.ts";
import { zshCompletion } from "./completion/zsh.ts";
import { EXIT_OK, UsageError } from "./exit_codes.ts";
import type { Program } from "./program.ts";
import { SERVERS, VERBS, verbsOf } from "./run.ts";
import { print } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const SHELLS: Readonly<Record<string, (program: string, commands: readonly CompletedCommand[]) => string>> = {
  bash: bashCompletion,
  fish: fishCompletion,
  zsh: zshCompletion,
};

interface Documented {
  readonly help: string;
  readonly commands?: Readonly<Record<string, string>>;
}

function completed(name: string, summary: string, { help, commands = {} }: Documented): CompletedCommand {
  // One that has a help text of its own has its flags there.
  return {
    name,
    summary,
    flags: flagsOf([help, ...Object.values(commands)].join("\n")),
    commands: Object.keys(commands),
  };
}

/** Everything that can be completed. Loads all verbs. */
export async function completedCommands(program: Program): Promise<CompletedCommand[]> {
  const verbs = verbsOf(program).map(async (name) => completed(name, VERBS[name].summary, await VERBS[name].load()));
  const servers = Object.entries(program === "agent" ? SERVERS : {}).map(async ([name, { summary, about }]) =>
    completed(name, summary, await about())
  );
  return await Promise.all([...verbs, ...servers]);
}

export const completion: Verb = {
  help: `Usage: {program} completion SHELL

Prints a script that completes commands and flags in bash, fish or zsh. To try it: source <({program} completion bash)
`,
  async run(args, { program }) {
    const [shell, ...more] = args;
    if (more.length > 0) throw new UsageError(`unexpected argument: ${more[0]}`);
    if (shell === undefined || !Object.hasOwn(SHELLS, shell)) {
      throw new UsageError(`want one of ${Object.keys(SHELLS).join(", ")}`);
    }
    print(SHELLS[shell](program, await completedCommands(program)));
    return EXIT_OK;
  },
};
