/**
 * Which keys the configuration had when it was last applied, kept beside the preferences: what has been taken out of the
 * file since is taken back, over restarts too.
 */
import { fromUtf8, utf8 } from "../../base/bytes.ts";
import type { StateStore } from "../state_file.ts";

const KEY = "_agent-config";

/** The names; none when nothing is stored, or nothing that can be read: then nothing is taken back. */
export function loadApplied(store: StateStore): readonly string[] {
  const bytes = store.read(KEY);
  if (bytes === undefined) return [];
  try {
    const { keys } = JSON.parse(fromUtf8(bytes) ?? "");
    return Array.isArray(keys) ? keys.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}

/** @throws StateFileError when it could not be stored. */
export function saveApplied(store: StateStore, keys: readonly string[]): void {
  store.write(KEY, utf8(JSON.stringify({ keys })));
}
