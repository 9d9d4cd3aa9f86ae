/**
 * One exchange with control about the lock, of the kind the netmap calls for.
 *
 *   control says   we have        goal
 *   on             no authority   bootstrap: a checkpoint to begin with, if this lock may be ours; then sync
 *   on             another head   sync
 *   off            a lock         disable: a disablement secret that verifies, or nothing changes
 *
 * Source: ipnlocal.tkaSyncIfNeeded, tkaApplyDisablementLocked, tkaBootstrapFromGenesisLocked.
 */
import { fromHex } from "../../base/bytes.ts";
import type { LockRpc } from "../../control/client/lock_rpc.ts";
import type { Netmap } from "../../control/client/netmap.ts";
import { Aum } from "../../tka/aum.ts";
import { isDisablementValue } from "../../tka/disablement.ts";
import { TkaError } from "../../tka/errors.ts";
import type { DeriveDisablement } from "../../tka/kdf.ts";
import { EMPTY_STATE, stateIdText } from "../../tka/state.ts";
import { isFine } from "./condition.ts";
import type { LocalLock } from "./local_lock.ts";
import { pinProblem, signerIds } from "./policy.ts";
import type { LockAnchor } from "./policy.ts";
import { syncWithControl } from "./sync.ts";

/** What is to be done with control next. */
export type Goal = "bootstrap" | "sync" | "disable";

/** What this netmap calls for; undefined for nothing. */
export function goalOf(lock: LocalLock, netmap: Netmap): Goal | undefined {
  if (lock.damaged) return undefined;
  if (!netmap.tkaEnabled) return lock.authority !== undefined || lock.record !== undefined ? "disable" : undefined;
  if (lock.authority === undefined) {
    return lock.disabledHere === undefined || lock.disabledHere !== netmap.tkaInfo?.Head ? "bootstrap" : undefined;
  }
  return lock.authority.head === netmap.tkaInfo?.Head ? undefined : "sync";
}

/** What an exchange needs. */
export interface ExchangePorts {
  readonly lock: LocalLock;
  readonly rpc: LockRpc;
  readonly derive: DeriveDisablement;
  /** State IDs of locks the operator switched off on this node. */
  readonly disallowed: readonly string[];
  /** Unix milliseconds. */
  readonly now: () => number;
  /** Called after each wait. @throws when the exchange is no longer wanted. */
  readonly check: () => void;
}

/** An exchange; what came of it is the lock's condition. All @throws ControlError, KdfBusy, LockStoreError, what `check` throws. */
export class Exchange {
  readonly #ports: ExchangePorts;

  constructor(ports: ExchangePorts) {
    this.#ports = ports;
  }

  async run(goal: Goal, netmap: Netmap): Promise<void> {
    if (goal === "bootstrap") await this.#bootstrap(netmap);
    else if (goal === "sync") await this.#sync();
    else await this.#disable();
  }

  async #bootstrap(netmap: Netmap): Promise<void> {
    const { lock, rpc, check, disallowed } = this.#ports;
    const { genesis } = await rpc.bootstrap("");
    check();
    const checkpoint = genesis === undefined ? undefined : decodeCheckpoint(genesis);
    if (checkpoint === undefined) {
      const seen = genesis === undefined ? "no AUM" : "something that is no checkpoint";
      return lock.set("bootstrap-failed", `control says the lock is on and gave ${seen} to begin with`);
    }
    const stateId = stateIdText(checkpoint.state ?? EMPTY_STATE);
    if (lock.record === undefined && disallowed.includes(stateId)) {
      lock.disabledHere = netmap.tkaInfo?.Head ?? "";
      return lock.set("disabled-here", `lock ${stateId} was switched off on this node`);
    }
    lock.disabledHere = undefined;
    const anchor = { hash: checkpoint.hash, signers: signerIds(checkpoint.signatures), stateId };
    if (!await this.#continues(anchor)) return;
    const pin = pinProblem(lock.policy, anchor);
    if (pin !== undefined) return lock.set("pin-mismatch", pin);
    try {
      lock.adopt(checkpoint, anchor);
    } catch (cause) {
      if (!(cause instanceof TkaError)) throw cause;
      return lock.set("bootstrap-failed", cause.message);
    }
    // Always, so that control learns which head we are at.
    await this.#sync();
  }

  /** Whether this is the lock the node is under, or a true secret shows that that one is over. */
  async #continues(anchor: LockAnchor): Promise<boolean> {
    const { lock } = this.#ports;
    const { record } = lock;
    if (record === undefined) return true;
    if (record.anchor.stateId === anchor.stateId) {
      const known = new Set([...record.keys, ...record.anchor.signers]);
      if (anchor.hash === record.anchor.hash || anchor.signers.some((id) => known.has(id))) return true;
      lock.set("other-lock", `control offers AUM ${anchor.hash}, which no key this node knows has signed`);
      return false;
    }
    if (await this.#provenDisabled()) {
      lock.retire("control showed a disablement secret of it");
      return true;
    }
    lock.set("other-lock", `this node is under lock ${record.anchor.stateId}, and control offers ${anchor.stateId}`);
    return false;
  }

  async #sync(): Promise<void> {
    const { lock, rpc, now, check } = this.#ports;
    const { authority } = lock;
    if (authority === undefined) return;
    if (isFine(lock.condition)) lock.set("syncing", "");
    const moved = lock.moved.bind(lock);
    const outcome = await syncWithControl(authority, { rpc, chonk: lock.chonk, now, moved, check });
    if (outcome.authority !== lock.authority) lock.moved(outcome.authority);
    if (outcome.kind === "synced") {
      lock.confirm();
      lock.compact(outcome.authority);
      return;
    }
    if (outcome.kind === "no-common-history" && await this.#provenDisabled()) {
      return lock.retire("control has another lock now and showed a disablement secret of this one");
    }
    lock.set(outcome.kind, outcome.reason);
  }

  async #disable(): Promise<void> {
    const { lock } = this.#ports;
    if (await this.#provenDisabled()) lock.retire("control showed a disablement secret of it");
    else lock.set("disable-unproven", "control says the lock is off and shows no disablement secret that verifies");
  }

  /** Control is asked for a disablement secret of the lock this node is under, and it is tried. */
  async #provenDisabled(): Promise<boolean> {
    const { lock, rpc, derive, check } = this.#ports;
    const { disablementSecret } = await rpc.bootstrap(lock.authority?.head ?? lock.record?.head ?? "");
    check();
    if (disablementSecret === undefined) return false;
    const derived = await derive(disablementSecret);
    check();
    const remembered = lock.record?.disablementValues.flatMap((text) => fromHex(text) ?? []) ?? [];
    return isDisablementValue(lock.authority?.state ?? { ...EMPTY_STATE, disablementValues: remembered }, derived);
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
