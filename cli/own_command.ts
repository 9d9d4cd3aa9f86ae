/** How this program can be called again, by another program. */

/** Its command line, to which arguments can be added. */
export function ownCommand(): string[] {
  // The self-extracting file tells where it is; its runtime alone would start nothing.
  const called = Deno.env.get("AGENT_ARGV0");
  if (called?.includes("/")) return [called];
  const executable = Deno.execPath();
  if (!/\/deno$/.test(executable)) return [executable];
  return [executable, "run", "-A", "--no-lock", new URL(Deno.mainModule).pathname];
}
