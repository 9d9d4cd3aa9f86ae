/**
 * `run`: the daemon and `up` in one process, for containers.
 *
 * ```
 *   flags, environment ─▶ daemon ─▶ LocalAPI answers ─┬─ a locked file is in force ─▶ (it says everything)
 *                           ▲                         └─ up ─┬─ connected ─▶ goes on
 *                           │                                └─ failed ────▶ the daemon ends, with up's exit code
 *        SIGTERM, SIGINT ───┘
 * ```
 * Everything is said on standard error. The auth key is used while the node has no key of its own, and never again.
 */
import type { Companion } from "../daemon/daemon.ts";
import { resolveAuthKey } from "./auth_key.ts";
import { CliError, EXIT_OK, EXIT_USAGE, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import { LocalClient } from "./local_client.ts";
import type { Status } from "./local_types.ts";
import { print, printError } from "./terminal.ts";
import { up, UP_FLAGS } from "./up.ts";
import { DAEMON_FLAGS, splitRunArgs } from "./run_args.ts";

/** In the order they are looked at. */
const KEY_VARIABLES = ["AGENT_AUTHKEY", "TS_AUTHKEY", "TS_AUTH_KEY"];

const HELP = `Usage: agent run [flags of the daemon] [flags of 'agent up']

The daemon and 'agent up' in one process, for containers: it connects the node and runs it until SIGTERM. Logs go to
standard error. When the node cannot log in it ends with up's exit code. SIGHUP has a configuration file read again.

${flagHelp(DAEMON_FLAGS)}

The auth key comes from ${KEY_VARIABLES.join(", ")}, or from --auth-key file:PATH: a key on the
command line is in the list of processes. It is used as long as the node has no key of its own; keep the state on a
volume, or give --state mem: for a node that is gone when it ends. A configuration file (--config) that is locked takes
the place of up's flags.

Environment: as 'agent daemon --help' has it. 'agent up --help' has up's flags.
`;

/** What `run --help` prints, with the flags of `up`. */
export function about(): { readonly help: string } {
  return { help: `${HELP}\n${flagHelp(UP_FLAGS)}\n` };
}

/** The key of the environment. It is taken out of it, so that no program started here gets it. */
function takeKey(env: Pick<Deno.Env, "get" | "delete">): string {
  const found = KEY_VARIABLES.map((name) => env.get(name) ?? "");
  for (const name of KEY_VARIABLES) env.delete(name);
  return found.find((text) => text !== "") ?? "";
}

/** Connects. @throws CliError */
async function connect(socket: string, upArgs: readonly string[], authKey: string): Promise<number> {
  const client = new LocalClient(socket);
  const { HaveNodeKey } = await client.json<Status>("GET", "status?peers=false");
  const args = [...upArgs, ...HaveNodeKey || authKey === "" ? [] : [`--auth-key=${authKey}`]];
  return await up.run(args, { program: "agent", client });
}

/** Runs until stopped. Resolves to the exit code. */
export async function runNode(args: readonly string[]): Promise<number> {
  if (args.some((arg) => /^--?(h|help)$/.test(arg))) {
    print(HELP);
    return EXIT_OK;
  }
  const { daemon, up: upArgs, authKey: given } = splitRunArgs(args);
  const [unexpected] = parseFlags(UP_FLAGS, upArgs).rest;
  if (unexpected !== undefined) throw new UsageError(`unexpected argument "${unexpected}" for run`);
  if (given !== "" && !given.startsWith("file:")) {
    printError(
      "Warning: an auth key on the command line is in the list of processes; better AGENT_AUTHKEY or file:PATH\n",
    );
  }
  const environment = takeKey(Deno.env);
  const authKey = resolveAuthKey(given || environment);
  const end = new AbortController();
  // What `up` says of being interrupted is no failure of this run.
  let stopped = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => stopped = true);
  let code: number | undefined;
  const companion: Companion = {
    end: end.signal,
    ...authKey && { authKey },
    ready: (flags, configured) => {
      if (configured) return;
      connect(flags.socket, upArgs, authKey?.reveal() ?? "").then((ended) => {
        if (ended !== EXIT_OK) code = ended;
      }, (cause) => {
        if (!(cause instanceof CliError)) throw cause;
        if (stopped) return;
        printError(`${cause.message}\n`);
        code = cause instanceof UsageError ? EXIT_USAGE : cause.code;
      }).finally(() => code !== undefined && end.abort());
    },
  };
  const { runDaemon } = await import("../daemon/daemon.ts");
  const ended = await runDaemon(daemon, "agent", companion);
  return ended === EXIT_OK ? code ?? EXIT_OK : ended;
}
