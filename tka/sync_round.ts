/**
 * How control answers a sync offer so that a node of any distance can use it.
 *
 *   node                                         control
 *   syncOffer ───────────── sync/offer ────────▶ offerFor(asker), firstPage(missingAums)
 *   missingAums, inform ◀─────────────────────── head, ancestors, AUMs
 *     └──────────────────── sync/send ─────────▶ inform
 *
 * A stock node computes what control lacks before it applies what control sent, and gives up when that fails: nodes
 * more than 1,000 AUMs behind stay lost. An ancestor that is the node's own newest common AUM ends its search at once
 * (L16).
 */
import type { Aum } from "./aum.ts";
import type { Authority } from "./authority.ts";
import type { Chonk } from "./chonk.ts";
import type { SyncOffer } from "./sync.ts";
import { syncOffer } from "./sync.ts";

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
