/**
 * One round of synchronizing, for both ends: what a node does with control's answer, and how control answers so that a
 * node of any distance can use it.
 *
 *   node                                         control
 *   syncOffer ───────────── sync/offer ────────▶ offerFor(asker), firstPage(missingAums)
 *   receiveAnswer ◀───────────────────────────── head, ancestors, AUMs
 *     exchange ───────────── sync/send ────────▶ inform
 *   roundOutcome ◀────────────────────────────── head
 *     synced | diverged
 *
 * Upstream's node computes what control lacks before it applies what control sent, and gives up when that fails: nodes
 * more than 1,000 AUMs behind, and nodes with a branch whose beginning they compacted away, stay lost. Ours applies what
 * it was sent - every AUM is verified from a parent it has - and then sends nothing (L16).
 */
import type { Aum } from "./aum.ts";
import type { AumHash } from "./aum_hash.ts";
import type { Authority } from "./authority.ts";
import type { Chonk } from "./chonk.ts";
import { TkaError } from "./errors.ts";
import type { SyncOffer } from "./sync.ts";
import { missingAums, syncOffer } from "./sync.ts";

/** What control's answer to an offer came to. */
export type SyncRound =
  /** Both had the same head before. */
  | { readonly kind: "up-to-date"; readonly authority: Authority }
  /** Send these, which may be none, with the new head. */
  | { readonly kind: "exchange"; readonly authority: Authority; readonly send: readonly Aum[] }
  /** Nothing in common and nothing received: ask for a bootstrap, which may bring the secret that retired this lock. */
  | { readonly kind: "no-common-history"; readonly authority: Authority }
  /** Control sent AUMs that do not verify; nothing was stored. */
  | { readonly kind: "refused"; readonly authority: Authority; readonly error: TkaError };

/** Applies control's answer. Never throws for what control sent. @param received control's missing AUMs for us. */
export function receiveAnswer(
  authority: Authority,
  chonk: Chonk,
  remote: SyncOffer,
  received: readonly Aum[],
  now: number,
): SyncRound {
  if (remote.head === authority.head) return { kind: "up-to-date", authority };
  let send: readonly Aum[] = [];
  try {
    send = missingAums(authority, chonk, remote);
  } catch (error) {
    if (!(error instanceof TkaError)) throw error;
    if (received.length === 0) return { kind: "no-common-history", authority };
  }
  if (received.length === 0) return { kind: "exchange", authority, send };
  try {
    return { kind: "exchange", authority: authority.inform(chonk, received, now), send };
  } catch (error) {
    if (error instanceof TkaError) return { kind: "refused", authority, error };
    throw error;
  }
}

/** Where a round ended. `diverged` is not tried again until control's head or ours is another. */
export type RoundOutcome = "synced" | "diverged";

/** @param controlHead in control's answer to `sync/send`. */
export function roundOutcome(authority: Authority, controlHead: AumHash): RoundOutcome {
  return controlHead === authority.head ? "synced" : "diverged";
}

/**
 * Control's offer, made for its asker: the newest AUM of the asker's that we have stands first, so that its own search
 * ends there at once, however far behind it is and however little it kept.
 */
export function offerFor(authority: Authority, chonk: Chonk, asker: SyncOffer): SyncOffer {
  const own = syncOffer(authority, chonk);
  const common = [asker.head, ...asker.ancestors].find((hash) => chonk.aum(hash) !== undefined);
  if (common === undefined) return own;
  return { head: own.head, ancestors: [common, ...own.ancestors.filter((hash) => hash !== common)] };
}

/** Bytes of AUMs' base64 in one answer: stock clients read 10 MiB, and the rest of the JSON is small. */
export const PAGE_BYTES = 8 * 1024 * 1024;

/** The first AUMs that fit into one answer, at least one; a later round brings the rest. @param aums parents first. */
export function firstPage(aums: readonly Aum[], maxBytes = PAGE_BYTES): readonly Aum[] {
  let bytes = 0;
  for (const [i, aum] of aums.entries()) {
    bytes += Math.ceil(aum.bytes.length / 3) * 4 + 3; // base64, quotes, comma
    if (bytes > maxBytes && i > 0) return aums.slice(0, i);
  }
  return aums;
}
