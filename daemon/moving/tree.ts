/** Directories of small files, copied and moved so that a crash leaves the old one or the new one. */
import { dirname } from "node:path";
import type { Owner } from "../state_file.ts";

/** Something is there. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return false;
    throw cause;
  }
}

/** Whose a file is. */
export function ownerOf(path: string): Owner {
  const { uid, gid } = Deno.statSync(path);
  return { uid: uid ?? 0, gid: gid ?? 0 };
}

/** What is written to a directory is on disk. */
export function flushDirectory(path: string): void {
  using directory = Deno.openSync(path, { read: true });
  directory.syncSync();
}

/**
 * Copies a directory with its modes and times, all of it on disk; links and what is no file are left out.
 * @param to must not be there. @param leave names at the top that are left out.
 */
export function copyTree(from: string, to: string, owner: Owner, leave: ReadonlySet<string> = new Set()): void {
  const { mode } = Deno.statSync(from);
  Deno.mkdirSync(to, { recursive: true, mode: (mode ?? 0o700) & 0o777 });
  Deno.chownSync(to, owner.uid, owner.gid);
  for (const entry of Deno.readDirSync(from)) {
    if (leave.has(entry.name)) continue;
    const [source, target] = [`${from}/${entry.name}`, `${to}/${entry.name}`];
    if (entry.isDirectory) copyTree(source, target, owner);
    else if (entry.isFile) copyFile(source, target, owner);
  }
  flushDirectory(to);
}

/** One file, as `copyTree` does. */
export function copyFile(from: string, to: string, owner: Owner): void {
  const { mode, mtime } = Deno.statSync(from);
  {
    using file = Deno.openSync(to, { write: true, create: true, truncate: true, mode: 0o600 });
    const bytes = Deno.readFileSync(from);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    file.syncSync();
  }
  Deno.chownSync(to, owner.uid, owner.gid);
  Deno.chmodSync(to, (mode ?? 0o600) & 0o777);
  // Of an AUM that has no time of its own the file's counts (tka.FS).
  if (mtime !== null) Deno.utimeSync(to, mtime, mtime);
}

/** Puts a copy of `from` where `to` is, and what was there at `aside`. Nothing at `from`: nothing at `to` either. */
export function replaceTree(from: string, to: string, aside: string, owner: Owner, leave?: ReadonlySet<string>): void {
  const fresh = `${to}.new`;
  if (exists(fresh)) Deno.removeSync(fresh, { recursive: true });
  const there = exists(from);
  if (there) {
    Deno.mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
    copyTree(from, fresh, owner, leave);
  }
  if (exists(to)) {
    Deno.mkdirSync(dirname(aside), { recursive: true, mode: 0o700 });
    Deno.renameSync(to, aside);
  }
  if (there) Deno.renameSync(fresh, to);
  if (there) flushDirectory(dirname(to));
}
