/**
 * How near the daemon is to the memory it may use. At the limit of its cgroup (`MemoryMax=` of the unit) the kernel ends
 * it without a word; so the word comes before, in log and health.
 *
 * ```
 *   every second ─▶ cgroup, and those above it: least room ─▶ 15% or less? ─▶ warn, until there is a quarter again
 * ```
 * What counts is what the kernel cannot take back: files that nobody uses now are given up first. Source: cgroups(7),
 * Documentation/admin-guide/cgroup-v2.rst (memory.current, memory.stat), cgroup-v1/memory.rst.
 */
import type { Scheduler, Timer } from "../base/clock.ts";

/** Bytes in use, and the limit that is the nearest of those that hold. */
export interface MemoryUse {
  readonly used: number;
  readonly limit: number;
}

/** Reads a file; undefined where there is none. */
export type ReadFile = (path: string) => string | undefined;

const LOOK_MS = 1_000;
const WARN_AT = 0.85;
const WELL_AT = 0.75;
const MIB = 1 << 20;

/** The files of one kind of cgroup. */
interface Files {
  readonly root: string;
  readonly limit: string;
  readonly used: string;
  /** Name in memory.stat of what is given up first. */
  readonly idle: string;
}

const V1: Files = {
  root: "/sys/fs/cgroup/memory",
  limit: "memory.limit_in_bytes",
  used: "memory.usage_in_bytes",
  idle: "total_inactive_file",
};
const V2: Files = { root: "/sys/fs/cgroup", limit: "memory.max", used: "memory.current", idle: "inactive_file" };

/** The cgroup that holds the process's memory. @param lines of /proc/self/cgroup */
function groupOf(lines: string): { readonly files: Files; readonly path: string } | undefined {
  const groups = lines.trim().split("\n").map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
  const v1 = groups.find((group) => group?.[1].split(",").includes("memory"));
  const v2 = groups.find((group) => group?.[1] === "");
  const found = v1 ?? v2;
  return found ? { files: v1 ? V1 : V2, path: found[2].replace(/\/$/, "") } : undefined;
}

function count(text: string | undefined): number | undefined {
  const number = Number(text);
  // "max", and version 1's largest number, are no limits.
  return text !== undefined && number > 0 && number < 2 ** 52 ? number : undefined;
}

/** What is used of the nearest limit; undefined where there is none. */
export function memoryUse(read: ReadFile): MemoryUse | undefined {
  const group = groupOf(read("/proc/self/cgroup") ?? "");
  if (group === undefined) return undefined;
  const { root, limit, used, idle } = group.files;
  let nearest: MemoryUse | undefined;
  for (let path = group.path;; path = path.slice(0, path.lastIndexOf("/"))) {
    const folder = `${root}${path}`;
    const most = count(read(`${folder}/${limit}`)?.trim());
    const now = count(read(`${folder}/${used}`)?.trim());
    if (most !== undefined && now !== undefined) {
      const stat = new RegExp(`^${idle} (\\d+)$`, "m").exec(read(`${folder}/memory.stat`) ?? "");
      const use = { used: Math.max(0, now - Number(stat?.[1] ?? 0)), limit: most };
      if (nearest === undefined || use.limit - use.used < nearest.limit - nearest.used) nearest = use;
    }
    if (path === "") return nearest;
  }
}

/** Looks every second: a netmap comes within two. @param tell the problem, or "" when it is well again @returns the end of it */
export function watchMemory(
  read: ReadFile,
  scheduler: Scheduler,
  tell: (problem: string) => void,
): () => void {
  let warned = false;
  let timer: Timer;
  const look = () => {
    timer = scheduler.after(LOOK_MS, look);
    const use = memoryUse(read);
    const share = use === undefined ? 0 : use.used / use.limit;
    const bad = warned ? share > WELL_AT : share > WARN_AT;
    if (bad === warned) return;
    warned = bad;
    const [used, limit] = [use?.used ?? 0, use?.limit ?? 0].map((bytes) => Math.round(bytes / MIB));
    tell(
      bad
        ? `${used} of the ${limit} MiB that this daemon may use are in use, and at the limit the kernel ends it: ` +
          "raise MemoryMax= of the unit, or the container's limit. A tailnet of 10,000 nodes needs 512 MiB."
        : "",
    );
  };
  look();
  return () => timer.cancel();
}
