/** `agent coordinator`: runs the coordinator, or manages its keys and nodes. The only verb that loads it. */
import { HELP } from "./coordinator/serve_flags.ts";
import type { Verb } from "./coordinator/verbs.ts";
import { CliError, EXIT_FAILED, EXIT_OK, EXIT_USAGE, UsageError } from "./exit_codes.ts";
import { giveUpNativeCode } from "./native_code.ts";
import { print, printError } from "./terminal.ts";

const GROUPS: Readonly<Record<string, () => Promise<{ readonly HELP: string; readonly run: Verb }>>> = {
  keys: () => import("./coordinator/keys.ts"),
  nodes: () => import("./coordinator/nodes.ts"),
  routes: () => import("./coordinator/routes.ts"),
};

/** What `coordinator --help` prints, and the groups of commands with what they print. */
export async function about(): Promise<{ readonly help: string; readonly commands: Readonly<Record<string, string>> }> {
  const groups = Object.entries(GROUPS).map(async ([name, load]) => [name, (await load()).HELP] as const);
  return {
    help: HELP,
    commands: Object.fromEntries(await Promise.all(groups)),
  };
}

/** Runs with the arguments behind `coordinator`; resolves to the exit code. Failures are printed as one line. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    const [name, ...rest] = args;
    if (name !== undefined && Object.hasOwn(GROUPS, name)) {
      giveUpNativeCode();
      return await (await GROUPS[name]()).run(rest);
    }
    if (name !== undefined && name !== "help" && !name.startsWith("-")) {
      throw new UsageError(`unknown command "${name}": want ${Object.keys(GROUPS).join(", ")}, or flags alone`);
    }
    if (args.some((arg) => /^--?(h|help)$/.test(arg)) || name === "help") {
      print(HELP);
      return EXIT_OK;
    }
    return await (await import("./coordinator/serve.ts")).serve(args);
  } catch (error) {
    const { code, message } = error as { code?: unknown; message: string };
    // Errors of the coordinator have texts for operators; a mistake of ours has a stack that is worth more.
    if (error instanceof CliError || isOperatorError(error)) {
      printError(`agent coordinator: ${message}\n`);
      return typeof code === "number" ? code : (error as Error).name === "OptionError" ? EXIT_USAGE : EXIT_FAILED;
    }
    throw error;
  }
}

function isOperatorError(error: unknown): boolean {
  return error instanceof Error && (error.name === "OptionError" || error.message.startsWith("Cannot "));
}
