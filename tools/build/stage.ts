/**
 * A copy of the sources to build from, with version, commit and date burnt in.
 *
 * Everything a build reads lies in this copy, npm packages too, so that no path of the builder's machine gets into what
 * is built.
 */
import { VERSION } from "../../base/version.ts";

/** The folders of the program's own code. */
export const FOLDERS = ["base", "cli", "control", "daemon", "derp", "engine", "ffi", "tka"];
const FILES = ["main.ts", "deno.lock"];
/** What makes the kernels, and is no part of the program. */
const COMPILER = "assemblyscript";

/** What a build is of. */
export interface Revision {
  readonly version: string;
  /** 40 hex digits, `-dirty` behind them where files were changed since; "" outside a checkout. */
  readonly commit: string;
  /** Unix seconds of the commit: the date of every file made. 0 outside a checkout. */
  readonly date: number;
}

async function git(root: string, ...args: string[]): Promise<string | undefined> {
  try {
    const { code, stdout } = await new Deno.Command("git", { args: ["-C", root, ...args], stderr: "null" }).output();
    return code === 0 ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch {
    return undefined;
  }
}

/** What the checkout at `root` is of. */
export async function revisionOf(root: string): Promise<Revision> {
  const shown = await git(root, "show", "-s", "--format=%H %ct", "HEAD");
  if (shown === undefined) return { version: VERSION, commit: "", date: 0 };
  const [commit, seconds] = shown.split(" ");
  const changed = await git(root, "status", "--porcelain", "--untracked-files=no") !== "";
  return { version: VERSION, commit: changed ? `${commit}-dirty` : commit, date: Number(seconds) };
}

/** `2026-01-31T12:00:00Z`, or "" for no date. */
export function dateText({ date }: Revision): string {
  return date === 0 ? "" : new Date(date * 1000).toISOString().replace(".000", "");
}

async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyTree(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

/** The text with the one value of a constant replaced. @throws Error when it is not there once. */
function burn(text: string, constant: string, value: string): string {
  const parts = text.split(`export const ${constant}: string = "";`);
  if (parts.length !== 2) throw new Error(`Cannot burn ${constant} into base/version.ts: its line is not as expected`);
  return parts.join(`export const ${constant}: string = ${JSON.stringify(value)};`);
}

/** Makes the copy of the sources at `root` in the directory `stage`. */
export async function stageSources(root: string, stage: string, revision: Revision): Promise<void> {
  for (const folder of FOLDERS) await copyTree(`${root}/${folder}`, `${stage}/${folder}`);
  for (const file of FILES) await Deno.copyFile(`${root}/${file}`, `${stage}/${file}`);
  const config = JSON.parse(await Deno.readTextFile(`${root}/deno.json`));
  // npm packages beside the sources: else the bundle's names depend on where the cache is.
  const { imports: { [COMPILER]: _compiler, ...imports }, compilerOptions } = config;
  await Deno.writeTextFile(
    `${stage}/deno.json`,
    // The lock's hashes still hold; that a package is gone from the imports is no reason to refuse it.
    JSON.stringify({ imports, lock: { path: "./deno.lock", frozen: false }, compilerOptions, nodeModulesDir: "auto" }),
  );
  const path = `${stage}/base/version.ts`;
  const burnt = burn(burn(await Deno.readTextFile(path), "COMMIT", revision.commit), "COMMIT_DATE", dateText(revision));
  await Deno.writeTextFile(path, burnt);
}
