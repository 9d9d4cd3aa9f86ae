/** The exchange a netmap calls for, as `exchange_loop.ts` runs it, and the name of what went wrong with one. */
import { ControlError } from "../../control/client/errors.ts";
import type { LockRpc } from "../../control/client/lock_rpc.ts";
import type { Netmap } from "../../control/client/netmap.ts";
import type { Log } from "../log.ts";
import type { ConditionName } from "./condition.ts";
import { Exchange, goalOf } from "./exchange.ts";
import type { ExchangePorts } from "./exchange.ts";
import type { Task } from "./exchange_loop.ts";
import { KdfBusy } from "./kdf_limit.ts";
import type { LocalLock } from "./local_lock.ts";
import { LockStoreError } from "./store_files.ts";

/** Answers of control that it may correct without saying so. */
const MAY_MEND: ReadonlySet<ConditionName> = new Set(["bootstrap-failed", "disable-unproven", "other-lock"]);

/** What an exchange needs, the part that changes asked for when it begins. */
export interface TaskPorts extends Pick<ExchangePorts, "lock" | "derive" | "now"> {
  readonly rpc: () => LockRpc;
  readonly disallowed: () => readonly string[];
}

/** Undefined when the netmap calls for nothing. */
export function exchangeTask(netmap: Netmap, ports: TaskPorts): Task | undefined {
  const { lock } = ports;
  const goal = goalOf(lock, netmap);
  if (goal === undefined) return undefined;
  const head = () => lock.authority?.head ?? "";
  return {
    situation: () => JSON.stringify([goal, netmap.tkaInfo?.Head ?? "", netmap.tkaEnabled, head()]),
    run: async (check) => {
      await new Exchange({ ...ports, disallowed: ports.disallowed(), rpc: ports.rpc(), check }).run(goal, netmap);
      return MAY_MEND.has(lock.condition.name) ? "mendable" : "settled";
    },
  };
}

/** Makes what an exchange failed of the lock's condition. Returns milliseconds to wait at least. */
export function exchangeFailed(cause: unknown, lock: LocalLock, log: Log): number {
  const message = cause instanceof Error ? cause.message : String(cause);
  if (cause instanceof LockStoreError) lock.set("store-failed", message);
  else {
    if (!(cause instanceof ControlError || cause instanceof KdfBusy)) {
      log.error(`the lock: ${cause instanceof Error ? cause.stack : cause}`);
    }
    const answered = cause instanceof ControlError && cause.status !== undefined;
    lock.set(answered ? "refused" : "unreachable", message);
  }
  return cause instanceof ControlError ? cause.retryAfterMs ?? 0 : 0;
}
