/** What a verb is, and what it is given. */
import type { LocalClient, Program } from "./local_client.ts";

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
  /** What follows its first argument is not for it: `--help` there is another program's. */
  readonly passesOn?: true;
  /** Runs with the arguments behind the verb; resolves to the exit code. */
  run(args: readonly string[], context: VerbContext): Promise<number>;
}
