/**
 * The rule by which a node fails closed (L3, L5): when nobody passes, and why. Pure, and asked for every netmap.
 *
 *   AUMs on disk damaged, or not the pinned lock          closed
 *   an authority, and all AUMs back that were lost        judged by it
 *   no authority, but the node is under lock              closed
 *   no authority, and the operator demands a lock         closed
 *   no authority, and control says the lock is on         closed, unless the operator switched this very lock off here
 *   else                                                  open: there is no lock
 */
import { conditionText } from "./condition.ts";
import type { Condition, ConditionName } from "./condition.ts";
import { demandsLock, pinProblem } from "./policy.ts";
import type { LockPolicy } from "./policy.ts";
import type { LockRecord } from "./record.ts";

/** All that the rule depends on. */
export interface LockFacts {
  readonly condition: Condition;
  /** The store cannot be believed. */
  readonly damaged: boolean;
  readonly policy: LockPolicy;
  /** The lock this node is under. */
  readonly record: LockRecord | undefined;
  /** There is an authority to judge peers by. */
  readonly judged: boolean;
  /** The operator switched the lock off here that control offers. */
  readonly disabledHere: boolean;
  readonly controlSaysOn: boolean;
}

/** Conditions that do not say why nobody passes. */
const SILENT: ReadonlySet<ConditionName> = new Set(["off", "syncing", "not-compared", "synced", "disabled-here"]);

/** Why nobody may pass; undefined when peers are judged, or there is no lock. @param now Unix milliseconds. */
export function closedBecause(facts: LockFacts, now: number): Condition | undefined {
  const { condition, policy, record } = facts;
  const because = (name: ConditionName, reason: string): Condition =>
    condition.name === name ? condition : { name, reason, since: now };
  const unlessSaid = (name: ConditionName, reason: string): Condition =>
    SILENT.has(condition.name) ? because(name, reason) : condition;
  if (facts.damaged) return condition;
  const pin = record === undefined ? undefined : pinProblem(policy, record.anchor);
  if (pin !== undefined) return because("pin-mismatch", pin);
  if (facts.judged) {
    if (record === undefined || record.reach === "") return undefined;
    return because("store-missing", `control has not handed out the AUMs up to ${record.reach} again`);
  }
  if (record !== undefined) return unlessSaid("store-missing", "the AUMs of this node's lock are not here");
  if (demandsLock(policy)) {
    return unlessSaid("required", "this node is told to require Tailnet Lock, and knows none");
  }
  if (!facts.controlSaysOn || facts.disabledHere) return undefined;
  return unlessSaid("bootstrap-failed", "Tailnet Lock is enabled in this tailnet, and control has not shown it yet");
}

/** For health. */
export function closedText(condition: Condition): string {
  return `${conditionText(condition)} All peers are kept out.`;
}
