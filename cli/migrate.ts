/** `migrate`: moves a node between Tailscale's state directory and ours. It works on files, with neither daemon running. */
import { resolve } from "node:path";
import { DEFAULTS, instanceDefaults } from "../daemon/flags.ts";
import { LockStoreError } from "../daemon/lock/store_files.ts";
import type { ProfileContents } from "../daemon/moving/contents.ts";
import { giveBack } from "../daemon/moving/give_back.ts";
import type { GivenBack, GivenProfile } from "../daemon/moving/give_back.ts";
import { MoveError } from "../daemon/moving/move_error.ts";
import type { MoveOptions } from "../daemon/moving/place.ts";
import { takeOver } from "../daemon/moving/take_over.ts";
import type { TakenOver } from "../daemon/moving/take_over.ts";
import { StateFileError } from "../daemon/state_file.ts";
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import { print } from "./terminal.ts";
import type { Verb, VerbContext } from "./verb.ts";

const TAILSCALE = "/var/lib/tailscale";

const FLAGS = {
  from: { type: "string", value: "DIR", help: "Tailscale's state directory", fallback: TAILSCALE },
  back: { type: "boolean", help: "give the node back instead" },
  to: { type: "string", value: "DIR", help: "with --back: another directory than the one it came from" },
  statedir: { type: "string", value: "DIR", help: "this program's state directory (default /var/lib/agent)" },
  state: { type: "string", value: "PATH", help: "its state file (default DIR/agent.state)" },
  "dry-run": { type: "boolean", help: "only tell what would be moved" },
  force: { type: "boolean", help: "replace a node that is there already; a copy is kept" },
} as const;

type Values = ReturnType<typeof parseFlags<typeof FLAGS>>["values"];

function moveOptions(values: Values, { instance }: VerbContext): MoveOptions {
  const standard = (instance === undefined ? DEFAULTS.agent : instanceDefaults(instance)).state;
  const directory = values.statedir || (values.state ? resolve(values.state, "..") : resolve(standard, ".."));
  return {
    ours: { stateFile: resolve(values.state || `${directory}/agent.state`), directory: resolve(directory) },
    theirs: values.back ? values.to && resolve(values.to) : resolve(values.from),
    dryRun: values["dry-run"],
    force: values.force,
    now: Date.now(),
  };
}

function profileLines(profile: ProfileContents): string {
  const { id, name, tailnet, current, controlUrl, nodeKey, lock } = profile;
  const title = [id, name, tailnet].filter((text) => text !== "").join("  ");
  return `  ${title}${current ? "  (current)" : ""}\n` +
    `    control server  ${controlUrl}\n` +
    `    node key        ${nodeKey || "none, logged out"}\n` +
    `    Tailnet Lock    ${lock === undefined ? "not enabled" : `${lock.updates} updates, head ${lock.head}`}\n`;
}

function sayTaken({ profiles, left, aside }: TakenOver, { ours, theirs, dryRun }: MoveOptions): string {
  const attested = profiles.some((profile) => profile.attested);
  return `${dryRun ? "Would take over" : "Took over"} ${theirs} into ${ours.stateFile}:\n` +
    profiles.map(profileLines).join("") +
    (aside === undefined ? "" : `What was there is ${dryRun ? "to be kept" : "kept"} in ${aside}.\n`) +
    (left.length === 0 ? "" : `Stays behind, as this version has no use for it: ${left.join(", ")}.\n`) +
    (attested
      ? "A node key is attested by this machine's TPM; a tailnet that demands that will not accept it.\n"
      : "") +
    (dryRun ? "" : `
Addresses stay: they belong to the node key. ${theirs} was left as it is, and tailscaled must not run on it while agent
runs: two with one key take each other's place. Now:
  systemctl disable tailscaled
  systemctl start agent
Until the node key is renewed or Tailnet Lock changes, the way back is to stop agent and start tailscaled. Later, or to
take along what has changed: agent migrate --back
`);
}

function since({ name, id, renewed, lockMoved }: GivenProfile): string {
  const who = name || id || "The node";
  return (renewed ? `${who}: the node key was renewed here; the one before is no node's any more.\n` : "") +
    (lockMoved ? `${who}: Tailnet Lock has gone on here; its updates go along.\n` : "");
}

function sayGiven({ profiles, directory, aside }: GivenBack, { ours, dryRun }: MoveOptions): string {
  return `${dryRun ? "Would give back" : "Gave back"} ${ours.stateFile} to ${directory}:\n` +
    profiles.map(profileLines).join("") + profiles.map(since).join("") +
    (aside === undefined ? "" : `What was there is ${dryRun ? "to be kept" : "kept"} in ${aside}.\n`) +
    (dryRun ? "" : `
agent does not run on this state any more, until 'agent migrate' takes the node over again. Now:
  systemctl disable agent
  systemctl enable --now tailscaled
`);
}

export const migrate: Verb = {
  help: `Usage: {program} migrate [--from DIR] [flags]
       {program} migrate --back [--to DIR] [flags]

Takes a node over from Tailscale: machine key, logins, settings and Tailnet Lock are copied from its state directory, so
that the node keeps its key, its addresses and its place in the tailnet. With --back it is given back, with all that has
changed since. Neither daemon may run meanwhile, and afterwards only one of them. As root.

${flagHelp(FLAGS)}
`,
  // deno-lint-ignore require-await
  async run(args, context) {
    const { values, given, rest } = parseFlags(FLAGS, args);
    if (rest.length > 0) throw new UsageError(`unexpected argument: ${rest[0]}`);
    if (values.back && given.has("from")) throw new UsageError("--from goes without --back, which has --to");
    if (!values.back && given.has("to")) throw new UsageError("--to goes with --back");
    const options = moveOptions(values, context);
    try {
      print(values.back ? sayGiven(giveBack(options), options) : sayTaken(takeOver(options), options));
      return EXIT_OK;
    } catch (cause) {
      if (cause instanceof MoveError || cause instanceof StateFileError || cause instanceof LockStoreError) {
        throw new CliError(cause.message, undefined, { cause });
      }
      if (cause instanceof Deno.errors.PermissionDenied || cause instanceof Deno.errors.NotCapable) {
        throw new CliError(`Cannot migrate: ${cause.message}; run as root`, undefined, { cause });
      }
      throw new CliError(`Cannot migrate: ${cause instanceof Error ? cause.message : cause}`, undefined, { cause });
    }
  },
};
