/**
 * What it takes to run the program as an arm64 machine would: Deno for arm64 from npm, Debian's C library and libcrypto
 * for arm64, and qemu's user-mode emulation, which hands system calls on to this machine's kernel.
 *
 *   npm pack ─▶ deno ─┐
 *   apt, lists of its own ─▶ root/lib ─┴─▶ <cache>/agent-arm64/<version>, kept ─▶ qemu-aarch64-static -L root deno …
 */
const PACKAGES = ["libc6", "libgcc-s1", "libssl3"];

/** Programs this needs. */
export const ARM64_PROGRAMS = ["qemu-aarch64-static", "npm", "apt-get", "dpkg"] as const;

const decoder = new TextDecoder();

async function output(argv: readonly string[], cwd?: string): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(argv[0], { args: argv.slice(1), cwd }).output();
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

/** The start of a command line that runs Deno for arm64. */
export async function arm64Deno(): Promise<string[]> {
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`;
  const dir = `${cache}/agent-arm64/${Deno.version.deno}`;
  await Deno.mkdir(dir, { recursive: true });
  using lock = await Deno.open(`${dir}/lock`, { create: true, write: true });
  await lock.lock(true);
  if (await Deno.stat(`${dir}/root`).catch(() => undefined) === undefined) {
    await fetchDeno(dir);
    await fetchLibraries(dir);
  }
  return ["qemu-aarch64-static", "-L", `${dir}/root`, `${dir}/package/deno`];
}

async function fetchDeno(dir: string): Promise<void> {
  const name = (await output(["npm", "pack", "--silent", `@deno/linux-arm64-glibc@${Deno.version.deno}`], dir)).trim();
  await output(["tar", "-xzf", name, "package/deno"], dir);
  await Deno.remove(`${dir}/${name}`);
}

/** By apt, which checks signatures, with lists and packages of its own: this machine stays as it is. */
async function fetchLibraries(dir: string): Promise<void> {
  const apt = `${dir}/apt`;
  for (const folder of ["lists/partial", "cache/archives/partial"]) {
    await Deno.mkdir(`${apt}/${folder}`, { recursive: true });
  }
  const options = [
    `Dir::State::Lists=${apt}/lists`,
    `Dir::Cache=${apt}/cache`,
    "Dir::State::status=/dev/null",
    "APT::Architecture=arm64",
    "APT::Architectures::=arm64",
    "APT::Sandbox::User=root",
  ].flatMap((option) => ["-o", option]);
  await output(["apt-get", ...options, "-qq", "update"]);
  await output(["apt-get", ...options, "-qq", "download", ...PACKAGES], apt);
  for await (const { name } of Deno.readDir(apt)) {
    if (name.endsWith(".deb")) await output(["dpkg", "-x", name, `${dir}/root.new`], apt);
  }
  await Deno.rename(`${dir}/root.new`, `${dir}/root`);
  await Deno.remove(apt, { recursive: true });
}
