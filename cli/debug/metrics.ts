/** `debug metrics`: all that `metrics` shows, and how the program itself fares. Source: cmd/tailscale/cli/debug.go. */
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

export const metrics: Verb & { readonly summary: string } = {
  summary: "All metrics, those of the program itself too",
  help: `Usage: {program} debug metrics

Prints all metrics in Prometheus' text format, agent_* too. For root and the operator.
`,
  async run(args, { client }) {
    if (args.length > 0) throw new UsageError(`unexpected argument: ${args[0]}`);
    print(await client.text("GET", "metrics"));
    return EXIT_OK;
  },
};
