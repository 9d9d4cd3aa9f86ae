// Builds tests/interop's Go program once for each state of its sources, and hands out the path.
//
//   sources ─hash─▶ <cache>/agent-interop/<hash>/lab there? ── yes ─▶ ready
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

/** Where the lab program is, or why there is none. */
export type LabBuild =
  | { readonly kind: "ready"; readonly path: string; readonly builtInMs: number }
  | { readonly kind: "skip"; readonly reason: string };

const moduleDir = fileURLToPath(new URL("..", import.meta.url));

let building: Promise<LabBuild> | undefined;

/**
 * Builds the lab program, or finds it built. Calls in one process share one build, and processes share it by a lock
 * file. Throws when the build fails, and with CI=true when Go is absent or too old.
 */
export function buildLab(): Promise<LabBuild> {
  building ??= build();
  return building;
}

async function build(): Promise<LabBuild> {
  const missing = await missingGo();
  if (missing !== undefined) {
    if (env("CI") === "true") throw new Error(`Cannot build the interop lab: ${missing}`);
    return { kind: "skip", reason: missing };
  }
  const dir = join(cacheRoot(), await sourceHash());
  const path = join(dir, "lab");
  if (await exists(path)) return { kind: "ready", path, builtInMs: 0 };

  await mkdir(dir, { recursive: true });
  using lock = await Deno.open(join(dir, "lock"), { create: true, write: true });
  await lock.lock(true); // freed by the kernel when a builder dies
  if (await exists(path)) return { kind: "ready", path, builtInMs: 0 };
  const start = performance.now();
  await go(["build", "-trimpath", "-buildvcs=false", "-o", `${path}.new`, "."]);
  await rename(`${path}.new`, path);
  await forgetOldBuilds();
  return { kind: "ready", path, builtInMs: Math.round(performance.now() - start) };
}

/** Removes builds of other sources that are older than a day. */
async function forgetOldBuilds(): Promise<void> {
  const day = 24 * 3600 * 1000;
  for (const name of await readdir(cacheRoot())) {
    const dir = join(cacheRoot(), name);
    const built = await stat(join(dir, "lab")).catch(() => undefined);
    if (built !== undefined && Date.now() - built.mtimeMs > day) await rm(dir, { recursive: true, force: true });
  }
}

/** Says what is missing to build, or undefined. Go itself fetches a newer toolchain where GOTOOLCHAIN allows it. */
async function missingGo(): Promise<string | undefined> {
  const wanted = /^go (\S+)$/m.exec(await readFile(join(moduleDir, "go.mod"), "utf8"))?.[1] ?? "?";
  try {
    await go(["env", "GOVERSION"]);
    return undefined;
  } catch (e) {
    const notThere = (e as NodeJS.ErrnoException).code === "ENOENT";
    return notThere ? `Go ${wanted} is not installed` : `Go ${wanted} is needed: ${(e as Error).message}`;
  }
}

function go(args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile("go", args, { cwd: moduleDir, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      if (typeof error.code === "number") error.message = `go ${args[0]}: ${stderr.trim()}`;
      reject(error);
    });
  });
}

async function sourceHash(): Promise<string> {
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

// The test runner starts the build before anything else.
if (import.meta.main) console.log(JSON.stringify(await buildLab()));
