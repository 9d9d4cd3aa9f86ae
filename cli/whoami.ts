/** `whoami`: this machine's node and user. Source: cmd/tailscale/cli/whoami.go. */
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import type { Status, WhoIs } from "./local_types.ts";
import { print } from "./terminal.ts";
import type { Verb } from "./verb.ts";
import { formatWhoIs } from "./whois.ts";

const FLAGS = {
  json: { type: "boolean", help: "print as JSON" },
} as const;

export const whoami: Verb = {
  help: `Usage: {program} whoami [flags]

Shows this node and its user, as 'whois' does for one of its addresses.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (rest.length > 0) throw new UsageError("too many arguments, expected none");
    const { TailscaleIPs, BackendState } = await client.json<Status>("GET", "status?peers=false");
    const address = TailscaleIPs?.[0];
    if (address === undefined) throw new CliError(`no current Tailscale IP address; state: ${BackendState}`);
    const who = await client.json<WhoIs>("GET", `whois?${new URLSearchParams({ addr: address })}`);
    print(values.json ? `${JSON.stringify(who, null, 2)}\n` : formatWhoIs(who));
    return EXIT_OK;
  },
};
