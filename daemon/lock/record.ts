/**
 * What a node remembers of its lock beside the AUMs, under `_agent-lock` in the state file: JSON of profile ID to record.
 *
 * It is what makes the node fail closed (L3): while a record stands the node is under lock, although its AUMs are gone,
 * damaged, or were never on disk. It holds enough to tell the same lock from another one, and a true disablement secret
 * from a wrong one.
 */
import { fromUtf8, toHex, utf8 } from "../../base/bytes.ts";
import type { Authority } from "../../tka/authority.ts";
import type { Chonk } from "../../tka/chonk.ts";
import { stateIdText } from "../../tka/state.ts";
import { keyId } from "../../tka/key.ts";
import { StateFileError } from "../state_file.ts";
import type { StateStore } from "../state_file.ts";
import { signerIds } from "./policy.ts";
import type { LockAnchor } from "./policy.ts";

/** The lock of one profile. Times are Unix milliseconds; bytes are hex. */
export interface LockRecord {
  /** The control server it belongs to. */
  readonly controlUrl: string;
  readonly anchor: LockAnchor;
  /** Base32 of the newest AUM, and since when. */
  readonly head: string;
  readonly headSince: number;
  /**
   * A head this node had before its AUMs were lost, "" when there is none: nobody is let through before control has handed
   * the AUMs up to there again, as otherwise it could take back the removal of a key.
   */
  readonly reach: string;
  /** The last head of ours that control said it has, too; compaction keeps everything from there. "" for none. */
  readonly confirmedHead: string;
  /** When control last named our head as its own; 0 for never. */
  readonly confirmedAt: number;
  readonly keys: readonly string[];
  readonly disablementValues: readonly string[];
}

const KEY = "_agent-lock";

/** The parts of a record that follow from the authority. */
export function recordState(authority: Authority): Pick<LockRecord, "head" | "keys" | "disablementValues"> {
  return {
    head: authority.head,
    keys: authority.keys.map((key) => toHex(keyId(key))),
    disablementValues: (authority.state.disablementValues ?? []).map((value) => toHex(value ?? new Uint8Array(0))),
  };
}

export function stateIdOf(authority: Authority): string {
  return stateIdText(authority.state);
}

/** The anchor of a store another program made: its oldest AUM. */
export function anchorOf(authority: Authority, chonk: Chonk): LockAnchor {
  const hash = authority.oldestAncestor;
  return { hash, signers: signerIds(chonk.aum(hash)?.signatures ?? []), stateId: stateIdOf(authority) };
}

function isStringList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isRecord(value: unknown): value is LockRecord {
  if (typeof value !== "object" || value === null) return false;
  const record = value as Record<string, unknown>;
  const anchor = record.anchor as Record<string, unknown> | undefined | null;
  return typeof record.controlUrl === "string" && typeof record.head === "string" &&
    typeof record.headSince === "number" && typeof record.reach === "string" &&
    typeof record.confirmedHead === "string" &&
    typeof record.confirmedAt === "number" && isStringList(record.keys) && isStringList(record.disablementValues) &&
    typeof anchor === "object" && anchor !== null && typeof anchor.hash === "string" &&
    typeof anchor.stateId === "string" && isStringList(anchor.signers);
}

/** The records of a state store. */
export class LockRecords {
  readonly #store: StateStore;
  readonly #records: Map<string, LockRecord>;

  /** @throws StateFileError when what is stored is damaged: the node may be under lock. */
  constructor(store: StateStore) {
    this.#store = store;
    this.#records = readAll(store);
  }

  get(profileId: string): LockRecord | undefined {
    return this.#records.get(profileId);
  }

  /** The profile whose lock belongs to this control server, other than those that `isAnothers`. */
  ofServer(controlUrl: string, isAnothers: (profileId: string) => boolean): string | undefined {
    for (const [id, record] of this.#records) if (record.controlUrl === controlUrl && !isAnothers(id)) return id;
    return undefined;
  }

  /** Sets, or with undefined deletes. It is in force even when storing fails. @throws StateFileError */
  set(profileId: string, record: LockRecord | undefined): void {
    if (record === undefined) this.#records.delete(profileId);
    else this.#records.set(profileId, record);
    const value = this.#records.size === 0 ? undefined : utf8(JSON.stringify(Object.fromEntries(this.#records)));
    this.#store.write(KEY, value);
  }
}

function readAll(store: StateStore): Map<string, LockRecord> {
  const bytes = store.read(KEY);
  if (bytes === undefined) return new Map();
  try {
    const value: unknown = JSON.parse(fromUtf8(bytes) ?? "");
    if (typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every(isRecord)) {
      return new Map(Object.entries(value));
    }
  } catch {
    // Said below.
  }
  throw new StateFileError(
    `Cannot use the saved state: the value of ${JSON.stringify(KEY)} is damaged, and this node may be under ` +
      `Tailnet Lock; restore a copy of the state file`,
  );
}
