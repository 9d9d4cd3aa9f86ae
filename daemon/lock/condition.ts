/**
 * How it stands with the lock, by name. Whatever is not as it should be has a since, a reason and a remedy, shown by
 * `lock status`, `lock doctor` and health: nothing is tried again and again without a word.
 */
import { MAX_KEYS, WARN_KEYS } from "../../tka/limits.ts";

/** Stable names; texts may change, these may not. */
export type ConditionName =
  /** Control says there is no lock, and there never was one here. */
  | "off"
  /** Control has our head. */
  | "synced"
  /** An exchange with control is under way. */
  | "syncing"
  /** Not compared with control since the start. */
  | "not-compared"
  /** The operator switched this lock off on this node. */
  | "disabled-here"
  /** The operator demands a lock, and there is none. */
  | "required"
  /** Control gave no AUM to begin with, or one that cannot be used. */
  | "bootstrap-failed"
  /** The lock is not the pinned one. */
  | "pin-mismatch"
  /** Control offers another lock than the one this node is under. */
  | "other-lock"
  /** Control says the lock is off, and shows no disablement secret that proves it. */
  | "disable-unproven"
  /** Control could not be asked. */
  | "unreachable"
  /** Control answered with an error. */
  | "refused"
  /** Control sent AUMs that do not verify. */
  | "bad-updates"
  /** Both sides have AUMs the other does not take. */
  | "diverged"
  /** No AUM is known to both sides. */
  | "no-common-history"
  /** The AUMs on disk cannot be believed. */
  | "store-damaged"
  /** The AUMs on disk are gone. */
  | "store-missing"
  /** AUMs cannot be written to disk. */
  | "store-failed";

export interface Condition {
  readonly name: ConditionName;
  /** Unix milliseconds. */
  readonly since: number;
  /** What was seen, one sentence without a full stop; "" when nothing is wrong. */
  readonly reason: string;
}

const REMEDIES: Readonly<Partial<Record<ConditionName, string>>> = {
  "required": "enable Tailnet Lock in the tailnet, or run `agent set --lock-required=false --lock-pin=`",
  "bootstrap-failed": "ask the operator of the control server; `agent lock doctor --retry` tries again",
  "pin-mismatch": "compare the pin with `agent lock log` on a signing node; `agent set --lock-pin=…` changes it",
  "other-lock": "if the tailnet's lock was really made anew, run `agent lock local-disable`, and this node takes the " +
    "new one; if not, distrust the control server",
  "disable-unproven": "if the lock was really disabled, run `agent lock local-disable`; if not, distrust the " +
    "control server",
  "unreachable": "none needed: it is tried again by itself",
  "refused":
    "it is tried again by itself; when the reason stays, ask the operator of the control server. A server of " +
    "Tailscale's code cannot serve a node that is 2,000 changes behind",
  "bad-updates": "compare `agent lock log` with a signing node; the control server sends what no trusted key signed. " +
    "Once that is mended, `agent lock doctor --retry`",
  "diverged":
    "control follows another branch: on a signing node compare `agent lock log` with that of this node, and do " +
    "again with `agent lock add`, `remove` or `sign` what is lost of it, then `agent lock doctor --retry`",
  "no-common-history": "if the lock was made anew since, run `agent lock local-disable`, and this node takes the new " +
    "one; if the control server lost what this node has, and you believe it nevertheless, `agent lock doctor --refetch`",
  "store-damaged": "restore the named file from a copy, or move the directory away and restart: the AUMs are then " +
    "fetched again and checked against what this node remembers",
  "store-missing":
    "none needed once control answers: the AUMs are fetched again; if the control server lost some for " +
    "good, and you believe it nevertheless, `agent lock doctor --refetch`",
  "store-failed": "free space or fix the permissions of the state directory, then `agent lock doctor --retry`",
};

/** What to do about it, "" when nothing is wrong. */
export function remedyOf(name: ConditionName): string {
  return REMEDIES[name] ?? "";
}

const FINE: ReadonlySet<ConditionName> = new Set(["off", "synced", "syncing", "not-compared", "disabled-here"]);

/** Nothing for an operator to do. */
export function isFine({ name }: Condition): boolean {
  return FINE.has(name);
}

/** For health and `lock status`. */
export function conditionText(condition: Condition): string {
  if (isFine(condition)) return "";
  const remedy = remedyOf(condition.name);
  return `Tailnet Lock: ${condition.name}: ${condition.reason}.${remedy === "" ? "" : ` What to do: ${remedy}.`}`;
}

/** What an operator should know of the number of trusted keys; "" while there is room. */
export function keysText(keys: number): string {
  if (keys < WARN_KEYS) return "";
  return `Tailnet Lock: ${keys} of ${MAX_KEYS} keys are trusted. What to do: on a signing node run \`agent lock prune\`.`;
}
