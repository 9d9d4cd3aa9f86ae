/** `whois`: which node and user an address belongs to. Source: cmd/tailscale/cli/whois.go. */
import { parseAddrPort, parseIp } from "../base/ip.ts";
import { EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import type { WhoIs } from "./local_types.ts";
import { print } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  json: { type: "boolean", help: "print as JSON" },
  proto: { type: "string", value: "tcp|udp", help: "protocol of the port, both when not given" },
} as const;

/** Lines of a section: names padded to the longest and five more, at least ten, as Go's tabwriter does. */
function section(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(10, ...rows.map(([name]) => name.length + 5));
  return rows.map(([name, value]) => `${name.padEnd(width)}${value}`);
}

/** The text of `whois`. */
export function formatWhoIs({ Node, UserProfile, CapMap }: WhoIs): string {
  const tags = Node.Tags ?? [];
  const extra = (Node.AllowedIPs ?? []).slice(2);
  const machine: (readonly [string, string])[] = [
    ["  Name:", Node.Name.replace(/\.$/, "")],
    ["  ID:", Node.StableID],
    ["  Addresses:", `[${(Node.Addresses ?? []).join(" ")}]`],
    ...(extra.length > 0 ? [["  AllowedIPs:", `[${extra.join(" ")}]`] as const] : []),
    ...(tags.length > 0 ? [["  Tags:", tags.join(", ")] as const] : []),
  ];
  const lines = ["Machine:", ...section(machine)];
  if (tags.length === 0) {
    lines.push("User:", ...section([["  Name:", UserProfile.LoginName], ["  ID:", String(UserProfile.ID)]]));
  }
  const caps = Object.entries(CapMap ?? {});
  if (caps.length > 0) lines.push("Capabilities:");
  for (const [cap, values] of caps) {
    if (values === null || values.length === 0) lines.push(`  - ${cap}`);
    else lines.push(`  - ${cap}:`, `      ${JSON.stringify(values, null, 2).replaceAll("\n", "\n      ")}`);
  }
  return `${lines.join("\n")}\n`;
}

export const whois: Verb = {
  help: `Usage: {program} whois [flags] <address[:port]>

Shows the node and the user that a Tailscale address belongs to, and what the policy grants them here.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (rest.length === 0) throw new UsageError("missing argument, expected one peer");
    if (rest.length > 1) throw new UsageError("too many arguments, expected at most one peer");
    if (!["", "tcp", "udp"].includes(values.proto)) {
      throw new UsageError(`unknown --proto ${values.proto}: want tcp or udp`);
    }
    if (parseIp(rest[0]) === undefined && parseAddrPort(rest[0]) === undefined && !rest[0].startsWith("nodekey:")) {
      throw new UsageError(`"${rest[0]}" is no address: want one as 100.64.0.7, or with a port`);
    }
    const query = new URLSearchParams({ addr: rest[0], ...(values.proto !== "" && { proto: values.proto }) });
    const who = await client.json<WhoIs>("GET", `whois?${query}`);
    print(values.json ? `${JSON.stringify(who, null, 2)}\n` : formatWhoIs(who));
    return EXIT_OK;
  },
};
