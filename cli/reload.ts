/** `reload`: has the daemon read its configuration file again, as SIGHUP does, and tells how that went. */
import { CliError, EXIT_FAILED, EXIT_OK } from "./exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "./flags.ts";
import type { LocalClient } from "./local_client.ts";
import { print } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  "if-configured": { type: "boolean", help: "succeed where no configuration file is in use" },
} as const;

/** Asks for it. False when no file is in use. @throws CliError with what is wrong with the file. */
export async function reloadConfig(client: LocalClient): Promise<boolean> {
  const { Reloaded, Err } = await client.json<{ Reloaded: boolean; Err?: string }>("POST", "reload-config");
  if (Err) throw new CliError(Err);
  return Reloaded;
}

export const reload: Verb = {
  help: `Usage: {program} reload [flags]

Has the daemon read its configuration file again. A file with mistakes changes nothing: they are printed, and it ends
with 1.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values } = parseOnlyFlags(FLAGS, args);
    const reloaded = await reloadConfig(client);
    print(reloaded ? "config reloaded\n" : "config mode not in use\n");
    return reloaded || values["if-configured"] ? EXIT_OK : EXIT_FAILED;
  },
};
