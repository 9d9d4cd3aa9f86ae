/**
 * Who runs on a state directory of tailscaled. Tailscale takes no lock on it, so the processes of this machine are looked
 * at, in `/proc`:
 *
 *   a file below the directory is open      whatever the program is called: its log buffers always are (logtail/filch)
 *   it is called tailscaled, and its        also when it logs nowhere; `--statedir`, `--state`, or by default
 *   command line names the directory        /var/lib/tailscale (cmd/tailscaled/tailscaled.go statePathOrDefault)
 *
 * Files are compared by device and inode, so that a container's process is found by the files of this machine. Processes
 * that the caller may not look into are judged by their command line alone; those on other machines are not seen.
 */
import { dirname } from "node:path";
import { DEFAULTS } from "../flags.ts";

/** A process that runs on the directory. */
export interface Holder {
  readonly pid: number;
  /** Its name, as `ps` shows it. */
  readonly name: string;
}

/** The processes on a directory, this one left out. @param proc Where procfs is. */
export function holdersOf(directory: string, proc = "/proc"): Holder[] {
  const files = identitiesBelow(directory);
  const own = identityOf(directory);
  if (own === undefined) return [];
  return names(proc).filter((name) => /^[0-9]+$/.test(name) && Number(name) !== Deno.pid).flatMap((name) => {
    const at = `${proc}/${name}`;
    const holds = hasOpen(at, files) ||
      stateDirectoryOf(at).some((path) => identityOf(`${at}/root${path}`) === own || identityOf(path) === own);
    return holds ? [{ pid: Number(name), name: readText(`${at}/comm`).trim() || "?" }] : [];
  });
}

/** "tailscaled (process 123)", several with commas. */
export function namesOf(holders: readonly Holder[]): string {
  return holders.map(({ name, pid }) => `${name} (process ${pid})`).join(", ");
}

/** Undefined where a process has ended meanwhile, or is not ours to look into. A runtime that forbids looking is an error. */
function ifAllowed<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) throw cause;
    return undefined;
  }
}

function names(directory: string): string[] {
  return ifAllowed(() => [...Deno.readDirSync(directory)].map((entry) => entry.name)) ?? [];
}

function readText(path: string): string {
  return ifAllowed(() => Deno.readTextFileSync(path)) ?? "";
}

/** What a path leads to, wherever it is mounted; undefined when nothing is there. */
function identityOf(path: string): string | undefined {
  return ifAllowed(() => {
    const { dev, ino } = Deno.statSync(path);
    return `${dev}:${ino}`;
  });
}

function identitiesBelow(directory: string, found = new Set<string>()): ReadonlySet<string> {
  for (const entry of names(directory)) {
    const path = `${directory}/${entry}`;
    const info = ifAllowed(() => Deno.lstatSync(path));
    if (info === undefined) continue;
    found.add(`${info.dev}:${info.ino}`);
    if (info.isDirectory) identitiesBelow(path, found);
  }
  return found;
}

function hasOpen(process: string, files: ReadonlySet<string>): boolean {
  return names(`${process}/fd`).some((fd) => {
    const path = `${process}/fd/${fd}`;
    // Sockets and pipes have no path; looking at each would take longer than all else.
    if (!ifAllowed(() => Deno.readLinkSync(path))?.startsWith("/")) return false;
    const identity = identityOf(path);
    return identity !== undefined && files.has(identity);
  });
}

/** The state directory a tailscaled was told by its command line; none for other programs, and for `--state=mem:`. */
function stateDirectoryOf(process: string): string[] {
  const [program = "", ...args] = readText(`${process}/cmdline`).split("\0");
  if (program.split("/").at(-1) !== "tailscaled") return [];
  const flag = (name: string) => {
    for (const [i, arg] of args.entries()) {
      const match = new RegExp(`^--?${name}(?:=(.*))?$`, "s").exec(arg);
      if (match !== null) return match[1] ?? args[i + 1] ?? "";
    }
    return "";
  };
  const state = flag("state") || DEFAULTS.tailscaled.state;
  const path = flag("statedir") || (/^[a-z]+:/.test(state) ? "" : dirname(state));
  return path.startsWith("/") ? [path] : [];
}
