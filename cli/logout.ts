/** `logout`: disconnects and has the control server expire the node key. Source: cmd/tailscale/cli/logout.go. */
import { EXIT_OK } from "./exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "./flags.ts";
import { assertSaved } from "./health_lines.ts";
import { reasonHeader } from "./local_client.ts";
import type { Status } from "./local_types.ts";
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
    const { values } = parseOnlyFlags(FLAGS, args);
    await client.text("POST", "logout", undefined, { headers: reasonHeader(values.reason) });
    const { Health } = await client.json<Status>("GET", "status?peers=false");
    assertSaved(
      Health ?? [],
      "Logged out, but the state file still has this login: make it possible to save, restart the daemon and log out again",
    );
    return EXIT_OK;
  },
};
