/**
 * The state file: identity and preferences of the node, in Tailscale's own format, so that a node can move between
 * the two programs in place.
 *
 * A JSON object of keys to base64 bytes, mode 0600. A write makes a new file beside it, flushes it, renames it over the
 * old one and flushes the directory: after a crash there is the old state or the new one. A file that cannot be read as
 * such is never written over, because it may hold the only copy of the node's identity.
 *
 * Source: ipn/store/stores.go (FileStore), ipn/store.go. Tailscale takes an empty file for a missing one; we do not,
 * since an empty file is what a full disk leaves of an identity.
 */
import { dirname } from "node:path";
import { equalBytes, fromBase64, toBase64 } from "../base/bytes.ts";
import { reasonOf } from "../base/reason.ts";

/** Keys to bytes. */
export interface StateStore {
  /** True when nothing outlives the process. */
  readonly ephemeral: boolean;
  read(key: string): Uint8Array | undefined;
  /** Sets, or with undefined deletes. @throws StateFileError when it could not be stored; the old state then stands. */
  write(key: string, value: Uint8Array | undefined): void;
}

/** The state cannot be used as it is; the message says what to do. */
export class StateFileError extends Error {
  override readonly name = "StateFileError";
}

/** The state in a file's text. @param path for messages. @throws StateFileError */
export function parseState(path: string, text: string): Map<string, Uint8Array> {
  const bad = (seen: string) =>
    new StateFileError(
      `Cannot use state file ${path}: ${seen}, want a JSON object of keys to base64; it was left as it is, ` +
        `move it away to start as a new node`,
    );
  if (text.trim() === "") throw bad("it is empty");
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw bad("it is not JSON");
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw bad("it is not an object");
  const state = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(parsed)) {
    // Go writes a nil slice as null.
    const bytes = value === null ? new Uint8Array(0) : typeof value === "string" ? fromBase64(value) : undefined;
    if (bytes === undefined) throw bad(`the value of ${JSON.stringify(key)} is not base64`);
    state.set(key, bytes);
  }
  return state;
}

/** The text Go's `json.MarshalIndent` writes for the same state: keys sorted, two blanks. */
export function formatState(state: ReadonlyMap<string, Uint8Array>): string {
  const sorted = [...state.entries()].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return JSON.stringify(Object.fromEntries(sorted.map(([key, value]) => [key, toBase64(value)])), undefined, 2);
}

/** State on disk. One process at a time holds it: a lock file beside it is locked until `close`. */
export class StateFile implements StateStore {
  readonly ephemeral = false;
  readonly path: string;
  readonly #lock: Deno.FsFile;
  #state: Map<string, Uint8Array>;

  private constructor(path: string, lock: Deno.FsFile, state: Map<string, Uint8Array>) {
    this.path = path;
    this.#lock = lock;
    this.#state = state;
  }

  /**
   * Reads the file, or makes an empty one where there is none, so that a place that cannot be written is known at once.
   * @throws StateFileError
   */
  static open(path: string): StateFile {
    const real = resolveTarget(path);
    const lock = takeLock(path, real);
    try {
      forgetUnfinished(real);
      const text = readIfThere(path, real);
      const state = text === undefined ? new Map<string, Uint8Array>() : parseState(path, text);
      const file = new StateFile(real, lock, state);
      if (text === undefined) file.#store(state);
      else assertWritable(path, real);
      return file;
    } catch (cause) {
      lock.close();
      throw cause;
    }
  }

  read(key: string): Uint8Array | undefined {
    return this.#state.get(key)?.slice();
  }

  write(key: string, value: Uint8Array | undefined): void {
    const old = this.#state.get(key);
    if (value === undefined ? old === undefined : old !== undefined && equalBytes(old, value)) return;
    const next = new Map(this.#state);
    if (value === undefined) next.delete(key);
    else next.set(key, value.slice());
    this.#store(next);
    this.#state = next;
  }

  /** All that is stored. */
  all(): ReadonlyMap<string, Uint8Array> {
    return this.#state;
  }

  /** Puts another state in the place of all that is stored, at once. @throws StateFileError; the old state then stands. */
  replace(state: ReadonlyMap<string, Uint8Array>): void {
    this.#store(state);
    this.#state = new Map(state);
  }

  close(): void {
    this.#lock.close();
  }

  #store(state: ReadonlyMap<string, Uint8Array>): void {
    storeState(this.path, state);
  }
}

/** Who a file is given to. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Writes a state over the file, or where none is, mode 0600. @throws StateFileError; the old file then stands. */
export function storeState(path: string, state: ReadonlyMap<string, Uint8Array>, owner?: Owner): void {
  const temporary = `${path}.tmp${Deno.pid}`;
  let made = false;
  try {
    const file = Deno.openSync(temporary, { write: true, create: true, truncate: true, mode: 0o600 });
    made = true;
    try {
      // A leftover of a crashed process could have had another mode.
      Deno.chmodSync(temporary, 0o600);
      if (owner !== undefined) Deno.chownSync(temporary, owner.uid, owner.gid);
      const bytes = new TextEncoder().encode(formatState(state));
      for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
      file.syncSync();
    } finally {
      file.close();
    }
    Deno.renameSync(temporary, path);
    const directory = Deno.openSync(dirname(path), { read: true });
    try {
      directory.syncSync();
    } finally {
      directory.close();
    }
  } catch (cause) {
    if (made) removeQuietly(temporary);
    throw new StateFileError(`Cannot write state file ${path}: ${reasonOf(cause)}; free space or fix permissions`, {
      cause,
    });
  }
}

/** State that dies with the process (`--state=mem:`). */
export class MemoryState implements StateStore {
  readonly ephemeral = true;
  readonly #state = new Map<string, Uint8Array>();

  read(key: string): Uint8Array | undefined {
    return this.#state.get(key)?.slice();
  }

  write(key: string, value: Uint8Array | undefined): void {
    if (value === undefined) this.#state.delete(key);
    else this.#state.set(key, value.slice());
  }
}

/** Removes what processes that were killed while they wrote left beside the file. The lock says that none is writing. */
function forgetUnfinished(path: string): void {
  const [directory, name] = [dirname(path), path.slice(path.lastIndexOf("/") + 1)];
  try {
    for (const entry of Deno.readDirSync(directory)) {
      const rest = entry.name.startsWith(`${name}.tmp`) ? entry.name.slice(name.length + 4) : "";
      if (/^[0-9]+$/.test(rest)) removeQuietly(`${directory}/${entry.name}`);
    }
  } catch {
    // A directory that cannot be listed holds a file that can be used all the same.
  }
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // It was renamed already, or its disk is gone; the error being reported says more.
  }
}

/** The file a symbolic link leads to, so that renaming replaces the file and not the link. */
function resolveTarget(path: string): string {
  try {
    Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const info = Deno.lstatSync(path);
    if (info.isSymlink) return Deno.realPathSync(path);
    if (!info.isFile) throw new StateFileError(`Cannot use state file ${path}: it is not a regular file`);
    return path;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return path;
    if (cause instanceof StateFileError) throw cause;
    throw new StateFileError(`Cannot use state file ${path}: ${reasonOf(cause)}`, { cause });
  }
}

function takeLock(path: string, real: string): Deno.FsFile {
  try {
    const lock = Deno.openSync(`${real}.lock`, { write: true, create: true, mode: 0o600 });
    if (lock.tryLockSync(true)) return lock;
    lock.close();
  } catch (cause) {
    throw new StateFileError(`Cannot use state file ${path}: its directory is not writable (${reasonOf(cause)})`, {
      cause,
    });
  }
  throw new StateFileError(
    `Cannot use state file ${path}: another daemon is using it; stop that one or give --state another path`,
  );
}

function readIfThere(path: string, real: string): string | undefined {
  try {
    return Deno.readTextFileSync(real);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new StateFileError(`Cannot read state file ${path}: ${reasonOf(cause)}`, { cause });
  }
}

/** Root may write a read-only file; that the operator made it so counts all the same. */
function assertWritable(path: string, real: string): void {
  const mode = Deno.statSync(real).mode ?? 0o600;
  const seen = (mode & 0o222) === 0 ? "it is read-only" : probeWrite(real);
  if (seen === undefined) return;
  throw new StateFileError(
    `Cannot use state file ${path}: ${seen}, want it writable so that keys and preferences are kept; chmod 600 it`,
  );
}

function probeWrite(real: string): string | undefined {
  try {
    Deno.openSync(real, { write: true }).close();
    return undefined;
  } catch (cause) {
    return reasonOf(cause);
  }
}
