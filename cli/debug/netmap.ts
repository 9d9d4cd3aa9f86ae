/** `debug netmap`: the tailnet as the daemon holds it. Source: cmd/tailscale/cli/debug.go (runNetmap). */
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

/** The value with the fields of all objects in order of their names, as Go prints what it read without a type. */
export function sortedFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedFields);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1);
  return Object.fromEntries(fields.map(([name, field]) => [name, sortedFields(field)]));
}

export const netmap: Verb & { readonly summary: string } = {
  summary: "Print the current network map",
  help: `Usage: {program} debug netmap

Prints oneself, the peers that Tailnet Lock accepts, DNS, packet filter and relays as JSON, without private keys.
`,
  async run(args, { client }) {
    if (args.length > 0) throw new UsageError(`unexpected argument: ${args[0]}`);
    const netmap = await client.json<unknown>("POST", "debug?action=current-netmap");
    print(`${JSON.stringify(sortedFields(netmap), undefined, "\t")}\n`);
    return EXIT_OK;
  },
};
