/**
 * Which keys the configuration had when it was last applied, kept beside the preferences: what has been taken out of the
 * file since is taken back, over restarts too.
 *
 * ```
 *   stored:   the old file's ──begin──▶ the old file's and the new one's ──finish──▶ the new one's
 * ```
 * In between some of the old file's settings may be there still, and some of the new one's already; a restart takes back
 * whatever of them its file does not name.
 */
import { fromUtf8, utf8 } from "../../base/bytes.ts";
import type { StateStore } from "../state_file.ts";

const KEY = "_agent-config";

/** The names. */
export class AppliedNames {
  readonly #store: StateStore;
  #names: readonly string[];
  #stored: readonly string[];

  /** None when nothing is stored, or nothing that can be read: then nothing is taken back. */
  constructor(store: StateStore) {
    this.#store = store;
    this.#names = this.#stored = load(store);
  }

  /** Those of the file in force; while one is being applied, and after that went wrong, of both. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** A file with these names is about to be applied. @throws StateFileError when they could not be stored; they count */
  begin(named: readonly string[]): void {
    this.#names = [...new Set([...this.#names, ...named])];
    this.#save([...new Set([...this.#stored, ...named])]);
  }

  /**
   * It has been applied. @param stored so that a restart finds all of it; else the names of both stay stored.
   * @throws StateFileError when they could not be stored; they count
   */
  finish(named: readonly string[], stored: boolean): void {
    this.#names = named;
    if (stored) this.#save(named);
  }

  #save(names: readonly string[]): void {
    if (names.length === this.#stored.length && names.every((name, i) => name === this.#stored[i])) return;
    this.#store.write(KEY, utf8(JSON.stringify({ keys: names })));
    this.#stored = names;
  }
}

function load(store: StateStore): readonly string[] {
  const bytes = store.read(KEY);
  if (bytes === undefined) return [];
  try {
    const { keys } = JSON.parse(fromUtf8(bytes) ?? "");
    return Array.isArray(keys) ? keys.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}
