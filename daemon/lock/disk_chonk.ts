/**
 * AUMs on disk, in Tailscale's own layout, so that a state directory moves between the two programs.
 *
 *   <dir>/<first 2 characters>/<hash>   CBOR {2: AUM, 3: Unix seconds of the commit, 4: Unix seconds of the purge}
 *   <dir>/last_active_ancestor          32 bytes
 *
 * The directory is read once, when it is opened, into an index in memory; from then on it is only written. Each file is
 * renamed into its place and flushed before. The disk is not trusted (L14): a file whose content is not the AUM of its
 * name is named and nothing of the store is believed. Files with other names are passed over, as upstream does.
 *
 * Purging deletes the file, where upstream leaves a tombstone for ever; tombstones of upstream are read as gone.
 * One process at a time writes. Source: tka.FS (tka/tailchonk.go).
 */
import { Aum, readAum } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { aumHashBytes, aumHashOf, parseAumHash } from "../../tka/aum_hash.ts";
import { CborWriter } from "../../tka/cbor.ts";
import { readCbor } from "../../tka/cbor_reader.ts";
import type { CompactableChonk } from "../../tka/chonk.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import { concat } from "../../base/bytes.ts";

const ANCESTOR = "last_active_ancestor";
const FIELDS = [2, 3, 4];

/** A file of the store that cannot be believed, or cannot be written; the message names it. */
export class LockStoreError extends Error {
  override readonly name = "LockStoreError";
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

interface Entry {
  readonly aum: Aum | undefined;
  readonly createdUnix: number;
  readonly purged: boolean;
}

function decodeEntry(bytes: Uint8Array): Entry {
  return readCbor(bytes, (reader) => {
    let aum: Aum | undefined;
    let created = 0n;
    let purged = 0n;
    reader.struct(FIELDS, (field) => {
      if (field === 3) created = reader.uint64() ?? 0n;
      else if (field === 4) purged = reader.uint64() ?? 0n;
      else if (!reader.isNil()) aum = readAum(reader);
    });
    return { aum, createdUnix: Number(created), purged: purged > 0n };
  });
}

/** The record without the AUM's own encoding, which is put behind the key of field 2 as it is. */
function encodeEntry(aum: Aum, createdUnix: number): Uint8Array<ArrayBuffer> {
  const head = new CborWriter().map(createdUnix === 0 ? 1 : 2).field(2).finish();
  const tail = createdUnix === 0 ? new Uint8Array(0) : new CborWriter().field(3).uint(createdUnix).finish();
  return concat(head, aum.bytes, tail);
}

/** A store in one directory, which comes to be with the first commit. */
export class DiskChonk implements CompactableChonk {
  readonly directory: string;
  readonly #index = new MemChonk();

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Reads the directory; one that is not there is an empty store. @throws LockStoreError naming a damaged file. */
  static open(directory: string): DiskChonk {
    const store = new DiskChonk(directory);
    for (const prefix of entriesOf(directory)) {
      if (prefix.isDirectory) store.#readPrefix(prefix.name);
    }
    const ancestor = store.#readAncestor();
    if (ancestor !== undefined) store.#index.setLastActiveAncestor(ancestor);
    return store;
  }

  /** Removes a store, whether or not it can be read. @throws LockStoreError */
  static erase(directory: string): void {
    remove(directory);
  }

  #readPrefix(prefix: string): void {
    for (const file of entriesOf(`${this.directory}/${prefix}`)) {
      const hash = parseAumHash(file.name);
      // What was being written when the machine stopped, or what the system put there.
      if (hash === undefined || hash !== file.name) continue;
      const path = `${this.directory}/${prefix}/${file.name}`;
      const entry = this.#readEntry(path);
      if (entry.purged || entry.aum === undefined) continue;
      if (entry.aum.hash !== hash || prefix !== hash.slice(0, 2)) {
        throw damaged(path, `it holds AUM ${entry.aum.hash}`);
      }
      const created = entry.createdUnix > 0 ? entry.createdUnix * 1000 : Deno.statSync(path).mtime?.getTime() ?? 0;
      this.#index.commit([entry.aum], created);
    }
  }

  #readEntry(path: string): Entry {
    try {
      return decodeEntry(Deno.readFileSync(path));
    } catch (cause) {
      throw damaged(path, reason(cause));
    }
  }

  #readAncestor(): AumHash | undefined {
    const path = `${this.directory}/${ANCESTOR}`;
    let bytes: Uint8Array;
    try {
      bytes = Deno.readFileSync(path);
    } catch (cause) {
      if (cause instanceof Deno.errors.NotFound) return undefined;
      throw damaged(path, reason(cause));
    }
    if (bytes.length !== 32) throw damaged(path, `it has ${bytes.length} bytes, want 32`);
    return aumHashOf(bytes);
  }

  aum(hash: AumHash): Aum | undefined {
    return this.#index.aum(hash);
  }

  children(hash: AumHash): readonly Aum[] {
    return this.#index.children(hash);
  }

  heads(): readonly Aum[] {
    return this.#index.heads();
  }

  /** Parents are on disk before their children, so that a crash in between leaves a chain. @throws LockStoreError */
  commit(aums: readonly Aum[], now: number): void {
    for (const aum of aums) {
      if (this.#index.aum(aum.hash) !== undefined) continue;
      const { hash } = aum;
      this.#write(`${hash.slice(0, 2)}/${hash}`, encodeEntry(aum, Math.max(0, Math.floor(now / 1000))));
      this.#index.commit([aum], now);
    }
  }

  lastActiveAncestor(): AumHash | undefined {
    return this.#index.lastActiveAncestor();
  }

  /** @throws LockStoreError */
  setLastActiveAncestor(hash: AumHash): void {
    if (hash === this.#index.lastActiveAncestor()) return;
    this.#write(ANCESTOR, aumHashBytes(hash));
    this.#index.setLastActiveAncestor(hash);
  }

  all(): readonly AumHash[] {
    return this.#index.all();
  }

  commitTime(hash: AumHash): number | undefined {
    return this.#index.commitTime(hash);
  }

  /** @throws LockStoreError */
  purge(hashes: readonly AumHash[], now: number): void {
    for (const hash of hashes) {
      if (this.#index.aum(hash) === undefined) continue;
      remove(`${this.directory}/${hash.slice(0, 2)}/${hash}`);
      this.#index.purge([hash], now);
    }
  }

  /** @throws LockStoreError */
  removeAll(): void {
    remove(this.directory);
    this.#index.removeAll();
  }

  #write(name: string, bytes: Uint8Array): void {
    const path = `${this.directory}/${name}`;
    const temporary = `${path}.tmp${Deno.pid}`;
    try {
      Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o755 });
      const file = Deno.openSync(temporary, { write: true, create: true, truncate: true, mode: 0o644 });
      try {
        for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
        file.syncDataSync();
      } finally {
        file.close();
      }
      Deno.renameSync(temporary, path);
    } catch (cause) {
      throw new LockStoreError(`Cannot write ${path}: ${reason(cause)}; free space or fix permissions`, { cause });
    }
  }
}

function remove(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return;
    throw new LockStoreError(`Cannot remove ${path}: ${reason(cause)}; fix permissions`, { cause });
  }
}

function entriesOf(directory: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(directory)];
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return [];
    throw damaged(directory, reason(cause));
  }
}

function damaged(path: string, seen: string): LockStoreError {
  return new LockStoreError(`Cannot believe ${path}: ${seen}`);
}
