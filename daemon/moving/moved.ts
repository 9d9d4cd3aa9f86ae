/**
 * Where this node's state came from, or has gone to, in the state store under `_agent-moved`: two programs with one node
 * key take each other's place at control and with every peer, so whoever does not have the node does not run (`twin.ts`).
 *
 * ```
 *   none ──migrate──▶ taken: runs, unless a process runs on the directory it came from
 *                      │  ▲
 *       migrate --back │  │ migrate
 *                      ▼  │
 *                     given: does not run
 * ```
 */
import { fromUtf8, utf8 } from "../../base/bytes.ts";
import { StateFileError } from "../state_file.ts";
import type { StateStore } from "../state_file.ts";

/** The last move. */
export interface Moved {
  readonly kind: "taken" | "given";
  /** Tailscale's state directory. */
  readonly directory: string;
  /** RFC 3339. */
  readonly at: string;
  /** SHA-256 of the state file there, hex, as it was left. */
  readonly digest: string;
}

/** State key of the record. */
export const MOVED = "_agent-moved";

/** Of state keys that are this program's own; the rest is Tailscale's too. */
export const OURS = "_agent-";

/** The last move, undefined when there was none. @throws StateFileError when it is damaged. */
export function readMoved(store: Pick<StateStore, "read">): Moved | undefined {
  const bytes = store.read(MOVED);
  if (bytes === undefined) return undefined;
  try {
    const value = JSON.parse(fromUtf8(bytes) ?? "");
    const texts = [value.directory, value.at, value.digest];
    if (["taken", "given"].includes(value.kind) && texts.every((text) => typeof text === "string")) return value;
  } catch {
    // Said below.
  }
  throw new StateFileError(`Cannot use the saved state: the value of ${JSON.stringify(MOVED)} is damaged`);
}

export function movedBytes(moved: Moved): Uint8Array {
  return utf8(JSON.stringify(moved));
}
