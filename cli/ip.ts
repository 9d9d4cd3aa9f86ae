/** `ip`: the Tailscale addresses of this node or of a peer. Source: cmd/tailscale/cli/ip.go. */
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import type { Status } from "./local_types.ts";
import { findNode } from "./peer_names.ts";
import { print } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  "1": { type: "boolean", help: "print one address only" },
  "4": { type: "boolean", help: "print the IPv4 address only" },
  "6": { type: "boolean", help: "print the IPv6 address only" },
  assert: { type: "string", value: "address", help: "fail unless this node has this address" },
} as const;

/** Which addresses are asked for. */
export interface IpChoice {
  readonly "1": boolean;
  readonly "4": boolean;
  readonly "6": boolean;
}

/** The addresses to print. @throws CliError when there are none of the kind. */
export function chooseAddresses(status: Status, of: string | undefined, choice: IpChoice): string[] {
  const all = (of === undefined ? status.TailscaleIPs : findNode(status, of).node.TailscaleIPs) ?? [];
  if (all.length === 0) throw new CliError(`no current Tailscale IPs; state: ${status.BackendState}`);
  const wanted = choice["1"] ? all.slice(0, 1) : all;
  const found = wanted.filter((ip) => choice["4"] ? !ip.includes(":") : choice["6"] ? ip.includes(":") : true);
  if (found.length === 0) throw new CliError(`no Tailscale ${choice["4"] ? "IPv4" : "IPv6"} address`);
  return found;
}

export const ip: Verb = {
  help: `Usage: {program} ip [-1] [-4] [-6] [peer]

Prints the Tailscale addresses of this node, or of a peer named by its name or one of its addresses.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (rest.length > 1) throw new UsageError("too many arguments, expected at most one peer");
    if ([values["1"], values["4"], values["6"]].filter(Boolean).length > 1) {
      throw new UsageError("-1, -4 and -6 are mutually exclusive");
    }
    const status = await client.json<Status>("GET", rest.length === 0 ? "status?peers=false" : "status");
    if (values.assert !== "") {
      const own = status.TailscaleIPs ?? [];
      if (own.includes(values.assert)) return EXIT_OK;
      throw new CliError(`assertion failed: IP "${values.assert}" not found among [${own.join(" ")}]`);
    }
    print(`${chooseAddresses(status, rest[0], values).join("\n")}\n`);
    return EXIT_OK;
  },
};
