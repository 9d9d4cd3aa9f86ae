/**
 * What is remembered of the lock of the profile in force (`record.ts`), kept in step with its authority.
 *
 * A record that could not be stored is in force all the same, and the log says so.
 */
import type { AumHash } from "../../tka/aum_hash.ts";
import type { Authority } from "../../tka/authority.ts";
import type { Chonk } from "../../tka/chonk.ts";
import type { Log } from "../log.ts";
import type { StateStore } from "../state_file.ts";
import type { LockAnchor } from "./policy.ts";
import { anchorOf, LockRecords, recordState } from "./record.ts";
import type { LockRecord } from "./record.ts";
import { reason } from "./store_files.ts";

export interface BoundRecordOptions {
  readonly store: StateStore;
  /** Whether this is the ID of a login the machine still has. */
  readonly isProfile: (profileId: string) => boolean;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly log: Log;
}

type Known = Pick<LockRecord, "head" | "headSince" | "confirmedHead" | "confirmedAt" | "reach">;

const NOTHING_KNOWN: Known = { head: "", headSince: 0, confirmedHead: "", confirmedAt: 0, reach: "" };

export class BoundRecord {
  readonly #options: BoundRecordOptions;
  readonly #records: LockRecords;
  #profileId = "";
  #controlUrl = "";

  /** @throws StateFileError when what is remembered of a lock is damaged. */
  constructor(options: BoundRecordOptions) {
    this.#options = options;
    this.#records = new LockRecords(options.store);
  }

  get profileId(): string {
    return this.#profileId;
  }
  get controlUrl(): string {
    return this.#controlUrl;
  }
  /** While it stands the node is under lock. */
  get value(): LockRecord | undefined {
    return this.#records.get(this.#profileId);
  }

  /**
   * The profile whose lock is in force under this one: its own, or one of the same control server that belongs to no
   * other login of this machine.
   */
  profileOf(profileId: string, controlUrl: string): string {
    if (this.#records.get(profileId) !== undefined) return profileId;
    const isAnothers = (id: string) => id !== profileId && this.#options.isProfile(id);
    return this.#records.ofServer(controlUrl, isAnothers) ?? profileId;
  }

  /** Follows the profile and the control server. */
  bind(profileId: string, controlUrl: string): void {
    this.#profileId = profileId;
    this.#controlUrl = controlUrl;
  }

  /**
   * The lock begins here with this authority, or again after its AUMs were lost: then nobody is let through before it has
   * reached what it had before. Of another lock nothing is kept.
   */
  begin(authority: Authority, chonk: Chonk, anchor: LockAnchor): void {
    const record = this.value?.anchor.stateId === anchor.stateId ? this.value : undefined;
    // What was not reached since they were lost before stays what is to be reached.
    const reach = record?.reach || record?.head || "";
    this.#follow(authority, chonk, anchor, { ...(record ?? NOTHING_KNOWN), reach });
  }

  /** Follows the authority. */
  follow(authority: Authority, chonk: Chonk): void {
    const record = this.value;
    this.#follow(authority, chonk, record?.anchor ?? anchorOf(authority, chonk), record ?? NOTHING_KNOWN);
  }

  #follow(authority: Authority, chonk: Chonk, anchor: LockAnchor, old: Known): void {
    const reached = old.reach === "" || chonk.aum(old.reach as AumHash) !== undefined;
    this.set({
      controlUrl: this.#controlUrl,
      anchor,
      ...recordState(authority),
      headSince: old.head === authority.head ? old.headSince : this.#options.now(),
      confirmedHead: old.confirmedHead,
      confirmedAt: old.confirmedAt,
      reach: reached ? "" : old.reach,
    });
  }

  /** Changes what is remembered; nothing when nothing is. */
  update(fields: Partial<LockRecord>): void {
    const record = this.value;
    if (record !== undefined) this.set({ ...record, ...fields });
  }

  /** Sets, or with undefined deletes. */
  set(record: LockRecord | undefined): void {
    try {
      this.#records.set(this.#profileId, record);
    } catch (cause) {
      this.#options.log.error(`what is known of the lock could not be saved: ${reason(cause)}`);
    }
  }

  /** Another profile is deleted. @throws StateFileError */
  forgetProfile(profileId: string): void {
    if (this.#records.get(profileId) !== undefined) this.#records.set(profileId, undefined);
  }
}
