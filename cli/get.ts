/** `get`: preferences under the names `set` knows. Source: cmd/tailscale/cli/get.go. */
import { CliError, EXIT_OK, EXIT_USAGE, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import type { Prefs, Status } from "./local_types.ts";
import { PREF_FLAGS, prefValues, SET_ONLY_FLAGS } from "./pref_flags.ts";
import { shellWord } from "./shell_word.ts";
import { columns, print } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  json: { type: "boolean", help: "print as JSON" },
  "set-flags": { type: "boolean", help: "print as flags of 'set'" },
} as const;

const HIDDEN: ReadonlySet<string> = new Set(
  Object.entries({ ...PREF_FLAGS, ...SET_ONLY_FLAGS }).filter(([, spec]) => "hidden" in spec).map(([name]) => name),
);

/** A setting and its value. */
export type Setting = readonly [name: string, value: string | boolean];

/** The settings asked for: one by name, or all that are not hidden. @throws CliError for a name there is not. */
export function chooseSettings(prefs: Prefs, status: Status, name: string | undefined): Setting[] {
  const all = Object.entries(prefValues(prefs, status)).sort(([a], [b]) => a < b ? -1 : 1);
  if (name === undefined || name === "all") return all.filter(([flag]) => !HIDDEN.has(flag));
  const found = all.filter(([flag]) => flag === name);
  if (found.length === 0) {
    throw new CliError(`unknown setting "${name}"; 'agent set --help' lists the settings`, EXIT_USAGE);
  }
  return found;
}

/** A setting as a flag of `set`. */
export function asFlag([name, value]: Setting): string {
  return value === true ? `--${name}` : `--${name}=${shellWord(String(value))}`;
}

/** Stateful filtering that was never set is something else than set to what it is shown as. */
function wasSet({ NoStatefulFiltering }: Prefs): (setting: Setting) => boolean {
  return ([name]) => name !== "stateful-filtering" || typeof NoStatefulFiltering === "boolean";
}

export const get: Verb = {
  help: `Usage: {program} get [flags] [setting | all]

Prints one setting, or all. The names are those of the flags of '{program} set'.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (rest.length > 1) throw new UsageError("too many arguments, expected at most one setting");
    const prefs = await client.json<Prefs>("GET", "prefs");
    // Peers are needed only to name an exit node that is known by its ID.
    const status = await client.json<Status>("GET", prefs.ExitNodeID === "" ? "status?peers=false" : "status");
    const settings = chooseSettings(prefs, status, rest[0]);
    if (values.json) print(`${JSON.stringify(Object.fromEntries(settings), null, 2)}\n`);
    else if (values["set-flags"]) print(`${settings.filter(wasSet(prefs)).map(asFlag).join(" ")}\n`);
    else if (rest.length === 1 && rest[0] !== "all") print(`${settings[0][1]}\n`);
    else print(`${columns([["NAME", "VALUE"], ...settings.map(([name, value]) => [name, String(value)])])}\n`);
    return EXIT_OK;
  },
};
