/** `dns`: what DNS is like for this node, and a question to its resolver. Source: cmd/tailscale/cli/dns.go. */
import { query } from "./dns/query.ts";
import { status } from "./dns/status.ts";
import { groupVerb } from "./verb.ts";
import type { Verb } from "./verb.ts";

const VERBS: Readonly<Record<string, Verb & { readonly summary: string }>> = { status, query };

export const dns: Verb = groupVerb(
  "dns",
  `Usage: {program} dns COMMAND [flags]

${Object.entries(VERBS).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`).join("\n")}

dns status [--all] [--json]
dns query [--json] NAME [TYPE]

'{program} dns COMMAND --help' tells more of one.
`,
  VERBS,
);
