/** `agent coordinator`: runs the coordinator, or manages its keys and nodes. The only verb that loads it. */
import type { Verb } from "./coordinator/verbs.ts";
import { CliError, EXIT_FAILED, EXIT_OK, EXIT_USAGE } from "./exit_codes.ts";
import { giveUpNativeCode } from "./native_code.ts";
import { print, printError } from "./terminal.ts";

const GROUPS: Readonly<Record<string, () => Promise<Verb>>> = {
  keys: async () => (await import("./coordinator/keys.ts")).runKeys,
  routes: async () => (await import("./coordinator/routes.ts")).runRoutes,
  nodes: async () => (await import("./coordinator/nodes.ts")).runNodes,
};

/** Runs with the arguments behind `coordinator`; resolves to the exit code. Failures are printed as one line. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    const [name, ...rest] = args;
    if (name !== undefined && Object.hasOwn(GROUPS, name)) {
      giveUpNativeCode();
      return await (await GROUPS[name]())(rest);
    }
    const { HELP, serve } = await import("./coordinator/serve.ts");
    if (args.some((arg) => /^--?(h|help)$/.test(arg)) || name === "help") {
      print(HELP);
      return EXIT_OK;
    }
    return await serve(args);
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
