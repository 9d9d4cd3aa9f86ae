/**
 * One exchange with control about the lock, of the kind the netmap calls for.
 *
 *   control says   we have        goal
 *   on             no authority   bootstrap: a checkpoint to begin with, if this lock may be ours; then sync
 *   on             another head   sync; without common history, bootstrap of another lock if ours is proven to be over
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
import type { ConditionName } from "./condition.ts";
import { PROVEN } from "./local_lock.ts";
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

/** What control has to begin with, and where the lock would begin here. */
interface Offered extends LockAnchor {
  readonly checkpoint: Aum;
}

/** The lock this node is under, beside one that is offered: "over" when control proved that, "stands" when it did not. */
type Ours = "none" | "same" | "over" | "stands";

/** An exchange; what came of it is the lock's condition. All @throws ControlError, KdfBusy, LockStoreError, what `check` throws. */
export class Exchange {
  readonly #ports: ExchangePorts;

  constructor(ports: ExchangePorts) {
    this.#ports = ports;
  }

  async run(goal: Goal, netmap: Netmap): Promise<void> {
    if (goal === "bootstrap") await this.#bootstrap(netmap);
    else if (goal === "sync") await this.#sync(netmap);
    else await this.#disable();
  }

  async #bootstrap(netmap: Netmap): Promise<void> {
    const { lock } = this.#ports;
    const offered = await this.#offered();
    if (typeof offered === "string") {
      return lock.set("bootstrap-failed", `control says the lock is on and gave ${offered} to begin with`);
    }
    const ours = await this.#ours(offered);
    if (ours === "stands") {
      const reason = lock.record?.anchor.stateId === offered.stateId
        ? `control offers AUM ${offered.hash}, which no key this node knows has signed`
        : `this node is under lock ${lock.record?.anchor.stateId}, and control offers ${offered.stateId}`;
      return lock.set("other-lock", reason);
    }
    await this.#begin(offered, ours, netmap);
  }

  /** What control has to begin with, or in words what it has instead. */
  async #offered(): Promise<Offered | string> {
    const { rpc, check } = this.#ports;
    const { genesis } = await rpc.bootstrap("");
    check();
    const checkpoint = genesis === undefined ? undefined : decodeCheckpoint(genesis);
    if (checkpoint === undefined) return genesis === undefined ? "no AUM" : "something that is no checkpoint";
    const stateId = stateIdText(checkpoint.state ?? EMPTY_STATE);
    return { checkpoint, hash: checkpoint.hash, signers: signerIds(checkpoint.signatures), stateId };
  }

  /** How the lock this node is under stands to the one that is offered. */
  async #ours({ hash, signers, stateId }: Offered): Promise<Ours> {
    const { record } = this.#ports.lock;
    if (record === undefined) return "none";
    if (record.anchor.stateId !== stateId) return await this.#provenDisabled() ? "over" : "stands";
    const known = new Set([...record.keys, ...record.anchor.signers]);
    return hash === record.anchor.hash || signers.some((id) => known.has(id)) ? "same" : "stands";
  }

  /** Comes under the lock that is offered, unless the operator said otherwise. */
  async #begin({ checkpoint, ...anchor }: Offered, ours: Exclude<Ours, "stands">, netmap: Netmap): Promise<void> {
    const { lock, disallowed } = this.#ports;
    const refuse = (name: ConditionName, reason: string) => {
      if (ours === "over") lock.retire(PROVEN);
      lock.set(name, reason);
    };
    lock.disabledHere = undefined;
    if (ours !== "same" && disallowed.includes(anchor.stateId)) {
      refuse("disabled-here", `lock ${anchor.stateId} was switched off on this node`);
      lock.disabledHere = netmap.tkaInfo?.Head ?? "";
      return;
    }
    const pin = pinProblem(lock.policy, anchor);
    if (pin !== undefined) return refuse("pin-mismatch", pin);
    try {
      lock.adopt(checkpoint, anchor);
    } catch (cause) {
      if (!(cause instanceof TkaError)) throw cause;
      return refuse("bootstrap-failed", cause.message);
    }
    // Always, so that control learns which head we are at.
    await this.#sync(undefined);
  }

  /** @param netmap undefined right behind a bootstrap: there is no other lock to look for. */
  async #sync(netmap: Netmap | undefined): Promise<void> {
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
    if (outcome.kind === "no-common-history" && netmap !== undefined) {
      const offered = await this.#offered();
      const other = typeof offered !== "string" && offered.stateId !== lock.record?.anchor.stateId;
      if (other && await this.#ours(offered) === "over") return await this.#begin(offered, "over", netmap);
    }
    lock.set(outcome.kind, outcome.reason);
  }

  async #disable(): Promise<void> {
    const { lock } = this.#ports;
    if (await this.#provenDisabled()) lock.retire(PROVEN);
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
