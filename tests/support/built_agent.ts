/**
 * The executable for tests, built once for each state of the sources and kept in the user's cache; and copies of the
 * checkout elsewhere to build from.
 */
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const decoder = new TextDecoder();

async function output(argv: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(argv[0], { args: argv.slice(1), cwd: ROOT, env }).output();
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

/** Paths of all files that are part of the program or of its build. */
async function sources(): Promise<string[]> {
  const listed = await output(["git", "ls-files", "-co", "--exclude-standard", "-z"]);
  const files = listed.split("\0").filter((path) => /\.(ts|sh)$|^(deno\.(json|lock)|LICENSE|README\.md)$/.test(path));
  return files.filter((path) => !path.startsWith("tests/")).sort();
}

/** Copies the checkout to `to`. @param version Another version to call itself. */
export async function copyCheckout(to: string, version?: string): Promise<void> {
  for (const path of await sources()) {
    await Deno.mkdir(dirname(`${to}/${path}`), { recursive: true });
    await Deno.copyFile(`${ROOT}/${path}`, `${to}/${path}`).catch((cause) => {
      // Removed, and the removal not committed yet.
      if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    });
  }
  await Deno.symlink(`${ROOT}/.git`, `${to}/.git`);
  if (version === undefined) return;
  const text = await Deno.readTextFile(`${to}/base/version.ts`);
  await Deno.writeTextFile(`${to}/base/version.ts`, text.replace(/VERSION = "[^"]+"/, `VERSION = "${version}"`));
}

/** Builds from the checkout at `from`. Returns what the build printed. */
export async function build(from: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  return await output([Deno.execPath(), "run", "-A", `${from}/tools/build.ts`, ...args], {
    // Looking at a checkout must not touch it: tests of other files do the same beside us.
    GIT_OPTIONAL_LOCKS: "0",
    ...env,
  });
}

/** The directory with `agent` and its packages of this checkout, or of the same sources that call themselves `version`. */
export async function builtAgent(version?: string): Promise<string> {
  const hash = createHash("sha256").update(`${version}\n${await output(["git", "rev-parse", "HEAD"])}`);
  for (const path of await sources()) hash.update(await Deno.readFile(`${ROOT}/${path}`).catch(() => new Uint8Array()));
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`;
  const dir = `${cache}/agent-builds/${hash.digest("hex").slice(0, 16)}`;
  await Deno.mkdir(dir, { recursive: true });
  using lock = await Deno.open(`${dir}/lock`, { create: true, write: true });
  await lock.lock(true);
  if (await Deno.stat(`${dir}/done`).catch(() => undefined) === undefined) {
    const copy = await Deno.makeTempDir({ prefix: "agent-checkout-" });
    try {
      await copyCheckout(copy, version);
      await build(copy, ["--self-extracting", `--output=${dir}/agent`]);
      await Deno.writeTextFile(`${dir}/done`, "");
    } finally {
      await Deno.remove(copy, { recursive: true });
    }
    await forgetOld(dirname(dir));
  }
  return dir;
}

/** Removes builds that are older than a day. */
async function forgetOld(cache: string): Promise<void> {
  for await (const { name } of Deno.readDir(cache)) {
    const built = await Deno.stat(`${cache}/${name}/done`).catch(() => undefined);
    if (built?.mtime != null && Date.now() - built.mtime.getTime() > 24 * 3600_000) {
      await Deno.remove(`${cache}/${name}`, { recursive: true });
    }
  }
}
