/** The executable by `deno compile`: the runtime with the sources inside it. */
import { WORKERS } from "../../base/worker_url.ts";
import { run } from "./run.ts";

/** What to compile, and for what. */
export interface CompileOptions {
  /** The staged sources. */
  readonly stage: string;
  readonly output: string;
  /** `x86_64-unknown-linux-gnu`, `aarch64-unknown-linux-gnu`. */
  readonly target: string;
}

/** Makes the file. Returns undefined, or why it cannot be made: the runtime is fetched from Deno's own server. */
export async function compile({ stage, output, target }: CompileOptions): Promise<string | undefined> {
  const workers = Object.values(WORKERS).map((path) => `--include=${path}.ts`);
  try {
    await run(
      [
        Deno.execPath(),
        "compile",
        "-A",
        "--no-check",
        `--target=${target}`,
        `--output=${output}`,
        ...workers,
        "main.ts",
      ],
      stage,
      { NO_COLOR: "1" },
    );
    return undefined;
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    return /dns error|connect error|error sending request/.test(said)
      ? "its runtime cannot be fetched"
      : said.split("\n")[0];
  }
}
