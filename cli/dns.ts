/** `dns`: what DNS is like for this node, and a question to its resolver. Source: cmd/tailscale/cli/dns.go. */
import { query } from "./dns/query.ts";
import { status } from "./dns/status.ts";
import { UsageError } from "./exit_codes.ts";
import type { Verb } from "./verb.ts";

const VERBS: Readonly<Record<string, Verb & { readonly summary: string }>> = { status, query };

export const dns: Verb = {
  help: `Usage: {program} dns COMMAND [flags]

${Object.entries(VERBS).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`).join("\n")}

dns status [--all] [--json]
dns query [--json] NAME [TYPE]
`,
  async run(args, context) {
    const [name, ...rest] = args;
    if (name === undefined || !Object.hasOwn(VERBS, name)) {
      throw new UsageError(name === undefined ? "dns needs a command" : `unknown dns command "${name}"`);
    }
    return await VERBS[name].run(rest, context);
  },
};
