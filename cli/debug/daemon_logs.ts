/** `debug daemon-logs`: follows the daemon's log. Source: cmd/tailscale/cli/debug.go (runDaemonLogs). */
import { EXIT_OK } from "../exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "../flags.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

const FLAGS = {
  verbose: {
    type: "number",
    value: "LEVEL",
    help: "1 for debug lines too; the daemon's own level counts for neither",
    fallback: 0,
  },
  time: { type: "boolean", help: "print the time of each line" },
} as const;

/** A line as Go's logtail has it. */
interface Line {
  readonly text?: string;
  readonly v?: number;
  readonly logtail?: { readonly client_time?: string };
}

export const daemonLogs: Verb & { readonly summary: string } = {
  summary: "Follow the daemon's log",
  help: `Usage: {program} debug daemon-logs [flags]

Prints what the daemon logs from now on, until it is interrupted. For root and the operator.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values } = parseOnlyFlags(FLAGS, args);
    for await (const { text = "", v = 0, logtail } of await client.stream<Line>("logtap")) {
      if (text.trim() === "" || v > values.verbose) continue;
      print(`${values.time && logtail?.client_time ? `${logtail.client_time} ` : ""}${text.trim()}\n`);
    }
    return EXIT_OK;
  },
};
