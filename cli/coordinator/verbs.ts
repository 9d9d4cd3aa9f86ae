/** The verbs behind `coordinator keys`, `nodes` and `routes`: found by name, with the group's help. */
import { EXIT_OK, EXIT_USAGE, UsageError } from "../exit_codes.ts";
import { print } from "../terminal.ts";

/** Runs with the arguments behind the verb; resolves to the exit code. */
export type Verb = (args: readonly string[]) => Promise<number>;

/** Runs the verb that `args` begin with, or prints the help. @throws UsageError for one that is not in the group. */
export async function runVerb(
  group: string,
  help: string,
  verbs: Readonly<Record<string, Verb>>,
  args: readonly string[],
): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || args.some((arg) => /^--?(h|help)$/.test(arg))) {
    print(help);
    return name === undefined ? EXIT_USAGE : EXIT_OK;
  }
  if (Object.hasOwn(verbs, name)) return await verbs[name](rest);
  const names = Object.keys(verbs);
  const known = `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
  throw new UsageError(`unknown command "${group} ${name}": want ${known}`);
}
