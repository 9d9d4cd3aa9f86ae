/**
 * One synchronization with control, as a client.
 *
 *   us ── offer: our head and ancestors ──▶ control
 *   us ◀─ its head and ancestors, AUMs we may lack ──
 *        what control lacks is worked out, then what it sent is verified and applied
 *   us ── send: our head now, AUMs it lacks ──▶ control ── its head now ──▶ equal: synced
 *
 * Upstream gives the whole exchange up when it cannot work out what control lacks, which leaves a node that is far behind
 * behind for ever. Here what control sent is applied all the same: each AUM is verified from a parent we have, so nothing
 * is believed that would not have been otherwise. Source: ipnlocal.tkaSyncLocked.
 */
import type { LockRpc } from "../../control/client/lock_rpc.ts";
import { Aum } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { parseAumHash } from "../../tka/aum_hash.ts";
import type { Authority } from "../../tka/authority.ts";
import type { Chonk } from "../../tka/chonk.ts";
import { TkaError } from "../../tka/errors.ts";
import { missingAums, syncOffer } from "../../tka/sync.ts";
import type { SyncOffer } from "../../tka/sync.ts";

/** How it ended; RPC and store errors are thrown. `authority` is the newest in any case. */
export type SyncOutcome =
  /** Control has our head. */
  | { readonly kind: "synced"; readonly authority: Authority }
  | {
    readonly kind: "diverged" | "no-common-history" | "bad-updates";
    readonly authority: Authority;
    readonly reason: string;
  };

export interface SyncContext {
  readonly rpc: Pick<LockRpc, "offer" | "send">;
  readonly chonk: Chonk;
  readonly now: () => number;
  /** Called whenever the authority moved. */
  readonly moved: (authority: Authority) => void;
  /** Called after each wait. @throws when the exchange is no longer wanted. */
  readonly check: () => void;
}

/** Control may hand out a long chain in pages; a server that never comes to an end is left. */
const MAX_ROUNDS = 1000;

/** Synchronizes. @throws ControlError, LockStoreError, whatever `check` throws. */
export async function syncWithControl(start: Authority, context: SyncContext): Promise<SyncOutcome> {
  let authority = start;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const before = authority.head;
    const outcome = await exchange(authority, context);
    authority = outcome.authority;
    // A page was applied, and there may be more: the head moved and is not yet control's.
    if (outcome.kind !== "diverged" || authority.head === before) return outcome;
  }
  return { kind: "diverged", authority, reason: `control still had AUMs after ${MAX_ROUNDS} exchanges` };
}

async function exchange(authority: Authority, context: SyncContext): Promise<SyncOutcome> {
  const { rpc, chonk } = context;
  const ours = syncOffer(authority, chonk);
  const answer = await rpc.offer(ours.head, ours.ancestors);
  context.check();
  const theirs = parseOffer(answer.head, answer.ancestors);
  if (theirs === undefined) return { kind: "bad-updates", authority, reason: "control's offer holds no AUM hashes" };
  if (theirs.head === ours.head) return { kind: "synced", authority };

  // Before anything is applied, so that AUMs of ours that lose a fork are sent too.
  const toSend = lackingAt(authority, chonk, theirs);
  if (answer.missing.length === 0 && toSend === undefined) {
    return {
      kind: "no-common-history",
      authority,
      reason: `control's head is ${theirs.head}, ours is ${ours.head}, and no AUM is known to both`,
    };
  }
  let next = authority;
  if (answer.missing.length > 0) {
    try {
      const updates = parentsFirst(answer.missing.map((bytes) => Aum.decode(bytes)));
      next = authority.inform(chonk, updates, context.now());
    } catch (cause) {
      if (!(cause instanceof TkaError)) throw cause;
      const unknown = cause.code === "missing-aum" && toSend === undefined;
      return { kind: unknown ? "no-common-history" : "bad-updates", authority, reason: cause.message };
    }
    if (next.head !== authority.head) context.moved(next);
  }
  const head = await rpc.send(next.head, (toSend ?? []).map((aum) => aum.bytes), false);
  context.check();
  if (head === next.head) return { kind: "synced", authority: next };
  const unsent = toSend === undefined ? "; AUMs of ours could not be sent, as control's chain does not show where" : "";
  const reason = `after the exchange our head is ${next.head} and control's is ${parseAumHash(head) ?? "unreadable"}`;
  return { kind: "diverged", authority: next, reason: `${reason}${unsent}` };
}

function parseOffer(head: string, ancestors: readonly string[]): SyncOffer | undefined {
  const parsed = [head, ...ancestors].map(parseAumHash);
  return parsed.includes(undefined) ? undefined : { head: parsed[0]!, ancestors: parsed.slice(1) as AumHash[] };
}

/** What control lacks; undefined when it cannot be told. */
function lackingAt(authority: Authority, chonk: Chonk, theirs: SyncOffer): Aum[] | undefined {
  try {
    return missingAums(authority, chonk, theirs);
  } catch (cause) {
    if (cause instanceof TkaError) return undefined;
    throw cause;
  }
}

/** The same AUMs with every parent before its children, whatever order they came in. */
export function parentsFirst(aums: readonly Aum[]): Aum[] {
  const waiting = new Map(aums.map((aum) => [aum.hash, aum]));
  const ordered: Aum[] = [];
  for (const aum of aums) {
    const path: Aum[] = [];
    for (let at: Aum | undefined = waiting.get(aum.hash); at !== undefined;) {
      path.push(at);
      waiting.delete(at.hash);
      at = at.parent === undefined ? undefined : waiting.get(at.parent);
    }
    ordered.push(...path.reverse());
  }
  return ordered;
}
