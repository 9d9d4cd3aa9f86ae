/**
 * resolv.conf written by ourselves, where nobody else manages it.
 *
 * ```
 *   theirs ──set──▶ theirs kept beside it, ours written ──close, next start, --cleanup──▶ theirs
 *                                    │
 *                                    └─ another program writes ─▶ that is theirs now: kept, ours written again
 *                                                                 within a minute of the last time: left, and told
 * ```
 * A file is replaced by renaming, so that no reader finds half of one; where it is mounted by itself that cannot be, and
 * it is written in place. A symbolic link is kept as a link. Source: net/dns/direct.go.
 */
import type { Scheduler, Timer } from "../../../base/clock.ts";
import type { SystemDns } from "../plan.ts";
import { isNothing } from "./configurator.ts";
import type { DnsConfigurator } from "./configurator.ts";
import type { ChosenMode } from "./mode.ts";
import { formatResolvConf, ownerOf, parseResolvConf } from "./resolv_conf.ts";
import type { ResolvConf } from "./resolv_conf.ts";

/** Where the files are, and what ours are marked with. */
export interface DirectFiles {
  /** "/etc". */
  readonly etc: string;
  /** "agent", or "agent-NAME". */
  readonly owner: string;
}

/** What the way needs besides. */
export interface DirectOptions extends DirectFiles {
  readonly chosen: ChosenMode;
  readonly scheduler: Scheduler;
  /** Another program keeps writing the file, "" when all is well again. */
  readonly notIdeal: (text: string) => void;
  /** The file was another's, and is ours again: what to send on to may have changed. */
  readonly baseChanged: () => void;
}

const WATCH_MS = 5_000;
const PEACE_MS = 60_000;

function pathsOf({ etc, owner }: DirectFiles): { readonly file: string; readonly backup: string } {
  return { file: `${etc}/resolv.conf`, backup: `${etc}/resolv.pre-${owner}-backup.conf` };
}

function read(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw cause;
  }
}

/** There is an entry, be it a link that leads nowhere. */
function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Moves an entry; over a mounted file, its content. */
function move(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (cause) {
    // EBUSY, EXDEV: one of the two is mounted by itself.
    const text = read(from);
    if (text === undefined) throw cause;
    Deno.writeTextFileSync(to, text);
    try {
      Deno.removeSync(from);
    } catch {
      // A mounted file stays where it is, and is written over.
    }
  }
}

function write(path: string, text: string, owner: string): void {
  const fresh = `${path}.${owner}-tmp`;
  Deno.writeTextFileSync(fresh, text, { mode: 0o644 });
  Deno.chmodSync(fresh, 0o644);
  move(fresh, path);
}

/**
 * Puts back what an earlier run took away, if it did. Also for `--cleanup`.
 * @returns what was done, or undefined when there was nothing to do. @throws Error
 */
export function putBack(files: DirectFiles): string | undefined {
  const { file, backup } = pathsOf(files);
  const present = read(file);
  const ours = present !== undefined && ownerOf(present) === files.owner;
  if (!exists(backup)) {
    if (!ours) return undefined;
    // There was none before us, or somebody removed it: an empty file asks the machine itself.
    try {
      Deno.removeSync(file);
    } catch {
      Deno.writeTextFileSync(file, "");
    }
    return `removed our ${file}; there was none before`;
  }
  if (ours || present === undefined) {
    move(backup, file);
    return `put back ${file}`;
  }
  Deno.removeSync(backup);
  return `${file} is another program's by now and stays; removed our copy of an older one`;
}

/** The way. What an earlier run left is put back first. @throws Error */
export function directConfigurator(options: DirectOptions): DnsConfigurator {
  const { chosen, owner, scheduler, notIdeal, baseChanged } = options;
  const { file, backup } = pathsOf(options);
  putBack(options);
  let written: string | undefined;
  let wanted: SystemDns | undefined;
  let writtenAt = -Infinity;
  let timer: Timer | undefined;

  const apply = (config: SystemDns) => {
    const text = formatResolvConf(config, owner, backup);
    const present = read(file);
    if (present === text) return void (written = text);
    if ((present === undefined || ownerOf(present) !== owner) && exists(file)) move(file, backup);
    write(file, text, owner);
    written = text;
    writtenAt = scheduler.monotonic();
  };

  const watch = () => {
    timer = scheduler.after(WATCH_MS, watch);
    if (wanted === undefined) return;
    try {
      const present = read(file);
      const trampledNow = present !== written && (present === undefined || ownerOf(present) !== owner);
      if (!trampledNow) return notIdeal("");
      if (scheduler.monotonic() - writtenAt < PEACE_MS) {
        return notIdeal(`another program keeps writing ${file}, and it stays as that wrote it for now`);
      }
      apply(wanted);
      baseChanged();
    } catch (cause) {
      notIdeal(cause instanceof Error ? cause.message : String(cause));
    }
  };

  const restore = () => {
    wanted = undefined;
    written = undefined;
    timer?.cancel();
    timer = undefined;
    putBack(options);
    notIdeal("");
  };

  return {
    chosen,
    splits: false,
    base(): Promise<ResolvConf> {
      const present = read(file);
      const before = present !== undefined && ownerOf(present) === owner ? read(backup) : present;
      return Promise.resolve(parseResolvConf(before ?? ""));
    },
    set(config: SystemDns): Promise<void> {
      if (isNothing(config)) restore();
      else {
        wanted = config;
        apply(config);
        timer ??= scheduler.after(WATCH_MS, watch);
      }
      return Promise.resolve();
    },
    close(): Promise<void> {
      restore();
      return Promise.resolve();
    },
  };
}
