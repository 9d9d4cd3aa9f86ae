/**
 * The Noise keys of control servers as first seen, in the state store under `_agent-control-keys`: JSON of URL to key.
 *
 * `/key` is answered in the clear or by any certificate authority; keeping the first answer means that a later one
 * which differs is refused instead of believed.
 */
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { MachinePublic } from "../base/keys.ts";
import type { ServerKeyStore } from "../control/client/types.ts";
import { StateFileError } from "./state_file.ts";
import type { StateStore } from "./state_file.ts";

const KEY = "_agent-control-keys";

function readAll(store: StateStore): Record<string, string> {
  const bytes = store.read(KEY);
  if (bytes === undefined) return {};
  try {
    const value: unknown = JSON.parse(fromUtf8(bytes) ?? "");
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, string>;
  } catch {
    // Said below.
  }
  throw new StateFileError(`Cannot use the saved state: the value of ${JSON.stringify(KEY)} is damaged`);
}

/** @throws StateFileError from `load` when what is stored is damaged, and from `save` when it cannot be stored. */
export function serverKeyStore(store: StateStore): ServerKeyStore {
  return {
    load(url) {
      const text = readAll(store)[url];
      return text === undefined ? undefined : MachinePublic.parse(text);
    },
    save(url, key) {
      store.write(KEY, utf8(JSON.stringify({ ...readAll(store), [url]: key.toString() })));
    },
  };
}
