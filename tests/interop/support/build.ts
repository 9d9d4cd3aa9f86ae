// Builds the Go programs of the tests, each once for each state of its sources, and hands out the paths.
//
//   sources ─hash─▶ <cache>/agent-interop/<hash>/<program> there? ── yes ─▶ ready
//                          │ no
//                          ▼
//            lock file (one builder, the others wait) ─▶ go build ─▶ rename into place ─▶ ready
//
// Without a Go toolchain that is new enough the answer is a skip that says so; with CI=true that is an error.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where a program is, or why there is none. */
export type GoBuild =
  | { readonly kind: "ready"; readonly path: string; readonly builtInMs: number }
  | { readonly kind: "skip"; readonly reason: string };

/** A program of a module of ours. */
interface Program {
  /** Of the file built. */
  readonly name: string;
  readonly moduleDir: string;
  /** What `go build` is given. */
  readonly package: string;
  /** For a module that needs another Go than the one installed. */
  readonly env?: Readonly<Record<string, string>>;
}

const LAB: Program = { name: "lab", moduleDir: fileURLToPath(new URL("..", import.meta.url)), package: "." };
const HEADSCALE: Program = {
  name: "headscale",
  moduleDir: fileURLToPath(new URL("../headscale", import.meta.url)),
  package: "github.com/juanfont/headscale/cmd/headscale",
};
const TAILSCALE_CLI: Program = {
  name: "tailscale",
  moduleDir: fileURLToPath(new URL("../tailscale_cli", import.meta.url)),
  package: "tailscale.com/cmd/tailscale",
};
const TAILSCALED: Program = { ...TAILSCALE_CLI, name: "tailscaled", package: "tailscale.com/cmd/tailscaled" };
const TKA_ORACLE: Program = {
  name: "tka-oracle",
  moduleDir: fileURLToPath(new URL("../tka", import.meta.url)),
  package: ".",
  env: { GOTOOLCHAIN: "auto" },
};

const building = new Map<Program, Promise<GoBuild>>();

/**
 * Builds the lab program, or finds it built. Calls in one process share one build, and processes share it by a lock
 * file. Throws when the build fails, and with CI=true when Go is absent or too old.
 */
export function buildLab(): Promise<GoBuild> {
  return buildOnce(LAB);
}

/** As buildLab(), for the headscale that `headscale/go.mod` pins. */
export function buildHeadscale(): Promise<GoBuild> {
  return buildOnce(HEADSCALE);
}

/** As buildLab(), for Tailscale's own command line, which `tailscale_cli/go.mod` pins. */
export function buildTailscaleCli(): Promise<GoBuild> {
  return buildOnce(TAILSCALE_CLI);
}

/** As buildLab(), for Tailscale's own daemon, of the same module. */
export function buildTailscaled(): Promise<GoBuild> {
  return buildOnce(TAILSCALED);
}

/** As buildLab(), for the program of `tka/`, which links a newer Tailscale than lab can. */
export function buildTkaOracle(): Promise<GoBuild> {
  return buildOnce(TKA_ORACLE);
}

function buildOnce(program: Program): Promise<GoBuild> {
  const known = building.get(program);
  if (known !== undefined) return known;
  const begun = build(program);
  building.set(program, begun);
  return begun;
}

async function build(program: Program): Promise<GoBuild> {
  const { name } = program;
  const missing = await missingGo(program);
  if (missing !== undefined) {
    if (env("CI") === "true") throw new Error(`Cannot build ${name}: ${missing}`);
    return { kind: "skip", reason: missing };
  }
  const dir = join(cacheRoot(), await sourceHash(program));
  const path = join(dir, name);
  if (await exists(path)) return { kind: "ready", path, builtInMs: 0 };

  await mkdir(dir, { recursive: true });
  using lock = await Deno.open(join(dir, "lock"), { create: true, write: true });
  await lock.lock(true); // freed by the kernel when a builder dies
  if (await exists(path)) return { kind: "ready", path, builtInMs: 0 };
  const start = performance.now();
  await go(program, ["build", "-trimpath", "-buildvcs=false", "-o", `${path}.new`, program.package]);
  await rename(`${path}.new`, path);
  await forgetOldBuilds(name);
  return { kind: "ready", path, builtInMs: Math.round(performance.now() - start) };
}

/** Removes builds of other sources that are older than a day. */
async function forgetOldBuilds(program: string): Promise<void> {
  const day = 24 * 3600 * 1000;
  for (const name of await readdir(cacheRoot())) {
    const dir = join(cacheRoot(), name);
    const built = await stat(join(dir, program)).catch(() => undefined);
    if (built !== undefined && Date.now() - built.mtimeMs > day) await rm(dir, { recursive: true, force: true });
  }
}

/** Says what is missing to build, or undefined. Go itself fetches a newer toolchain where GOTOOLCHAIN allows it. */
async function missingGo(program: Program): Promise<string | undefined> {
  const wanted = /^go (\S+)$/m.exec(await readFile(join(program.moduleDir, "go.mod"), "utf8"))?.[1] ?? "?";
  try {
    await go(program, ["env", "GOVERSION"]);
    return undefined;
  } catch (e) {
    const notThere = (e as NodeJS.ErrnoException).code === "ENOENT";
    return notThere ? `Go ${wanted} is not installed` : `Go ${wanted} is needed: ${(e as Error).message}`;
  }
}

function go({ moduleDir: cwd, env: extra }: Program, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      "go",
      args,
      { cwd, env: { ...Deno.env.toObject(), ...extra }, maxBuffer: 16 << 20 },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        if (typeof error.code === "number") error.message = `go ${args[0]}: ${stderr.trim()}`;
        reject(error);
      },
    );
  });
}

async function sourceHash({ moduleDir }: Program): Promise<string> {
  const hash = createHash("sha256");
  const files = (await readdir(moduleDir)).filter((f) => /\.go$|^go\.(mod|sum)$/.test(f)).sort();
  for (const file of files) {
    const text = await readFile(join(moduleDir, file));
    hash.update(`${file} ${text.length}\n`).update(text);
  }
  return hash.digest("hex").slice(0, 20);
}

function cacheRoot(): string {
  return join(env("XDG_CACHE_HOME") ?? join(homedir(), ".cache"), "agent-interop");
}

function env(name: string): string | undefined {
  return Deno.env.get(name) || undefined;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}

// The test runner starts the builds before anything else: the one most tests want, then the one few do.
if (import.meta.main) {
  console.log(JSON.stringify(await buildLab()));
  console.log(JSON.stringify(await buildTkaOracle()));
  console.log(JSON.stringify(await buildTailscaleCli()));
  console.log(JSON.stringify(await buildTailscaled()));
  console.log(JSON.stringify(await buildHeadscale()));
}
