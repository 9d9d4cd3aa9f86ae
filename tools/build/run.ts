/** Runs a program of the build. @throws Error with all it said, when it does not end with 0. */
export async function run(argv: readonly string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(argv[0], { args: argv.slice(1), cwd, env }).output();
  const text = new TextDecoder();
  if (code === 0) return text.decode(stdout);
  throw new Error(`${argv.slice(0, 2).join(" ")} ended with ${code}: ${text.decode(stderr).trim()}`);
}
