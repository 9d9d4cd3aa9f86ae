/** What a verb is, and what it is given. */
import { UsageError } from "./exit_codes.ts";
import type { LocalClient } from "./local_client.ts";
import type { Program } from "./program.ts";

/** What every verb works with. */
export interface VerbContext {
  /** How to name the program in texts: `agent`, or `tailscale` under that name. */
  readonly program: Program;
  readonly client: LocalClient;
  /** The node of several on this machine, by `--instance`. */
  readonly instance?: string;
}

/** One command. */
export interface Verb {
  /** The verb's whole help text. */
  readonly help: string;
  /** Its own commands, each with its help text, "" where the verb's tells of it. */
  readonly commands?: Readonly<Record<string, string>>;
  /** What follows its first argument is not for it: `--help` there is another program's. */
  readonly passesOn?: true;
  /** Runs with the arguments behind the verb; resolves to the exit code. */
  run(args: readonly string[], context: VerbContext): Promise<number>;
}

/** The commands of a verb whose help text tells of them all. */
export function commandsOf(table: object): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.keys(table).map((name) => [name, ""]));
}

/** A verb that is nothing but its commands. */
export function groupVerb(group: string, help: string, verbs: Readonly<Record<string, Verb>>): Verb {
  return {
    help,
    commands: Object.fromEntries(Object.entries(verbs).map(([name, verb]) => [name, verb.help])),
    async run(args, context) {
      const [name, ...rest] = args;
      if (name === undefined) throw new UsageError(`${group} needs a command`);
      if (!Object.hasOwn(verbs, name)) throw new UsageError(`unknown ${group} command "${name}"`);
      return await verbs[name].run(rest, context);
    },
  };
}
