/**
 * The name the program was called by. A symbolic link `tailscale` or `tailscaled` to the executable makes it take
 * those programs' flags and paths.
 *
 * Deno hides argv[0], so it comes from `AGENT_ARGV0` (set by the self-extracting file and by anyone who runs from
 * source) or, for a compiled executable, from the kernel.
 */
/** What to behave as. */
export type InvokedAs = "agent" | "tailscale" | "tailscaled";

/** @param argv0 the first word of the command line, with or without its path. */
export function invokedAs(argv0: string | undefined): InvokedAs {
  const name = argv0?.split("/").at(-1);
  return name === "tailscale" || name === "tailscaled" ? name : "agent";
}

/** The first word of this process's command line. */
export function argv0(): string | undefined {
  const given = Deno.env.get("AGENT_ARGV0");
  if (given !== undefined) return given;
  try {
    return Deno.readTextFileSync("/proc/self/cmdline").split("\0")[0];
  } catch {
    return undefined;
  }
}
