/**
 * Tailnet Lock of this node: what it has of the lock, kept in step with control, and the filter every netmap passes.
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
 *   local_lock.ts     what the node has and remembers     exchange_task.ts   what a netmap calls for
 *   peer_filter.ts    who passes                          exchange_loop.ts   when it is done
 */
import type { Scheduler } from "../../base/clock.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { LockRpc } from "../../control/client/lock_rpc.ts";
import type { Netmap } from "../../control/client/netmap.ts";
import type { ControlApi } from "../../control/client/types.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import type { Authority } from "../../tka/authority.ts";
import type { CompactableChonk } from "../../tka/chonk.ts";
import type { DeriveDisablement } from "../../tka/kdf.ts";
import { verifyByKey } from "../../tka/signature.ts";
import type { VerifySignature } from "../../tka/signature.ts";
import type { LockFilter, LockVerdict } from "../lock_filter.ts";
import type { Log } from "../log.ts";
import type { Persist } from "../persist.ts";
import type { StateStore } from "../state_file.ts";
import type { Condition } from "./condition.ts";
import { goalOf } from "./exchange.ts";
import { ExchangeLoop } from "./exchange_loop.ts";
import type { Task } from "./exchange_loop.ts";
import { exchangeFailed, exchangeTask } from "./exchange_task.ts";
import { judgeNode } from "./judge.ts";
import type { RejectedPeer } from "./judge.ts";
import { LocalLock } from "./local_lock.ts";
import { PeerFilter } from "./peer_filter.ts";
import type { LockPolicy } from "./policy.ts";
import type { LockRecord } from "./record.ts";
import type { LockStores } from "./stores.ts";
import type { UnknownSigner } from "./unknown_signers.ts";

/** What a lock is made of. */
export interface TailnetLockOptions {
  readonly store: StateStore;
  readonly stores: LockStores;
  readonly derive: DeriveDisablement;
  /** Of AUMs, as `Authority` takes it. */
  readonly verify?: VerifySignature;
  readonly capabilityVersion: number;
  /** Keys of the current profile. */
  readonly persist: () => Persist | undefined;
  /** Whether this is the ID of a login the machine still has. */
  readonly isProfile: (profileId: string) => boolean;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly log: Log;
}

/** The lock. One for the life of the daemon; `bind` and `connect` follow profile and session. */
export class TailnetLock implements LockFilter {
  readonly #options: TailnetLockOptions;
  readonly #local: LocalLock;
  readonly #filter: PeerFilter;
  readonly #loop: ExchangeLoop;
  #changed: () => void = () => {};
  #bound = false;
  #api: Pick<ControlApi, "request"> | undefined;
  #netmap: Netmap | undefined;

  /** @throws StateFileError when what is remembered of a lock is damaged. */
  constructor(options: TailnetLockOptions) {
    this.#options = options;
    const { store, stores, isProfile, scheduler, random, log, verify = verifyByKey } = options;
    const changed = () => this.#changed();
    const now = () => scheduler.wall();
    this.#local = new LocalLock({ store, stores, isProfile, now, log, verify, changed });
    this.#filter = new PeerFilter(this.#local, now);
    this.#loop = new ExchangeLoop({
      scheduler,
      random,
      next: () => this.#next(),
      failed: (cause) => exchangeFailed(cause, this.#local, log),
      changed,
    });
  }

  /** Calls back after every change of what the filter would say, or of the condition. */
  onChange(changed: () => void): void {
    this.#changed = changed;
  }

  get authority(): Authority | undefined {
    return this.#local.authority;
  }
  get chonk(): CompactableChonk {
    return this.#local.chonk;
  }
  get condition(): Condition {
    return this.#local.condition;
  }
  get policy(): LockPolicy {
    return this.#local.policy;
  }
  get record(): LockRecord | undefined {
    return this.#local.record;
  }
  /** When control last named our head as its own, Unix ms; 0 for never. */
  get confirmedAt(): number {
    return this.#local.confirmedAt;
  }
  /** AUMs are in memory only, although there is a lock. */
  get inMemory(): boolean {
    return this.authority !== undefined && !this.#options.stores.durable;
  }
  /** Peers the last netmap had that the lock keeps out. */
  get rejected(): readonly RejectedPeer[] {
    return this.#filter.rejected;
  }
  /** Keys that signed peers of the last netmap, and that our chain never trusted (L7). */
  get unknownSigners(): readonly UnknownSigner[] {
    return this.#filter.unknownSigners;
  }
  get derive(): DeriveDisablement {
    return this.#options.derive;
  }
  get head(): string {
    return this.authority?.head ?? "";
  }
  /** Whether the operator switched this very lock off here, whoever offers it now. */
  get disabledHere(): boolean {
    return this.#local.disabledHere !== undefined;
  }

  /** The calls to control for the node's key. @throws Error when there is no session or no key. */
  rpc(): LockRpc {
    const nodeKey = this.#options.persist()?.nodeKey?.public;
    if (this.#api === undefined || nodeKey === undefined) throw new Error("no node-key: is tailscale logged in?");
    return new LockRpc(this.#api, nodeKey, this.#options.capabilityVersion);
  }

  /** Follows the profile and the control server; opens the store. A profile's lock is not left for another's by itself. */
  bind(profileId: string, controlUrl: string): void {
    const local = this.#local;
    const id = local.profileOf(profileId, controlUrl);
    if (this.#bound && id === local.profileId && controlUrl === local.controlUrl) return;
    this.#loop.overtake();
    this.#bound = true;
    this.#netmap = undefined;
    local.bind(id, controlUrl);
    this.#changed();
  }

  /** A session began, or with undefined ended. */
  connect(api: Pick<ControlApi, "request"> | undefined): void {
    this.#loop.overtake();
    this.#api = api;
    this.#hear(undefined);
    this.#loop.tryAgain();
  }

  /** A netmap came; before it is filtered. */
  gotNetmap(netmap: Netmap, profileId: string): void {
    // A fresh node gets its profile with its first netmap; what control says later moves nobody to another profile.
    if (this.#local.profileId === "" && profileId !== "") this.bind(profileId, this.#local.controlUrl);
    this.#hear(netmap);
    if (netmap.tkaEnabled && this.head !== "" && netmap.tkaInfo?.Head === this.head) this.#local.confirm();
    else if (goalOf(this.#local, netmap) === undefined) this.#local.settle();
    this.#loop.wake();
  }

  #hear(netmap: Netmap | undefined): void {
    this.#netmap = netmap;
    this.#local.controlSaysOn = netmap?.tkaEnabled === true;
  }

  /** Forgets what was given up, and tries at once. */
  tryAgain(): void {
    if (this.#bound) this.#local.reopen();
    this.#loop.tryAgain();
    this.#changed();
  }

  /** The operator's demands. @throws StateFileError when they could not be stored; they are in force all the same. */
  setPolicy(policy: LockPolicy): void {
    try {
      this.#local.setPolicy(policy);
    } finally {
      this.#loop.tryAgain();
      this.#changed();
    }
  }

  filter(netmap: Netmap): LockVerdict {
    return this.#filter.filter(netmap);
  }

  /** What an operator should know; "" when all is well. Judges nobody, so it costs nothing. */
  problem(netmap: Netmap | undefined): string {
    return this.#filter.problem(netmap);
  }

  /** Whether the lock accepts this node itself; true without a lock. */
  selfSigned(self: Node | undefined): boolean {
    const { authority } = this;
    return authority === undefined || self === undefined || judgeNode(authority, self).ok;
  }

  /**
   * Drops the lock on this node. Its state ID is remembered by the caller, so that it does not come back.
   * @throws LockStoreError
   */
  dropLocally(): void {
    this.#local.retire("the operator switched it off on this node");
    this.#loop.tryAgain();
  }

  /** Another profile is deleted. @throws StateFileError, LockStoreError */
  forgetProfile(profileId: string): void {
    this.#local.forgetProfile(profileId);
  }

  /**
   * Drops what this node has of the lock and takes it from control again, as a new node would: for a control server that
   * lost AUMs this node has, when the operator believes it nevertheless. Nobody passes in between.
   * @throws LockStoreError
   */
  refetch(): void {
    this.#local.retire("the operator wants it from control again");
    this.#loop.tryAgain();
  }

  /** The profile is deleted, keys and all. */
  forget(): void {
    this.#loop.overtake();
    this.#local.forget();
    this.#bound = false;
    this.#netmap = undefined;
  }

  /** Resolves when no exchange with control is under way. */
  idle(): Promise<void> {
    return this.#loop.idle();
  }

  /** No timer is left behind. */
  close(): void {
    this.#loop.close();
    this.#api = undefined;
  }

  #next(): Task | undefined {
    if (this.#netmap === undefined || this.#api === undefined) return undefined;
    const { derive, persist, scheduler } = this.#options;
    return exchangeTask(this.#netmap, {
      lock: this.#local,
      derive,
      now: () => scheduler.wall(),
      rpc: () => this.rpc(),
      disallowed: () => persist()?.disallowedTkaStateIds ?? [],
    });
  }
}
