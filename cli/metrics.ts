/** `metrics`: Prometheus' text format for people and for node exporter. Source: cmd/tailscale/cli/metrics.go. */
import { reasonOf } from "../base/reason.ts";
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { print } from "./terminal.ts";
import type { Verb } from "./verb.ts";

/** Writes a file so that whoever reads it sees the old text or the new, never half of either. */
async function writeWhole(path: string, text: string): Promise<void> {
  const beside = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await Deno.writeTextFile(beside, text, { createNew: true, mode: 0o644 });
    await Deno.chmod(beside, 0o644);
    await Deno.rename(beside, path);
  } catch (cause) {
    await Deno.remove(beside).catch(() => {});
    throw new CliError(`Cannot write ${path}: ${reasonOf(cause)}`, undefined, { cause });
  }
}

export const metrics: Verb = {
  help: `Usage: {program} metrics [print | write PATH]

Shows the metrics of the node in Prometheus' text format: tailscaled_* are Tailscale's.

  print        print them (default)
  write PATH   write them to a file, whole or not at all, for the textfile collector of Prometheus' node exporter:
               {program} metrics write /var/lib/prometheus/node-exporter/tailscaled.prom

They are served to this machine at http://100.100.100.100/metrics too. What the program itself does, agent_*, is added
for root and the operator by 'agent debug metrics'.
`,
  commands: { print: "", write: "" },
  async run(args, { client }) {
    const [command = "print", ...rest] = args;
    switch (command) {
      case "print":
        if (rest.length > 0) throw new UsageError(`unexpected argument: ${rest[0]}`);
        print(await client.text("GET", "usermetrics"));
        return EXIT_OK;
      case "write":
        if (rest.length !== 1) throw new UsageError("metrics write wants one path");
        await writeWhole(rest[0], await client.text("GET", "usermetrics"));
        return EXIT_OK;
      default:
        throw new UsageError(`unknown subcommand: ${command}; want print or write`);
    }
  },
};
