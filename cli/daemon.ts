/** `agent daemon`: the only verb that loads the daemon. */
import type { InvokedAs } from "../daemon/flags.ts";

/** Runs until stopped. Resolves to the exit code. */
export async function run(args: readonly string[], invokedAs: InvokedAs = "agent"): Promise<number> {
  const { runDaemon } = await import("../daemon/daemon.ts");
  return await runDaemon([...args], invokedAs);
}

/** What `daemon --help` prints. */
export async function about(): Promise<{ readonly help: string }> {
  return { help: (await import("../daemon/flags.ts")).usage("agent") };
}
