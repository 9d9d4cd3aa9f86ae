/**
 * How near the daemon is to the memory it may use. At the limit of its cgroup (`MemoryMax=` of the unit), or of one that
 * holds this one and others (a slice, a container), the kernel ends it without a word; so the word comes before, in log
 * and health.
 *
 * ```
 *   every second ─▶ each cgroup from ours up:   limit of it - use of it, by all that is in it  = room
 *                   the least room of all:      own use / (own use + room)  > 85% ─▶ warn, until it is 75% or less
 * ```
 * A limit counts with the use of its own cgroup: what others in a slice have taken is not there for us, and what is left
 * there says nothing of how much of it we use. What counts as used is what the kernel cannot take back: files that nobody
 * uses now are given up first. Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst (memory.max and memory.current
 * hold for a cgroup and its descendants, memory.stat), cgroup-v1/memory.rst.
 */
import type { Scheduler, Timer } from "../base/clock.ts";

/** Bytes. */
export interface MemoryUse {
  /** What this daemon's own cgroup uses. */
  readonly own: number;
  /** How much more it may use, by the limit that is nearest. */
  readonly room: number;
  /** That limit, and the cgroup that has it: "" for our own, else its path, "/" for the outermost that is seen. */
  readonly limit: number;
  readonly above: string;
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

/** What is used, and how much more may be; undefined where there is no limit. */
export function memoryUse(read: ReadFile): MemoryUse | undefined {
  const group = groupOf(read("/proc/self/cgroup") ?? "");
  if (group === undefined) return undefined;
  const { root, limit, used, idle } = group.files;
  let own: number | undefined;
  let nearest: Omit<MemoryUse, "own"> | undefined;
  for (let path = group.path;; path = path.slice(0, path.lastIndexOf("/"))) {
    const folder = `${root}${path}`;
    const most = count(read(`${folder}/${limit}`)?.trim());
    const now = count(read(`${folder}/${used}`)?.trim());
    if (now !== undefined) {
      const stat = new RegExp(`^${idle} (\\d+)$`, "m").exec(read(`${folder}/memory.stat`) ?? "");
      const use = Math.max(0, now - Number(stat?.[1] ?? 0));
      // Memory is not counted for each cgroup everywhere; then the first that is counted is taken for ours.
      const first = own === undefined;
      own ??= use;
      const room = most === undefined ? Infinity : Math.max(0, most - use);
      if (most !== undefined && room < (nearest?.room ?? Infinity)) {
        // In a container the path may be the host's, and the outermost that is seen is the container's.
        const ours = path === group.path || (first && path === "");
        nearest = { room, limit: most, above: ours ? "" : path || "/" };
      }
    }
    if (path === "") return nearest && { own: own!, ...nearest };
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
    const share = use === undefined ? 0 : use.own / Math.max(1, use.own + use.room);
    const bad = warned ? share > WELL_AT : share > WARN_AT;
    if (bad === warned) return;
    warned = bad;
    tell(bad && use !== undefined ? problemOf(use) : "");
  };
  look();
  return () => timer.cancel();
}

function problemOf({ own, room, limit, above }: MemoryUse): string {
  const mib = (bytes: number) => Math.round(bytes / MIB);
  const need = "A tailnet of 10,000 nodes needs 512 MiB.";
  if (above === "") {
    return `${mib(own)} of the ${
      mib(limit)
    } MiB that this daemon may use are in use, and at the limit the kernel ends ` +
      `it: raise MemoryMax= of the unit, or the container's limit. ${need}`;
  }
  return `only ${mib(room)} of the ${mib(limit)} MiB are left that all in the cgroup ${above} may use together, this ` +
    `daemon with ${mib(own)} MiB among them, and at the limit the kernel ends one of them: raise its limit ` +
    `(MemoryMax= of a slice), or find what else uses it. ${need}`;
}
