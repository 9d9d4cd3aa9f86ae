/** Picks the program by the name it was called by, runs it, exits with its code. */
import { argv0, invokedAs } from "./cli/invoked_as.ts";

const name = invokedAs(argv0());
const code = name === "tailscaled"
  ? await (await import("./cli/daemon.ts")).run(Deno.args, "tailscaled")
  : await (await import("./cli/run.ts")).runCommandLine(Deno.args, name);
Deno.exit(code);
