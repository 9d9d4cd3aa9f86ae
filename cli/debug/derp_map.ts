/** `debug derp-map`: the relays control names. Source: cmd/tailscale/cli/debug.go (runDERPMap). */
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

export const derpMap: Verb & { readonly summary: string } = {
  summary: "Print DERP map",
  help: `Usage: {program} debug derp-map

Prints the regions and nodes of the relays as JSON, null before control has named any.
`,
  async run(args, { client }) {
    if (args.length > 0) throw new UsageError(`unexpected argument: ${args[0]}`);
    print(`${JSON.stringify(await client.json<unknown>("GET", "derpmap"), undefined, "\t")}\n`);
    return EXIT_OK;
  },
};
