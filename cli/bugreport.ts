/**
 * `bugreport`: a marker in the daemon's log and, our own, a directory with what a person would ask for. Nothing leaves the
 * machine. Source: cmd/tailscale/cli/bugreport.go.
 */
import { reasonOf } from "../base/reason.ts";
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import { LocalApiError } from "./local_client.ts";
import type { LocalClient } from "./local_client.ts";
import { print, printError } from "./terminal.ts";
import type { Verb } from "./verb.ts";

const FLAGS = {
  diagnose: { type: "boolean", help: "run additional in-depth checks" },
  record: { type: "boolean", help: "if true, pause and then write another bugreport" },
  output: { type: "string", value: "DIR", help: "directory to make for the files (default: BUG-… here, else in /tmp)" },
} as const;

interface Report {
  readonly Marker: string;
  readonly Files: Readonly<Record<string, string>>;
}

/** Makes a directory that only its owner may read, and the files in it. @throws Deno.errors.* */
function writeFiles(directory: string, files: Report["Files"]): void {
  Deno.mkdirSync(directory, { mode: 0o700 });
  for (const [name, text] of Object.entries(files)) {
    if (!/^[a-z0-9_-]+\.[a-z]+$/.test(name)) continue;
    Deno.writeTextFileSync(`${directory}/${name}`, text, { createNew: true, mode: 0o600 });
  }
}

/** @returns the directory written. @throws CliError when the one asked for cannot be, or none of our own choice */
function keep({ Marker, Files }: Report, output: string): string {
  const places = output === "" ? [Marker, `/tmp/${Marker}`] : [output];
  let failure: unknown;
  for (const place of places) {
    try {
      writeFiles(place, Files);
      return place;
    } catch (cause) {
      failure = cause;
    }
  }
  throw new CliError(
    `Cannot write the report to ${places.join(" or ")}: ${reasonOf(failure)}; name a new directory by --output`,
  );
}

/** One report; a user who may not have the files still gets a marker. */
async function report(client: LocalClient, note: string, diagnose: boolean, output: string): Promise<void> {
  const query = new URLSearchParams({ ...(note !== "" && { note }), ...(diagnose && { diagnose: "true" }) });
  try {
    const made = await client.json<Report>("POST", `agent/bugreport?${query}`);
    print(`${made.Marker}\n`);
    printError(`The report is in ${keep(made, output)}. It stays here; look through it before you pass it on.\n`);
  } catch (error) {
    if (!(error instanceof LocalApiError) || error.status !== 403 || output !== "") throw error;
    print(await client.text("POST", `bugreport?${query}`));
    printError("This is a marker in the daemon's log. The report itself is for root and the operator.\n");
  }
}

/** Waits for Enter, or for the end of the input. */
async function enter(): Promise<void> {
  print("Recording started; please reproduce your issue and then press Enter...\n");
  await Deno.stdin.read(new Uint8Array(256));
}

export const bugreport: Verb = {
  help: `Usage: {program} bugreport [flags] [note]

Prints an identifier that is written into the daemon's log at the same moment, and makes a directory with that log,
status, settings, health and metrics. Nothing is sent anywhere, and every secret is struck out.

${flagHelp(FLAGS)}
`,
  async run(args, { client }) {
    const { values, rest } = parseFlags(FLAGS, args);
    if (rest.length > 1) throw new UsageError("unknown arguments: the note is one word, or in quotes");
    const note = rest[0] ?? "";
    if (!values.record) {
      await report(client, note, values.diagnose, values.output);
      return EXIT_OK;
    }
    // The daemon writes debug lines while this request is open, and not a moment longer than this program lives.
    using recording = await client.hold(`bugreport?${new URLSearchParams({ note, record: "true" })}`);
    print(`${recording.line}\n`);
    await enter();
    await report(client, note, values.diagnose, values.output);
    return EXIT_OK;
  },
};
