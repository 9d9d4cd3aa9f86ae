/** `debug prefs`: the preferences as they are stored, without keys. Source: cmd/tailscale/cli/debug.go (runPrefs). */
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

export const prefs: Verb & { readonly summary: string } = {
  summary: "Print prefs",
  help: `Usage: {program} debug prefs

Prints the preferences as JSON under the names of the state file; '{program} get' has those of the flags.
`,
  async run(args, { client }) {
    if (args.length > 0) throw new UsageError(`unexpected argument: ${args[0]}`);
    print(`${JSON.stringify(await client.json<unknown>("GET", "prefs"), undefined, "\t")}\n`);
    return EXIT_OK;
  },
};
