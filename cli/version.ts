/** `version`. Source: cmd/tailscale/cli/version.go, version.Meta. */
import { COMMIT, COMMIT_DATE, LONG_VERSION, VERSION } from "../base/version.ts";
import { EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseOnlyFlags } from "./flags.ts";
import type { Status } from "./local_types.ts";
import { print } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  daemon: { type: "boolean", help: "also print the daemon's version" },
  json: { type: "boolean", help: "print as JSON" },
  upstream: { type: "boolean", help: "", hidden: true },
  track: { type: "string", help: "", hidden: true },
} as const;

/** The part of Go's `version.Meta` that has a meaning here. */
interface Meta {
  readonly majorMinorPatch: string;
  readonly short: string;
  readonly long: string;
  readonly gitCommit?: string;
  readonly gitDirty?: boolean;
  readonly gitCommitTime?: string;
  readonly daemonLong?: string;
}

export const version: Verb = {
  help: `Usage: {program} version [flags]

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values } = parseOnlyFlags(FLAGS, args);
    if (values.upstream) {
      throw new UsageError("--upstream is not offered: this program asks no server for new versions");
    }
    const daemon = values.daemon ? (await client.json<Status>("GET", "status?peers=false")).Version : undefined;
    if (values.json) {
      const meta: Meta = {
        majorMinorPatch: VERSION,
        short: VERSION,
        long: LONG_VERSION,
        ...(COMMIT !== "" && { gitCommit: COMMIT.replace("-dirty", "") }),
        ...(COMMIT.endsWith("-dirty") && { gitDirty: true }),
        ...(COMMIT_DATE !== "" && { gitCommitTime: COMMIT_DATE }),
        ...(daemon !== undefined && { daemonLong: daemon }),
      };
      print(`${JSON.stringify(meta, null, "\t")}\n`);
    } else if (daemon !== undefined) {
      print(`Client: ${LONG_VERSION}\nDaemon: ${daemon}\n`);
    } else {
      const commit = COMMIT === "" ? "" : `  commit: ${COMMIT}, ${COMMIT_DATE}\n`;
      print(`${VERSION}\n${commit}  long version: ${LONG_VERSION}\n`);
    }
    return EXIT_OK;
  },
};
