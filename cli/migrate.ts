/** `migrate`: moves a node between Tailscale's state directory and ours. It works on files, with neither daemon running. */
import { resolve } from "node:path";
import { DEFAULTS, instanceDefaults } from "../daemon/flags.ts";
import { LockStoreError } from "../daemon/lock/store_files.ts";
import type { ProfileContents } from "../daemon/moving/contents.ts";
import { giveBack } from "../daemon/moving/give_back.ts";
import type { GivenBack, GivenProfile } from "../daemon/moving/give_back.ts";
import { MoveError } from "../daemon/moving/move_error.ts";
import type { MoveOptions, OurPlace } from "../daemon/moving/place.ts";
import { takeOver } from "../daemon/moving/take_over.ts";
import type { TakenOver } from "../daemon/moving/take_over.ts";
import { StateFileError } from "../daemon/state_file.ts";
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags, parseOnlyFlags } from "./flags.ts";
import { shellWord } from "./shell_word.ts";
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

function standardState(instance: string | undefined): string {
  return (instance === undefined ? DEFAULTS.agent : instanceDefaults(instance)).state;
}

/** What to type for the node in our place: as a service where that is the service's own, by hand where it is another. */
export interface OurCommands {
  readonly start: string;
  readonly stop: string;
  readonly giveBack: string;
}

/** @param instance undefined for the one node */
export function ourCommands({ stateFile, directory }: OurPlace, instance: string | undefined): OurCommands {
  const standard = standardState(instance);
  const program = instance === undefined ? "agent" : `agent --instance ${instance}`;
  const unit = instance === undefined ? "agent" : `agent@${instance}`;
  if (stateFile === standard && directory === resolve(standard, "..")) {
    return {
      start: `systemctl enable --now ${unit}`,
      stop: `systemctl disable ${unit}`,
      giveBack: `${program} migrate --back`,
    };
  }
  const file = stateFile === `${directory}/agent.state` ? "" : ` --state ${shellWord(stateFile)}`;
  const place = `--statedir ${shellWord(directory)}${file}`;
  return {
    start: `${program} daemon ${place}`,
    stop: `take ${place} away from whatever starts agent`,
    giveBack: `${program} migrate --back ${place}`,
  };
}

function moveOptions(values: Values, { instance }: VerbContext): MoveOptions {
  const standard = standardState(instance);
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

function sayTaken({ profiles, left, aside }: TakenOver, options: MoveOptions, { instance }: VerbContext): string {
  const { ours, theirs, dryRun } = options;
  const { start, giveBack } = ourCommands(ours, instance);
  const attested = profiles.some((profile) => profile.attested);
  return `${dryRun ? "Would take over" : "Took over"} ${theirs} into ${ours.stateFile}:\n` +
    profiles.map(profileLines).join("") +
    (aside === undefined ? "" : `What was there is ${dryRun ? "to be kept" : "kept"} in ${aside}.\n`) +
    (left.length === 0 ? "" : `Stays behind, as this version has no use for it: ${left.join(", ")}.\n`) +
    (attested
      ? "A node key is attested by this machine's TPM; a tailnet that demands that will not accept it.\n"
      : "") +
    (dryRun ? "" : `
Addresses stay: they belong to the node key. ${theirs} was left as it is, and nothing must run on it while agent does:
two with one key take each other's place. Now:
${theirs === TAILSCALE ? "  systemctl disable tailscaled\n" : ""}  ${start}
Until the node key is renewed or Tailnet Lock changes, the way back is to stop agent and start what ran there before.
Later, or to take along what has changed: ${giveBack}
`);
}

function since({ name, id, renewed, lockMoved }: GivenProfile): string {
  const who = name || id || "The node";
  return (renewed ? `${who}: the node key was renewed here; the one before is no node's any more.\n` : "") +
    (lockMoved ? `${who}: Tailnet Lock has gone on here; its updates go along.\n` : "");
}

function sayGiven({ profiles, directory, aside }: GivenBack, options: MoveOptions, { instance }: VerbContext): string {
  const { ours, dryRun } = options;
  return `${dryRun ? "Would give back" : "Gave back"} ${ours.stateFile} to ${directory}:\n` +
    profiles.map(profileLines).join("") + profiles.map(since).join("") +
    (aside === undefined ? "" : `What was there is ${dryRun ? "to be kept" : "kept"} in ${aside}.\n`) +
    (dryRun ? "" : `
agent does not run on this state any more, until 'agent migrate' takes the node over again. Now:
  ${ourCommands(ours, instance).stop}
  ${directory === TAILSCALE ? "systemctl enable --now tailscaled" : `start what runs on ${directory}`}
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
    const { values, given } = parseOnlyFlags(FLAGS, args);
    if (values.back && given.has("from")) throw new UsageError("--from goes without --back, which has --to");
    if (!values.back && given.has("to")) throw new UsageError("--to goes with --back");
    const options = moveOptions(values, context);
    try {
      print(
        values.back ? sayGiven(giveBack(options), options, context) : sayTaken(takeOver(options), options, context),
      );
      return EXIT_OK;
    } catch (cause) {
      if (cause instanceof MoveError || cause instanceof StateFileError || cause instanceof LockStoreError) {
        throw new CliError(cause.message, undefined, { cause });
      }
      if (cause instanceof Deno.errors.PermissionDenied || cause instanceof Deno.errors.NotCapable) {
        throw new CliError(`Cannot migrate: ${cause.message}; run as root`, undefined, { cause });
      }
      // With the file's name, which nobody has said yet.
      throw new CliError(`Cannot migrate: ${cause instanceof Error ? cause.message : cause}`, undefined, { cause });
    }
  },
};
