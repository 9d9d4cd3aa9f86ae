/** Who may change the node, besides reading it. */
import { userByName } from "../../ffi/user.ts";
import type { Log } from "../log.ts";

/** Root, whoever runs the daemon, and the operator. A name is looked up and numbers are compared (TS-2026-006). */
export function mayWrite(uid: number, operator: string, log: Log): boolean {
  if (uid === 0 || uid === Deno.uid()) return true;
  if (operator === "") return false;
  try {
    return userByName(operator)?.uid === uid;
  } catch (cause) {
    log.warn(`cannot look up operator ${operator}: ${cause instanceof Error ? cause.message : cause}`);
    return false;
  }
}
