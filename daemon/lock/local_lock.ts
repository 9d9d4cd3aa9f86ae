/**
 * The lock as this node has it, without any word of control: the AUMs and the authority they make, what is remembered
 * beside them, the operator's demands, and by name how it stands.
 *
 *   bind ──▶ nothing ──adopt(checkpoint)──▶ authority ──moved──▶ authority ──retire──▶ nothing
 *        │                                  └────────adopt, of the next lock────────┘
 *        └─▶ authority, of AUMs on disk        └────────confirm, compact────────┘
 *        └─▶ damaged: nothing of the store is believed
 *
 * While a record stands the node is under lock, with or without an authority (L3).
 */
import type { Aum } from "../../tka/aum.ts";
import { parseAumHash } from "../../tka/aum_hash.ts";
import { Authority } from "../../tka/authority.ts";
import type { CompactableChonk } from "../../tka/chonk.ts";
import { TkaError } from "../../tka/errors.ts";
import { COMPACTION_DEFAULTS, WALK_LIMITS } from "../../tka/limits.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import type { VerifySignature } from "../../tka/signature.ts";
import { BoundRecord } from "./bound_record.ts";
import type { BoundRecordOptions } from "./bound_record.ts";
import { conditionText, isFine } from "./condition.ts";
import type { Condition, ConditionName } from "./condition.ts";
import { PeerJudge } from "./judge.ts";
import { demandsLock, loadPolicy, pinProblem, savePolicy } from "./policy.ts";
import type { LockAnchor, LockPolicy } from "./policy.ts";
import { stateIdOf } from "./record.ts";
import type { LockRecord } from "./record.ts";
import { LockStoreError, reason } from "./store_files.ts";
import type { LockStores } from "./stores.ts";

export interface LocalLockOptions extends BoundRecordOptions {
  readonly stores: LockStores;
  /** Of AUMs, as `Authority` takes it. */
  readonly verify: VerifySignature;
  /** Called after every change of what the filter would say. */
  readonly changed: () => void;
}

/** Why a lock is over, unless the operator says so. */
export const PROVEN = "control showed a disablement secret of it";

/** What one node keeps of its lock. */
export class LocalLock {
  readonly #options: LocalLockOptions;
  readonly #record: BoundRecord;
  #policy: LockPolicy;
  #chonk: CompactableChonk = new MemChonk();
  #judge: PeerJudge | undefined;
  #condition: Condition;
  #damaged = false;
  #confirmedAt = 0;
  /** Control's newest netmap says that there is a lock. */
  controlSaysOn = false;
  /** The lock the operator switched off here, as control last offered it: its head. */
  disabledHere: string | undefined;

  /** @throws StateFileError when what is remembered of a lock is damaged. */
  constructor(options: LocalLockOptions) {
    this.#options = options;
    this.#record = new BoundRecord(options);
    this.#policy = loadPolicy(options.store);
    this.#condition = { name: "off", since: options.now(), reason: "" };
  }

  get authority(): Authority | undefined {
    return this.#judge?.authority;
  }
  get judge(): PeerJudge | undefined {
    return this.#judge;
  }
  get chonk(): CompactableChonk {
    return this.#chonk;
  }
  get condition(): Condition {
    return this.#condition;
  }
  get policy(): LockPolicy {
    return this.#policy;
  }
  get profileId(): string {
    return this.#record.profileId;
  }
  get controlUrl(): string {
    return this.#record.controlUrl;
  }
  get record(): LockRecord | undefined {
    return this.#record.value;
  }
  /** The store cannot be believed: nothing is asked of control, nobody passes. */
  get damaged(): boolean {
    return this.#damaged;
  }
  /** When control last named our head as its own, Unix ms; 0 for never. */
  get confirmedAt(): number {
    return this.#confirmedAt;
  }

  /** The profile whose lock is in force under this one. */
  profileOf(profileId: string, controlUrl: string): string {
    return this.#record.profileOf(profileId, controlUrl);
  }

  /** Follows the profile and the control server; opens the store. */
  bind(profileId: string, controlUrl: string): void {
    this.#record.bind(profileId, controlUrl);
    this.controlSaysOn = false;
    this.open();
  }

  /** Reads what is on disk; what cannot be believed becomes the condition "store-damaged". */
  open(): void {
    const { stores, log } = this.#options;
    const { profileId, controlUrl } = this;
    this.#judge = undefined;
    this.#damaged = false;
    this.disabledHere = undefined;
    this.#confirmedAt = 0;
    try {
      this.#chonk = profileId === "" ? new MemChonk() : stores.open(profileId);
      let { record } = this;
      if (record !== undefined && record.controlUrl !== controlUrl) {
        log.warn(`the lock of ${record.controlUrl} is dropped: the operator chose another control server`);
        this.#chonk.removeAll();
        this.#record.set(undefined);
        record = undefined;
      }
      if (this.#chonk.heads().length > 0) {
        this.#opened(Authority.open(this.#chonk, WALK_LIMITS, this.#options.verify), record);
      } else if (record !== undefined) this.set("store-missing", `this node is under lock ${record.anchor.stateId}`);
      else this.settle();
    } catch (cause) {
      if (!(cause instanceof LockStoreError) && !(cause instanceof TkaError)) throw cause;
      this.#judge = undefined;
      this.#damaged = true;
      const place = cause instanceof TkaError ? `${stores.nameOf(profileId)}: ` : "";
      this.set("store-damaged", `${place}${cause.message}`);
    }
  }

  #opened(authority: Authority, record: LockRecord | undefined): void {
    const stateId = stateIdOf(authority);
    if (record !== undefined && record.anchor.stateId !== stateId) {
      throw new LockStoreError(`Cannot believe the store: it holds lock ${stateId}, want ${record.anchor.stateId}`);
    }
    this.#judge = new PeerJudge(authority);
    this.#confirmedAt = record?.confirmedAt ?? 0;
    if (record === undefined) this.#record.follow(authority, this.#chonk);
    this.#options.log.info(`Tailnet Lock ${stateId}, head ${authority.head}`);
    this.set("not-compared", "");
    this.#checkPins();
  }

  /** What was damaged may be whole now. */
  reopen(): void {
    this.#damaged = false;
    if (this.authority === undefined) this.open();
  }

  /** The operator's demands. @throws StateFileError when they could not be stored; they are in force all the same. */
  setPolicy(policy: LockPolicy): void {
    this.#policy = policy;
    try {
      savePolicy(this.#options.store, policy);
    } finally {
      this.#checkPins();
    }
  }

  /** How it stands from now on; said in the log unless it is as it should be. */
  set(name: ConditionName, reason: string): void {
    const old = this.#condition;
    if (old.name === name && old.reason === reason) return;
    this.#condition = { name, reason, since: old.name === name ? old.since : this.#options.now() };
    if (!isFine(this.#condition)) this.#options.log.warn(conditionText(this.#condition));
  }

  /** Nothing is to be done with control: the condition that follows from the rest. */
  settle(): void {
    if (this.#damaged || this.authority !== undefined || this.record !== undefined) return;
    if (demandsLock(this.#policy)) this.set("required", "this node is told to require Tailnet Lock, and knows none");
    else if (!this.controlSaysOn) this.set("off", "");
  }

  #checkPins(): void {
    const { record } = this;
    const seen = record === undefined ? undefined : pinProblem(this.#policy, record.anchor);
    if (seen !== undefined) this.set("pin-mismatch", seen);
    else if (this.#condition.name === "pin-mismatch" || this.#condition.name === "required") {
      this.set(this.authority === undefined ? "off" : "not-compared", "");
    }
    this.settle();
  }

  /**
   * The node comes under the lock that begins with this checkpoint, or has it again after its AUMs were lost. A lock that
   * it was under, and that is proven to be over, ends with that and not before: in between it would be open.
   * @throws TkaError when the checkpoint is no beginning, and nothing is changed then; LockStoreError.
   */
  adopt(checkpoint: Aum, anchor: LockAnchor): Authority {
    const { now, verify, log, changed } = this.#options;
    const begin = (chonk: CompactableChonk) => Authority.bootstrap(chonk, checkpoint, now(), WALK_LIMITS, verify);
    const trial = new MemChonk();
    const promised = begin(trial);
    const before = this.record?.anchor.stateId;
    // Whatever fails from here on, nobody is judged by AUMs that are gone.
    this.#judge = undefined;
    if (this.#chonk.heads().length > 0) this.#chonk.removeAll();
    // Before the AUMs: a node that dies while it writes them is under lock all the same, and asks for them again.
    this.#record.begin(promised, trial, anchor);
    const authority = begin(this.#chonk);
    this.#judge = new PeerJudge(authority);
    if (before !== undefined && before !== anchor.stateId) {
      this.#confirmedAt = 0;
      log.warn(`Tailnet Lock ${before} is off: ${PROVEN}, and another is on`);
    }
    log.info(`Tailnet Lock ${anchor.stateId} begins here with AUM ${checkpoint.hash}`);
    changed();
    return authority;
  }

  moved(authority: Authority): void {
    this.#judge = new PeerJudge(authority, this.#judge);
    this.#record.follow(authority, this.#chonk);
    this.#options.log.info(`Tailnet Lock: head ${authority.head}`);
    this.#options.changed();
  }

  /** Control has our head. */
  confirm(): void {
    const { record, authority } = this;
    if (record === undefined || authority === undefined) return;
    this.#confirmedAt = this.#options.now();
    if (this.#condition.name !== "pin-mismatch") this.set("synced", "");
    if (record.confirmedHead === authority.head) return;
    this.#record.update({ confirmedHead: authority.head, confirmedAt: this.#confirmedAt });
  }

  /** Nothing behind the last head that control confirmed is forgotten (L16). */
  compact(authority: Authority): void {
    const keepFrom = parseAumHash(this.record?.confirmedHead ?? "");
    const request = { ...COMPACTION_DEFAULTS, ...(keepFrom !== undefined && { keepFrom }) };
    try {
      this.#judge = new PeerJudge(authority.compact(this.#chonk, request, this.#options.now()), this.#judge);
    } catch (cause) {
      if (!(cause instanceof TkaError)) throw cause;
      this.#options.log.warn(`the lock's store was not compacted: ${cause.message}`);
    }
  }

  /** The lock is over. The AUMs go first: after a crash in between, the record still asks for a proof. */
  retire(why: string): void {
    this.#erase();
    this.#chonk.removeAll();
    this.#options.log.warn(`Tailnet Lock ${this.record?.anchor.stateId ?? ""} is off: ${why}`);
    this.#record.set(undefined);
    this.#judge = undefined;
    this.#damaged = false;
    this.#confirmedAt = 0;
    this.set("off", "");
    this.settle();
    this.#options.changed();
  }

  /** Another profile is deleted: what it had of a lock goes too. @throws StateFileError, LockStoreError */
  forgetProfile(profileId: string): void {
    this.#options.stores.erase(profileId);
    this.#record.forgetProfile(profileId);
  }

  /** The profile is deleted, keys and all. */
  forget(): void {
    try {
      this.#erase();
    } catch (cause) {
      this.#options.log.warn(reason(cause));
    }
    this.#record.set(undefined);
    this.#record.bind("", this.controlUrl);
    this.#damaged = false;
    this.#chonk = new MemChonk();
    this.#judge = undefined;
    this.disabledHere = undefined;
    this.controlSaysOn = false;
  }

  #erase(): void {
    if (this.profileId !== "") this.#options.stores.erase(this.profileId);
  }
}
