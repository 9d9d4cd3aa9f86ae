/**
 * AUMs on disk, in Tailscale's own layout, so that a state directory moves between the two programs.
 *
 *   <dir>/<first 2 characters>/<hash>   CBOR {2: AUM, 3: Unix seconds of the commit, 4: Unix seconds of the purge}
 *   <dir>/last_active_ancestor          32 bytes
 *   <dir>/recent                        ours: what was committed and purged lately (`commit_log.ts`)
 *
 * The directory is read once, when it is opened, into an index in memory; from then on it is only written. Each file is
 * renamed into its place and flushed before; of several AUMs at once only `recent` is flushed. The disk is not trusted
 * (L14): a file whose content is not the AUM of its name is named and nothing of the store is believed, unless it is what a
 * crash leaves of a file that `recent` still has. Files with other names are passed over, as upstream does.
 *
 * Purging deletes the file, where upstream leaves a tombstone for ever; tombstones of upstream are read as gone.
 * One process at a time writes. Source: tka.FS (tka/tailchonk.go).
 */
import { equalBytes } from "../../base/bytes.ts";
import type { Aum } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { aumHashBytes, aumHashOf, parseAumHash } from "../../tka/aum_hash.ts";
import type { CompactableChonk } from "../../tka/chonk.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import { decodeEntry, encodeEntry, isUnfinished, nameOf } from "./aum_file.ts";
import type { Entry } from "./aum_file.ts";
import { decodeRecords, encodeRecords } from "./commit_log.ts";
import { damaged, entriesOf, put, readWhole, reason, remove, writable } from "./store_files.ts";

const ANCESTOR = "last_active_ancestor";
const RECENT = "recent";
const A_DAY_MS = 24 * 3600_000;

/** What the log has, by hash. */
type Recent = Map<AumHash, { readonly bytes: Uint8Array; readonly entry: { aum: Aum; createdUnix: number } }>;

/** A store in one directory, which comes to be with the first commit. */
export class DiskChonk implements CompactableChonk {
  readonly directory: string;
  readonly #index = new MemChonk();
  /** There is a log. */
  #logged = false;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Reads the directory; one that is not there is an empty store. @throws LockStoreError naming a damaged file. */
  static open(directory: string): DiskChonk {
    const store = new DiskChonk(directory);
    const recent = store.#readRecent();
    for (const prefix of entriesOf(directory)) {
      if (prefix.isDirectory) store.#readPrefix(prefix.name, recent);
    }
    for (const [hash, { bytes, entry }] of recent) {
      store.#write(nameOf(hash), bytes, true);
      store.#index.commit([entry.aum], entry.createdUnix * 1000);
    }
    store.#forgetRecent();
    const ancestor = store.#readAncestor();
    if (ancestor !== undefined) store.#index.setLastActiveAncestor(ancestor);
    return store;
  }

  /** Removes a store, whether or not it can be read. @throws LockStoreError */
  static erase(directory: string): void {
    remove(directory);
  }

  /** @param recent what the log has; what is found whole is taken out of it. */
  #readPrefix(prefix: string, recent: Recent): void {
    for (const file of entriesOf(`${this.directory}/${prefix}`)) {
      const hash = parseAumHash(file.name);
      // What was being written when the machine stopped, or what the system put there.
      if (hash === undefined || hash !== file.name) continue;
      const path = `${this.directory}/${prefix}/${file.name}`;
      const bytes = readWhole(path);
      const logged = recent.get(hash);
      if (logged !== undefined && isUnfinished(bytes, logged.bytes)) continue;
      // What stands in both was decoded once.
      const same = logged !== undefined && equalBytes(bytes, logged.bytes);
      const entry = same ? { ...logged.entry, purged: false } : entryOf(path, bytes);
      recent.delete(hash);
      if (entry.purged || entry.aum === undefined) continue;
      if (entry.aum.hash !== hash || prefix !== hash.slice(0, 2)) {
        throw damaged(path, `it holds AUM ${entry.aum.hash}`);
      }
      const created = entry.createdUnix > 0 ? entry.createdUnix * 1000 : Deno.statSync(path).mtime?.getTime() ?? 0;
      this.#index.commit([entry.aum], created);
    }
  }

  #readRecent(): Recent {
    const recent: Recent = new Map();
    let bytes: Uint8Array;
    try {
      bytes = Deno.readFileSync(`${this.directory}/${RECENT}`);
    } catch (cause) {
      if (cause instanceof Deno.errors.NotFound) return recent;
      throw damaged(`${this.directory}/${RECENT}`, reason(cause));
    }
    this.#logged = true;
    for (const { entries, purged } of decodeRecords(bytes)) {
      for (const written of entries) {
        const { aum, createdUnix } = decodeEntry(written);
        if (aum !== undefined) recent.set(aum.hash, { bytes: written, entry: { aum, createdUnix } });
      }
      for (const hash of purged) recent.delete(hash);
    }
    return recent;
  }

  /** Once it is a day old, everything in the log has long reached its place. */
  #forgetRecent(): void {
    const path = `${this.directory}/${RECENT}`;
    if (!this.#logged || Date.now() - (Deno.statSync(path).mtime?.getTime() ?? 0) < A_DAY_MS) return;
    remove(path);
    this.#logged = false;
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
    const createdUnix = Math.max(0, Math.floor(now / 1000));
    const fresh = new Map<AumHash, { aum: Aum; bytes: Uint8Array }>();
    for (const aum of aums) {
      if (this.#index.aum(aum.hash) === undefined) fresh.set(aum.hash, { aum, bytes: encodeEntry(aum, createdUnix) });
    }
    const several = fresh.size > 1;
    if (several) this.#log([...fresh.values()].map(({ bytes }) => bytes), []);
    for (const [hash, { aum, bytes }] of fresh) {
      this.#write(nameOf(hash), bytes, !several);
      this.#index.commit([aum], now);
    }
  }

  lastActiveAncestor(): AumHash | undefined {
    return this.#index.lastActiveAncestor();
  }

  /** @throws LockStoreError */
  setLastActiveAncestor(hash: AumHash): void {
    if (hash === this.#index.lastActiveAncestor()) return;
    this.#write(ANCESTOR, aumHashBytes(hash), true);
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
    const known = hashes.filter((hash) => this.#index.aum(hash) !== undefined);
    if (this.#logged && known.length > 0) this.#log([], known);
    for (const hash of known) {
      remove(`${this.directory}/${nameOf(hash)}`);
      this.#index.purge([hash], now);
    }
  }

  /** @throws LockStoreError */
  removeAll(): void {
    remove(this.directory);
    this.#index.removeAll();
    this.#logged = false;
  }

  #write(name: string, bytes: Uint8Array, flush: boolean): void {
    const path = `${this.directory}/${name}`;
    const temporary = `${path}.tmp${Deno.pid}`;
    writable(path, () => {
      put(temporary, bytes, flush, { create: true, truncate: true });
      Deno.renameSync(temporary, path);
    });
  }

  /** Appends to the log, with one flush. */
  #log(entries: readonly Uint8Array[], purged: readonly AumHash[]): void {
    const records = encodeRecords(entries, purged);
    const path = `${this.directory}/${RECENT}`;
    writable(path, () => put(path, records, true, { create: true, append: true }));
    this.#logged = true;
  }
}

function entryOf(path: string, bytes: Uint8Array): Entry {
  try {
    return decodeEntry(bytes);
  } catch (cause) {
    throw damaged(path, reason(cause));
  }
}
