/** `logout`: disconnects and has the control server expire the node key. Source: cmd/tailscale/cli/logout.go. */
import { EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import { reasonHeader } from "./local_client.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  reason: { type: "string", help: "reason for logging out, if a policy asks for one" },
} as const;

export const logout: Verb = {
  help: `Usage: {program} logout [flags]

Disconnects and expires this login; connecting again needs a new one.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (rest.length > 0) throw new UsageError(`unexpected argument: ${rest[0]}`);
    await client.text("POST", "logout", undefined, { headers: reasonHeader(values.reason) });
    return EXIT_OK;
  },
};
