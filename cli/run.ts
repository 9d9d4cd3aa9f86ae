/** The command line's frame: finds the verb, imports only it, prints failures as one line, returns the exit code. */
import { LONG_VERSION } from "../base/version.ts";
import { CliError, EXIT_OK, EXIT_USAGE, UsageError } from "./exit_codes.ts";
import { checkedInstance } from "./instance_flag.ts";
import { LocalClient } from "./local_client.ts";
import type { Program } from "./program.ts";
import { giveUpNativeCode } from "./native_code.ts";
import { socketOf, SOCKETS } from "./start_command.ts";
import { print, printError } from "./terminal.ts";
import type { Verb } from "./verb.ts";

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<Verb>;
  /** It is no command of `tailscale`. */
  readonly ours?: true;
  /** It looks into `/proc`, which Deno lets nobody do who has given up a right. */
  readonly allRights?: true;
}

/** Verbs, most of which talk to the daemon, in the order of the help. */
export const VERBS: Readonly<Record<string, Entry>> = {
  up: { summary: "Connect to the tailnet, logging in if needed", load: async () => (await import("./up.ts")).up },
  down: { summary: "Disconnect from the tailnet", load: async () => (await import("./down.ts")).down },
  set: { summary: "Change the named preferences", load: async () => (await import("./set.ts")).set },
  get: { summary: "Print one preference or all", load: async () => (await import("./get.ts")).get },
  login: { summary: "Log in anew", load: async () => (await import("./up.ts")).login },
  switch: {
    summary: "Change to another login of this machine",
    load: async () => (await import("./switch.ts")).switchVerb,
  },
  renew: {
    summary: "Get a new node key while the old one works",
    load: async () => (await import("./renew.ts")).renew,
    ours: true,
  },
  logout: { summary: "Disconnect and expire this login", load: async () => (await import("./logout.ts")).logout },
  status: {
    summary: "Show the state of the node and its peers",
    load: async () => (await import("./status.ts")).status,
  },
  ip: { summary: "Print Tailscale addresses", load: async () => (await import("./ip.ts")).ip },
  ping: { summary: "Ping a peer and show the path", load: async () => (await import("./ping.ts")).ping },
  netcheck: {
    summary: "Analyse the network around this node",
    load: async () => (await import("./netcheck.ts")).netcheck,
  },
  nc: {
    summary: "Connect to a port of a node, by standard input and output",
    load: async () => (await import("./nc.ts")).nc,
  },
  ssh: { summary: "SSH to a node, its key checked", load: async () => (await import("./ssh.ts")).ssh },
  dns: {
    summary: "Show the DNS settings, or ask this node's resolver",
    load: async () => (await import("./dns.ts")).dns,
  },
  whois: { summary: "Tell who has a Tailscale address", load: async () => (await import("./whois.ts")).whois },
  whoami: { summary: "Tell who this node is", load: async () => (await import("./whoami.ts")).whoami },
  lock: { summary: "Manage Tailnet Lock", load: async () => (await import("./lock.ts")).lock },
  wait: { summary: "Wait until the node is connected", load: async () => (await import("./wait.ts")).wait },
  "exit-node": {
    summary: "Show exit nodes, or suggest one",
    load: async () => (await import("./exit_node.ts")).exitNode,
  },
  metrics: { summary: "Show metrics", load: async () => (await import("./metrics.ts")).metrics },
  bugreport: {
    summary: "Gather what helps to find a fault, on this machine",
    load: async () => (await import("./bugreport.ts")).bugreport,
  },
  config: {
    summary: "Check, compare and print the file that declares the node",
    load: async () => (await import("./config.ts")).config,
    ours: true,
  },
  reload: {
    summary: "Have the daemon read its configuration file again",
    load: async () => (await import("./reload.ts")).reload,
    ours: true,
  },
  debug: {
    summary: "Look into the running daemon",
    load: async () => (await import("./debug.ts")).debug,
  },
  "install-service": {
    summary: "Have systemd run the node",
    load: async () => (await import("./service/install.ts")).installService,
    ours: true,
  },
  "uninstall-service": {
    summary: "Undo install-service",
    load: async () => (await import("./service/uninstall.ts")).uninstallService,
    ours: true,
  },
  migrate: {
    summary: "Take a node over from Tailscale, or give it back",
    load: async () => (await import("./migrate.ts")).migrate,
    ours: true,
    allRights: true,
  },
  completion: {
    summary: "Print a completion script for a shell",
    load: async () => (await import("./completion.ts")).completion,
  },
  version: { summary: "Print the version", load: async () => (await import("./version.ts")).version },
};

interface ServerEntry {
  readonly summary: string;
  readonly about: () => Promise<{ readonly help: string; readonly commands?: Readonly<Record<string, string>> }>;
  /** `--socket` and `--instance` may stand before it. */
  readonly takesBefore?: true;
  run(args: string[]): Promise<number>;
}

/** Verbs that are servers and parse everything themselves. */
export const SERVERS: Readonly<Record<string, ServerEntry>> = {
  daemon: {
    summary: "Run the node (as root)",
    takesBefore: true,
    about: async () => await (await import("./daemon.ts")).about(),
    run: async (args) => await (await import("./daemon.ts")).run(args),
  },
  run: {
    summary: "The daemon and 'up' in one process, for containers",
    takesBefore: true,
    about: async () => (await import("./run_node.ts")).about(),
    run: async (args) => await (await import("./run_node.ts")).runNode(args),
  },
  coordinator: {
    summary: "Run a coordinator, or manage its keys, nodes and routes",
    about: async () => await (await import("./coordinator.ts")).about(),
    run: async (args) => await (await import("./coordinator.ts")).run(args),
  },
};

/** Commands of `tailscale` 1.102 that this program has not got: whoever types one has not mistyped it. */
const NOT_OFFERED: ReadonlySet<string> = new Set([
  ...["serve", "funnel", "file", "drive", "cert", "service", "web", "update", "licenses", "configure", "appc-routes"],
  ...["systray", "id-token", "syspolicy", "routecheck"],
]);

/** Of the column of names in the help. */
const WIDTH = 2 + Math.max(...Object.keys(VERBS).map((name) => name.length));

/** The names of the verbs that a program of this name has. */
export function verbsOf(program: Program): string[] {
  return Object.keys(VERBS).filter((name) => program === "agent" || !VERBS[name].ours);
}

function usage(program: Program): string {
  const verbs = verbsOf(program).map((name) => [name, VERBS[name]] as const);
  const rows = [...verbs, ...(program === "agent" ? Object.entries(SERVERS) : [])];
  return `${program} ${LONG_VERSION}: a node of your tailnet

Usage: ${program} [--socket PATH | --instance NAME] COMMAND [flags]

${rows.map(([name, { summary }]) => `  ${name.padEnd(WIDTH)}${summary}`).join("\n")}

  --instance NAME  the node of that name, of several on this machine
  --socket PATH    the daemon's socket (default ${SOCKETS[program]})

'${program} COMMAND --help' tells more of one command.
Exit codes: 0 done, 1 failed (the reason is on standard error), 2 the command line was not understood.
`;
}

/** Runs one command line. */
export async function runCommandLine(args: readonly string[], program: Program): Promise<number> {
  try {
    return await dispatch(args, program);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    printError(`${error.message}\n`);
    return error.code;
  }
}

async function dispatch(args: readonly string[], program: Program): Promise<number> {
  let socket: string | undefined;
  let instance: string | undefined;
  let at = 0;
  for (; at < args.length; at++) {
    const match = /^--?(socket|instance)(?:=(.*))?$/.exec(args[at]);
    if (match === null) break;
    const value = match[2] ?? args[++at];
    if (value === undefined || value === "") throw new UsageError(`flag needs an argument: --${match[1]}`);
    if (match[1] === "socket") socket = value;
    else instance = value;
  }
  if (instance !== undefined) checkedInstance(instance);
  const [name, ...rest] = args.slice(at);
  if (name === undefined || name === "help" || /^--?(h|help)$/.test(name)) {
    if (name === "help" && rest.length > 0) return await dispatch([...rest, "--help"], program);
    print(usage(program));
    return name === undefined ? EXIT_USAGE : EXIT_OK;
  }
  if (/^--?version$/.test(name)) return await dispatch(["version", ...rest], program);
  const server = program === "agent" && Object.hasOwn(SERVERS, name) ? SERVERS[name] : undefined;
  if (server !== undefined) {
    const before = args.slice(0, at);
    if (before.length > 0 && !server.takesBefore) {
      throw new UsageError(
        `${before[0].split("=")[0]} is for a node's commands: '${program} ${name} --help' lists its own flags`,
      );
    }
    return await server.run([...before, ...rest]);
  }
  const entry = verbsOf(program).includes(name) ? VERBS[name] : undefined;
  if (entry === undefined) {
    if (NOT_OFFERED.has(name)) {
      throw new UsageError(`"${name}" is not offered in this version. '${program} --help' lists the commands.`);
    }
    throw new UsageError(`Unknown command "${name}". '${program} --help' lists the commands.`);
  }
  if (!entry.allRights) giveUpNativeCode();
  const verb = await entry.load();
  if ((verb.passesOn ? rest.slice(0, 1) : rest).some((arg) => /^--?(h|help)$/.test(arg))) {
    print((ownHelp(verb, rest) || verb.help).replaceAll("{program}", program));
    return EXIT_OK;
  }
  try {
    const client = new LocalClient(socket ?? socketOf(program, instance), program, instance);
    return await verb.run(rest, { program, client, ...(instance && { instance }) });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const own = ownHelp(verb, rest) !== "";
    const asked = own ? `${name} ${rest[0]}` : name;
    const what = verb.commands === undefined || own ? "flags" : "commands";
    throw new CliError(`${error.message}\n'${program} ${asked} --help' lists the ${what}.`, EXIT_USAGE);
  }
}

/** The help text of the verb's command that these arguments name, "" where it has none of its own. */
function ownHelp({ commands = {} }: Verb, [command = ""]: readonly string[]): string {
  return Object.hasOwn(commands, command) ? commands[command] : "";
}
