/**
 * Tailnet Lock of this node: the authority and its store, kept in step with control, and the filter every netmap passes.
 *
 * ```
 *            no lock ──control says on──▶ bootstrap ──checkpoint──▶ under lock ◀──▶ sync
 *               ▲                            │ refused, failed         │
 *               │                            ▼                         │ control says off
 *               │                         closed: nobody passes        ▼
 *               └───────────────────── disablement secret that verifies ─── else: under lock all the same
 * ```
 * Fails closed (L3). Peers pass unjudged only where control says there is no lock, there never was one that was not
 * provably disabled, and the operator does not demand one - or where the operator switched this very lock off here.
 * Everything else is either judged by an authority or kept out whole, and has a name (`condition.ts`).
 *
 * Source: ipnlocal.tkaSyncIfNeeded, tkaApplyDisablementLocked, tkaBootstrapFromGenesisLocked.
 */
import { fromHex } from "../../base/bytes.ts";
import type { Scheduler, Timer } from "../../base/clock.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { Backoff } from "../../control/client/backoff.ts";
import { ControlError } from "../../control/client/errors.ts";
import { LockRpc } from "../../control/client/lock_rpc.ts";
import type { Netmap } from "../../control/client/netmap.ts";
import type { ControlApi } from "../../control/client/types.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import { Aum } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { parseAumHash } from "../../tka/aum_hash.ts";
import { Authority } from "../../tka/authority.ts";
import type { CompactableChonk } from "../../tka/chonk.ts";
import { isDisablementValue } from "../../tka/disablement.ts";
import { TkaError } from "../../tka/errors.ts";
import { COMPACTION_DEFAULTS } from "../../tka/limits.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import { EMPTY_STATE, stateIdText } from "../../tka/state.ts";
import type { LockFilter, LockVerdict } from "../lock_filter.ts";
import type { Log } from "../log.ts";
import type { Persist } from "../persist.ts";
import type { StateStore } from "../state_file.ts";
import { closedBecause, closedText } from "./closed.ts";
import { conditionText, isFine } from "./condition.ts";
import type { Condition, ConditionName } from "./condition.ts";
import { DiskChonk, LockStoreError } from "./disk_chonk.ts";
import { judgeNode, PeerJudge } from "./judge.ts";
import type { RejectedPeer } from "./judge.ts";
import { KdfBusy } from "./kdf.ts";
import type { DeriveDisablement } from "./kdf.ts";
import { demandsLock, loadPolicy, pinProblem, savePolicy, signerIds } from "./policy.ts";
import type { LockAnchor, LockPolicy } from "./policy.ts";
import { LockRecords, recordState, stateIdOf } from "./record.ts";
import type { LockRecord } from "./record.ts";
import { syncWithControl } from "./sync.ts";

/** What a lock is made of. */
export interface TailnetLockOptions {
  readonly store: StateStore;
  /** State directory; without one AUMs live in memory. */
  readonly directory: string | undefined;
  readonly derive: DeriveDisablement;
  readonly capabilityVersion: number;
  /** Keys of the current profile. */
  readonly persist: () => Persist | undefined;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: Log;
}

/** An exchange with control is no longer wanted: another session or profile took its place. */
class Overtaken extends Error {
  override readonly name = "Overtaken";
}

/** What is to be done with control next. */
type Goal = "bootstrap" | "sync" | "disable";

const RETRY_UNIT_MS = 2_000;
const RETRY_CAP_MS = 300_000;

/** Answers of control that it may correct without saying so. */
const MAY_MEND: ReadonlySet<ConditionName> = new Set(["bootstrap-failed", "disable-unproven", "other-lock"]);

/** The lock. One for the life of the daemon; `bind` and `connect` follow profile and session. */
export class TailnetLock implements LockFilter {
  readonly #options: TailnetLockOptions;
  readonly #records: LockRecords;
  readonly #backoff: Backoff;
  #policy: LockPolicy;
  #changed: () => void = () => {};
  #profileId = "";
  #controlUrl = "";
  #bound = false;
  #chonk: CompactableChonk = new MemChonk();
  #judge: PeerJudge | undefined;
  #condition: Condition;
  /** Removes what is on disk, readable or not. */
  #erase: () => void = () => {};
  /** The store cannot be believed: nothing is asked of control, nobody passes. */
  #damaged = false;
  /** The lock the operator switched off here, as control last offered it. */
  #disabledHere: string | undefined;
  #api: Pick<ControlApi, "request"> | undefined;
  #netmap: Netmap | undefined;
  #rejected: readonly RejectedPeer[] = [];
  #epoch = 0;
  #running = false;
  #again = false;
  #settled = "";
  #retry: Timer | undefined;
  #confirmedAt = 0;

  /** @throws StateFileError when what is remembered of a lock is damaged. */
  constructor(options: TailnetLockOptions) {
    this.#options = options;
    this.#records = new LockRecords(options.store);
    this.#policy = loadPolicy(options.store);
    this.#backoff = new Backoff(options.random, RETRY_UNIT_MS, RETRY_CAP_MS);
    this.#condition = { name: "off", since: this.#now(), reason: "" };
  }

  /** Calls back after every change of what the filter would say, or of the condition. */
  onChange(changed: () => void): void {
    this.#changed = changed;
  }

  get authority(): Authority | undefined {
    return this.#judge?.authority;
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
  get record(): LockRecord | undefined {
    return this.#records.get(this.#profileId);
  }
  /** When control last named our head as its own, Unix ms; 0 for never. */
  get confirmedAt(): number {
    return this.#confirmedAt;
  }
  /** AUMs are in memory only, although there is a lock. */
  get inMemory(): boolean {
    return this.authority !== undefined && !(this.#chonk instanceof DiskChonk);
  }
  /** Peers the last netmap had that the lock keeps out. */
  get rejected(): readonly RejectedPeer[] {
    return this.#rejected;
  }
  get derive(): DeriveDisablement {
    return this.#options.derive;
  }
  get head(): string {
    return this.authority?.head ?? "";
  }

  /** The calls to control for the node's key. @throws Error when there is no session or no key. */
  rpc(): LockRpc {
    const nodeKey = this.#options.persist()?.nodeKey?.public;
    if (this.#api === undefined || nodeKey === undefined) throw new Error("no node-key: is tailscale logged in?");
    return new LockRpc(this.#api, nodeKey, this.#options.capabilityVersion);
  }

  /** Follows the profile and the control server; opens the store. A profile's lock is not left for another's by itself. */
  bind(profileId: string, controlUrl: string): void {
    const id = this.#records.get(profileId) === undefined ? this.#records.ofServer(controlUrl) ?? profileId : profileId;
    if (this.#bound && id === this.#profileId && controlUrl === this.#controlUrl) return;
    this.#epoch++;
    this.#bound = true;
    this.#profileId = id;
    this.#controlUrl = controlUrl;
    this.#netmap = undefined;
    this.#open();
    this.#changed();
  }

  /** A session began, or with undefined ended. */
  connect(api: Pick<ControlApi, "request"> | undefined): void {
    this.#epoch++;
    this.#api = api;
    this.#netmap = undefined;
    this.#tryAgain();
  }

  /** A netmap came; before it is filtered. */
  gotNetmap(netmap: Netmap, profileId: string): void {
    // A fresh node gets its profile with its first netmap; what control says later moves nobody to another profile.
    if (this.#profileId === "" && profileId !== "") this.bind(profileId, this.#controlUrl);
    this.#netmap = netmap;
    if (netmap.tkaEnabled && this.head !== "" && netmap.tkaInfo?.Head === this.head) this.#confirm();
    else if (this.#goal(netmap) === undefined) this.#settle();
    this.#wake();
  }

  /** Forgets what was given up, and tries at once. */
  tryAgain(): void {
    this.#damaged = false;
    if (this.#bound && this.authority === undefined) this.#open();
    this.#tryAgain();
    this.#changed();
  }

  /** The operator's demands. @throws StateFileError when they could not be stored; they are in force all the same. */
  setPolicy(policy: LockPolicy): void {
    this.#policy = policy;
    try {
      savePolicy(this.#options.store, policy);
    } finally {
      this.#checkPins();
      this.#tryAgain();
      this.#changed();
    }
  }

  filter(netmap: Netmap): LockVerdict {
    const closed = this.#closedBecause(netmap);
    if (closed !== undefined) {
      const why = `nobody passes: ${closed.name}`;
      this.#rejected = [...netmap.peers].map((node) => ({ node, why }));
      return { accepted: [], rejected: [...netmap.peers], problem: closedText(closed) };
    }
    if (this.#judge === undefined) {
      this.#rejected = [];
      return { accepted: netmap.peers, rejected: [] };
    }
    const { accepted, rejected } = this.#judge.judge(netmap.peers);
    this.#rejected = rejected;
    return { accepted, rejected: rejected.map(({ node }) => node) };
  }

  /** What an operator should know; "" when all is well. Judges nobody, so it costs nothing. */
  problem(netmap: Netmap | undefined): string {
    const closed = netmap === undefined ? undefined : this.#closedBecause(netmap);
    return closed === undefined ? conditionText(this.#condition) : closedText(closed);
  }

  /** Whether the lock accepts this node itself; true without a lock. */
  selfSigned(self: Node | undefined): boolean {
    const { authority } = this;
    return authority === undefined || self === undefined || judgeNode(authority, self).ok;
  }

  /** Whether the operator switched this very lock off here, whoever offers it now. */
  get disabledHere(): boolean {
    return this.#disabledHere !== undefined;
  }

  /**
   * Drops the lock on this node. Its state ID is remembered by the caller, so that it does not come back.
   * @throws LockStoreError
   */
  dropLocally(): void {
    this.#retire("the operator switched it off on this node");
    this.#tryAgain();
  }

  /** The profile is deleted, keys and all. */
  forget(): void {
    this.#epoch++;
    try {
      this.#erase();
    } catch (cause) {
      this.#options.log.warn(messageOf(cause));
    }
    this.#save(undefined);
    this.#profileId = "";
    this.#bound = false;
    this.#damaged = false;
    this.#chonk = new MemChonk();
    this.#judge = undefined;
    this.#disabledHere = undefined;
    this.#netmap = undefined;
  }

  /** No timer is left behind. */
  close(): void {
    this.#epoch++;
    this.#api = undefined;
    this.#retry?.cancel();
    this.#retry = undefined;
  }

  // -- what is known -------------------------------------------------------------------------------------------------

  #now(): number {
    return this.#options.scheduler.wall();
  }

  #open(): void {
    const { directory, log } = this.#options;
    this.#judge = undefined;
    this.#damaged = false;
    this.#disabledHere = undefined;
    this.#confirmedAt = 0;
    const path = directory === undefined || this.#profileId === "" ? undefined : `${directory}/${this.#profileId}`;
    this.#erase = () => path === undefined ? undefined : DiskChonk.erase(path);
    try {
      this.#chonk = path === undefined ? new MemChonk() : DiskChonk.open(path);
      let { record } = this;
      if (record !== undefined && record.controlUrl !== this.#controlUrl) {
        log.warn(`the lock of ${record.controlUrl} is dropped: the operator chose another control server`);
        this.#chonk.removeAll();
        this.#save(undefined);
        record = undefined;
      }
      if (this.#chonk.heads().length > 0) this.#opened(Authority.open(this.#chonk), record);
      else if (record !== undefined) this.#set("store-missing", `this node is under lock ${record.anchor.stateId}`);
      else this.#settle();
    } catch (cause) {
      if (!(cause instanceof LockStoreError) && !(cause instanceof TkaError)) throw cause;
      this.#judge = undefined;
      this.#damaged = true;
      this.#set("store-damaged", cause instanceof TkaError ? `${path}: ${cause.message}` : cause.message);
    }
  }

  #opened(authority: Authority, record: LockRecord | undefined): void {
    const stateId = stateIdOf(authority);
    if (record !== undefined && record.anchor.stateId !== stateId) {
      throw new LockStoreError(`Cannot believe the store: it holds lock ${stateId}, want ${record.anchor.stateId}`);
    }
    this.#judge = new PeerJudge(authority);
    this.#confirmedAt = record?.confirmedAt ?? 0;
    if (record === undefined) this.#remember(authority, this.#anchorOf(authority));
    this.#options.log.info(`Tailnet Lock ${stateId}, head ${authority.head}`);
    this.#set("not-compared", "");
    this.#checkPins();
  }

  /** The anchor of a store another program made: its oldest AUM. */
  #anchorOf(authority: Authority): LockAnchor {
    const oldest = this.#chonk.aum(authority.oldestAncestor);
    return {
      hash: authority.oldestAncestor,
      signers: signerIds(oldest?.signatures ?? []),
      stateId: stateIdOf(authority),
    };
  }

  #remember(authority: Authority, anchor?: LockAnchor): void {
    const { record } = this;
    const old = record ?? { head: "", headSince: 0, confirmedHead: "", confirmedAt: 0, reach: "" };
    const reached = old.reach === "" || this.#chonk.aum(old.reach as AumHash) !== undefined;
    this.#save({
      controlUrl: this.#controlUrl,
      anchor: anchor ?? record?.anchor ?? this.#anchorOf(authority),
      ...recordState(authority),
      headSince: old.head === authority.head ? old.headSince : this.#now(),
      confirmedHead: old.confirmedHead,
      confirmedAt: old.confirmedAt,
      reach: reached ? "" : old.reach,
    });
  }

  #save(record: LockRecord | undefined): void {
    try {
      this.#records.set(this.#profileId, record);
    } catch (cause) {
      this.#options.log.error(`what is known of the lock could not be saved: ${messageOf(cause)}`);
    }
  }

  #set(name: ConditionName, reason: string): void {
    const old = this.#condition;
    if (old.name === name && old.reason === reason) return;
    this.#condition = { name, reason, since: old.name === name ? old.since : this.#now() };
    if (!isFine(this.#condition)) this.#options.log.warn(conditionText(this.#condition));
  }

  /** Nothing is to be done with control: the condition that follows from the rest. */
  #settle(): void {
    if (this.#damaged || this.authority !== undefined || this.record !== undefined) return;
    if (demandsLock(this.#policy)) this.#set("required", "this node is told to require Tailnet Lock, and knows none");
    else if (this.#netmap?.tkaEnabled !== true) this.#set("off", "");
  }

  #checkPins(): void {
    const { record } = this;
    const seen = record === undefined ? undefined : pinProblem(this.#policy, record.anchor);
    if (seen !== undefined) this.#set("pin-mismatch", seen);
    else if (this.#condition.name === "pin-mismatch" || this.#condition.name === "required") {
      this.#set(this.authority === undefined ? "off" : "not-compared", "");
    }
    this.#settle();
  }

  /** Why nobody may pass; undefined when peers are judged, or there is no lock. */
  #closedBecause(netmap: Netmap): Condition | undefined {
    return closedBecause({
      condition: this.#condition,
      damaged: this.#damaged,
      policy: this.#policy,
      record: this.record,
      judged: this.authority !== undefined,
      disabledHere: this.disabledHere,
      controlSaysOn: netmap.tkaEnabled,
    }, this.#now());
  }

  // -- exchanges with control ----------------------------------------------------------------------------------------

  #goal(netmap: Netmap): Goal | undefined {
    if (this.#damaged) return undefined;
    if (!netmap.tkaEnabled) return this.authority !== undefined || this.record !== undefined ? "disable" : undefined;
    if (this.authority === undefined) {
      return this.#disabledHere === undefined || this.#disabledHere !== netmap.tkaInfo?.Head ? "bootstrap" : undefined;
    }
    return this.authority.head === netmap.tkaInfo?.Head ? undefined : "sync";
  }

  #tryAgain(): void {
    this.#settled = "";
    this.#backoff.reset();
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#wake();
  }

  #wake(): void {
    this.#again = true;
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#again) {
        this.#again = false;
        await this.#turn();
      }
    } finally {
      this.#running = false;
    }
  }

  /** One exchange, if one is wanted. Never rejects. */
  async #turn(): Promise<void> {
    const netmap = this.#netmap;
    const goal = netmap === undefined ? undefined : this.#goal(netmap);
    if (netmap === undefined || goal === undefined || this.#api === undefined || this.#retry !== undefined) return;
    // What was settled is not asked again before control says something else, or our head moved.
    const situation = () => JSON.stringify([goal, netmap.tkaInfo?.Head ?? "", netmap.tkaEnabled, this.head]);
    if (situation() === this.#settled) return;
    const epoch = this.#epoch;
    const check = () => {
      if (epoch !== this.#epoch) throw new Overtaken();
    };
    try {
      const rpc = this.rpc();
      if (goal === "bootstrap") await this.#bootstrap(rpc, netmap, check);
      else if (goal === "sync") await this.#sync(rpc, check);
      else await this.#disable(rpc, check);
      this.#backoff.reset();
      this.#settled = situation();
      this.#again = true;
      if (MAY_MEND.has(this.#condition.name)) {
        this.#settled = "";
        this.#retryIn(RETRY_CAP_MS);
      }
    } catch (cause) {
      if (epoch !== this.#epoch) return;
      this.#failed(cause);
    }
    this.#changed();
  }

  #failed(cause: unknown): void {
    if (cause instanceof LockStoreError) this.#set("store-failed", cause.message);
    else if (cause instanceof ControlError || cause instanceof KdfBusy) this.#set("unreachable", cause.message);
    else {
      this.#options.log.error(`the lock: ${cause instanceof Error ? cause.stack : cause}`);
      this.#set("unreachable", messageOf(cause));
    }
    const leastMs = cause instanceof ControlError ? cause.retryAfterMs ?? 0 : 0;
    this.#retryIn(Math.max(leastMs, this.#backoff.next()));
  }

  #retryIn(delayMs: number): void {
    this.#retry?.cancel();
    this.#retry = this.#options.scheduler.after(delayMs, () => {
      this.#retry = undefined;
      this.#wake();
    });
  }

  async #bootstrap(rpc: LockRpc, netmap: Netmap, check: () => void): Promise<void> {
    const { genesis } = await rpc.bootstrap("");
    check();
    const checkpoint = genesis === undefined ? undefined : decodeCheckpoint(genesis);
    if (checkpoint === undefined) {
      const seen = genesis === undefined ? "no AUM" : "something that is no checkpoint";
      this.#set("bootstrap-failed", `control says the lock is on and gave ${seen} to begin with`);
      return;
    }
    const stateId = stateIdText(checkpoint.state ?? EMPTY_STATE);
    const disallowed = this.#options.persist()?.disallowedTkaStateIds ?? [];
    if (this.record === undefined && disallowed.includes(stateId)) {
      this.#disabledHere = netmap.tkaInfo?.Head ?? "";
      this.#set("disabled-here", `lock ${stateId} was switched off on this node`);
      return;
    }
    this.#disabledHere = undefined;
    const anchor = { hash: checkpoint.hash, signers: signerIds(checkpoint.signatures), stateId };
    if (!await this.#continues(rpc, anchor, check)) return;
    const pin = pinProblem(this.#policy, anchor);
    if (pin !== undefined) return this.#set("pin-mismatch", pin);
    const reach = this.record?.head ?? "";
    try {
      if (this.#chonk.heads().length > 0) this.#chonk.removeAll();
      this.#judge = new PeerJudge(Authority.bootstrap(this.#chonk, checkpoint, this.#now()));
    } catch (cause) {
      if (!(cause instanceof TkaError)) throw cause;
      return this.#set("bootstrap-failed", cause.message);
    }
    if (this.record !== undefined) this.#save({ ...this.record, reach });
    this.#remember(this.#judge.authority, anchor);
    this.#options.log.info(`Tailnet Lock ${stateId} begins here with AUM ${checkpoint.hash}`);
    this.#changed();
    // Always, so that control learns which head we are at.
    await this.#sync(rpc, check);
  }

  /** Whether this is the lock the node is under, or a true secret shows that that one is over. */
  async #continues(rpc: LockRpc, anchor: LockAnchor, check: () => void): Promise<boolean> {
    const { record } = this;
    if (record === undefined) return true;
    if (record.anchor.stateId === anchor.stateId) {
      const known = new Set([...record.keys, ...record.anchor.signers]);
      if (anchor.hash === record.anchor.hash || anchor.signers.some((id) => known.has(id))) return true;
      this.#set("other-lock", `control offers AUM ${anchor.hash}, which no key this node knows has signed`);
      return false;
    }
    if (await this.#provenDisabled(rpc, check)) {
      this.#retire("control showed a disablement secret of it");
      return true;
    }
    this.#set("other-lock", `this node is under lock ${record.anchor.stateId}, and control offers ${anchor.stateId}`);
    return false;
  }

  async #sync(rpc: LockRpc, check: () => void): Promise<void> {
    const { authority } = this;
    if (authority === undefined) return;
    if (isFine(this.#condition)) this.#set("syncing", "");
    const outcome = await syncWithControl(authority, {
      rpc,
      chonk: this.#chonk,
      now: () => this.#now(),
      moved: (next) => this.#moved(next),
      check,
    });
    if (outcome.authority !== this.authority) this.#moved(outcome.authority);
    if (outcome.kind === "synced") {
      this.#confirm();
      this.#compact(outcome.authority);
      return;
    }
    if (outcome.kind === "no-common-history" && await this.#provenDisabled(rpc, check)) {
      this.#retire("control has another lock now and showed a disablement secret of this one");
      return;
    }
    this.#set(outcome.kind, outcome.reason);
  }

  async #disable(rpc: LockRpc, check: () => void): Promise<void> {
    if (await this.#provenDisabled(rpc, check)) this.#retire("control showed a disablement secret of it");
    else this.#set("disable-unproven", "control says the lock is off and shows no disablement secret that verifies");
  }

  /** Control is asked for a disablement secret of the lock this node is under, and it is tried. */
  async #provenDisabled(rpc: LockRpc, check: () => void): Promise<boolean> {
    const { disablementSecret } = await rpc.bootstrap(this.head || this.record?.head || "");
    check();
    if (disablementSecret === undefined) return false;
    const derived = await this.#options.derive(disablementSecret);
    check();
    const remembered = this.record?.disablementValues.flatMap((text) => fromHex(text) ?? []) ?? [];
    return isDisablementValue(this.authority?.state ?? { ...EMPTY_STATE, disablementValues: remembered }, derived);
  }

  #moved(authority: Authority): void {
    this.#judge = new PeerJudge(authority);
    this.#remember(authority);
    this.#options.log.info(`Tailnet Lock: head ${authority.head}`);
    this.#changed();
  }

  /** Control has our head. */
  #confirm(): void {
    const { record, authority } = this;
    if (record === undefined || authority === undefined) return;
    this.#confirmedAt = this.#now();
    if (this.#condition.name !== "pin-mismatch") this.#set("synced", "");
    if (record.confirmedHead === authority.head) return;
    this.#save({ ...record, confirmedHead: authority.head, confirmedAt: this.#confirmedAt });
  }

  /** Nothing behind the last head that control confirmed is forgotten (L16). */
  #compact(authority: Authority): void {
    const keepFrom = parseAumHash(this.record?.confirmedHead ?? "");
    const request = { ...COMPACTION_DEFAULTS, ...(keepFrom !== undefined && { keepFrom }) };
    try {
      this.#judge = new PeerJudge(authority.compact(this.#chonk, request, this.#now()));
    } catch (cause) {
      if (!(cause instanceof TkaError)) throw cause;
      this.#options.log.warn(`the lock's store was not compacted: ${cause.message}`);
    }
  }

  /** The lock is over. The AUMs go first: after a crash in between, the record still asks for a proof. */
  #retire(why: string): void {
    this.#erase();
    this.#chonk.removeAll();
    this.#options.log.warn(`Tailnet Lock ${this.record?.anchor.stateId ?? ""} is off: ${why}`);
    this.#save(undefined);
    this.#judge = undefined;
    this.#damaged = false;
    this.#confirmedAt = 0;
    this.#set("off", "");
    this.#settle();
    this.#changed();
  }
}

function decodeCheckpoint(bytes: Uint8Array): Aum | undefined {
  try {
    const aum = Aum.decode(bytes);
    return aum.state === undefined ? undefined : aum;
  } catch (cause) {
    if (cause instanceof TkaError) return undefined;
    throw cause;
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
