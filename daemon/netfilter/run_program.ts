/** Runs a program of the system's to its end. */

/** A filter program that has not ended by then waits for a lock that nobody gives back. */
const TIMEOUT_MS = 20_000;

/**
 * Runs it with nothing of our environment, and `input` on its standard input. @returns what it printed. @throws Error with
 * the first line of what it complained of.
 */
export async function runProgram(path: string, args: readonly string[], input = ""): Promise<string> {
  const child = new Deno.Command(path, {
    args: [...args],
    clearEnv: true,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).spawn();
  const writer = child.stdin.getWriter();
  // A program that ends before it has read all says why on standard error.
  const written = writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  await written;
  const text = new TextDecoder();
  if (code === 0) return text.decode(stdout);
  const complaint = text.decode(stderr).trim().split("\n")[0] || `it ended with ${code}`;
  throw new Error(`${path.slice(path.lastIndexOf("/") + 1)}: ${complaint}`);
}
