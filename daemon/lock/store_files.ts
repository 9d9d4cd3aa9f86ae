/** Reading and writing the files of the lock's store; what fails names the file. */

/** A file of the store that cannot be believed, or cannot be written; the message names it. */
export class LockStoreError extends Error {
  override readonly name = "LockStoreError";
}

export function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** Runs what writes a file, in a directory that is there. @throws LockStoreError naming the file. */
export function writable(path: string, write: () => void): void {
  try {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o755 });
    write();
  } catch (cause) {
    throw new LockStoreError(`Cannot write ${path}: ${reason(cause)}; free space or fix permissions`, { cause });
  }
}

/** @param flush returns only once the bytes are on disk. */
export function put(path: string, bytes: Uint8Array, flush: boolean, options: Deno.OpenOptions): void {
  const file = Deno.openSync(path, { write: true, mode: 0o644, ...options });
  try {
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    if (flush) file.syncDataSync();
  } finally {
    file.close();
  }
}

export function readWhole(path: string): Uint8Array<ArrayBuffer> {
  try {
    return Deno.readFileSync(path);
  } catch (cause) {
    throw damaged(path, reason(cause));
  }
}

export function remove(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return;
    throw new LockStoreError(`Cannot remove ${path}: ${reason(cause)}; fix permissions`, { cause });
  }
}

export function entriesOf(directory: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(directory)];
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return [];
    throw damaged(directory, reason(cause));
  }
}

export function damaged(path: string, seen: string): LockStoreError {
  return new LockStoreError(`Cannot believe ${path}: ${seen}`);
}
