/** `debug log-level`: how much the running daemon writes to its log. */
import { formatDuration } from "../duration.ts";
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { flagHelp, parseFlags } from "../flags.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

const FLAGS = {
  for: { type: "duration", help: "go back to the level of before after this time" },
} as const;

/** The daemon takes no longer ones. */
const MOST_MS = 12 * 3_600_000;

interface LevelNow {
  readonly Level: string;
  readonly Until?: string;
}

export const logLevel: Verb & { readonly summary: string } = {
  summary: "Show or set how much the daemon logs",
  help: `Usage: {program} debug log-level [flags] [debug | info | warn | error]

Prints the level of the daemon's log, or sets it until the daemon ends.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (rest.length > 1) throw new UsageError(`unexpected argument: ${rest[1]}`);
    if (values.for < 0 || values.for > MOST_MS) throw new UsageError(`--for: want 0 to ${formatDuration(MOST_MS)}`);
    const [level] = rest;
    const secs = Math.ceil(values.for / 1000);
    const now = level === undefined
      ? await client.json<LevelNow>("GET", "agent/log-level")
      : await client.json<LevelNow>("POST", `agent/log-level?${new URLSearchParams({ level, secs: String(secs) })}`);
    const seconds = Math.max(0, Math.round((Date.parse(now.Until ?? "") - Date.now()) / 1000));
    const left = now.Until === undefined ? "" : ` for ${formatDuration(seconds * 1000)} more`;
    print(`${now.Level}${left}\n`);
    return EXIT_OK;
  },
};
