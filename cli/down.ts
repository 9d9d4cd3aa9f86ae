/** `down`: disconnects and stays logged in. Source: cmd/tailscale/cli/down.go. */
import { ACCEPT_RISK_FLAG, askRisk, isSshOverTailscale } from "./accept_risk.ts";
import { EXIT_OK } from "./exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "./flags.ts";
import { assertSaved, unsaved } from "./health_lines.ts";
import { reasonHeader } from "./local_client.ts";
import type { Status } from "./local_types.ts";
import { printError } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  "accept-risk": ACCEPT_RISK_FLAG,
  reason: { type: "string", help: "reason for disconnecting, if a policy asks for one" },
} as const;

export const down: Verb = {
  help: `Usage: {program} down [flags]

Disconnects from the tailnet. The login is kept; '{program} up' connects again.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values } = parseOnlyFlags(FLAGS, args);
    const status = await client.json<Status>("GET", "status?peers=false");
    if (status.BackendState === "Stopped" && unsaved(status.Health ?? []) === undefined) {
      printError("Tailscale was already stopped.\n");
      return EXIT_OK;
    }
    if (isSshOverTailscale()) {
      askRisk(
        "lose-ssh",
        "You are connected over Tailscale; this action will disable Tailscale and result in your session disconnecting.",
        values["accept-risk"],
      );
    }
    const headers = reasonHeader(values.reason);
    await client.text("PATCH", "prefs", { WantRunning: false, WantRunningSet: true }, { headers });
    const { Health } = await client.json<Status>("GET", "status?peers=false");
    assertSaved(Health ?? [], "Disconnected, but only until the daemon ends: make it possible to save and do it again");
    return EXIT_OK;
  },
};
