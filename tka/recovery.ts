/**
 * Taking trust back from a stolen signing key as of before the theft (L9).
 *
 *   o──o──P──x──x──x   x signed with the stolen key
 *          └─R         R is a checkpoint without the key, signed by enough others
 *
 * R wins the fork at P if the votes of its signers are more than those of the stolen keys: `revoke`, then `cosign` on
 * other machines, then submit. Source: tka.MakeRetroactiveRevocation, ipnlocal.TailnetLockCosignRecoveryAUM.
 *
 * R has the keys of the head, less the stolen ones. A thief who has removed the others leaves none of them there, and R
 * could not be made; ours can be told which to keep, as they were at P.
 */
import { toHex } from "../base/bytes.ts";
import type { Aum, AumSigner } from "./aum.ts";
import { aumAfter, validateAum } from "./aum.ts";
import type { AumHash } from "./aum_hash.ts";
import { AUM_KIND } from "./aum_kind.ts";
import type { Authority } from "./authority.ts";
import type { Chonk } from "./chonk.ts";
import { TkaError } from "./errors.ts";
import type { Key } from "./key.ts";
import { keyId, sameBytes } from "./key.ts";
import type { State } from "./state.ts";
import { findKey } from "./state.ts";
import { requireAum, stateAt } from "./walk.ts";

/** Beside which keys are revoked. Key IDs. */
export interface RevocationOptions {
  /** The parent, if it is not to be found. */
  readonly forkFrom?: AumHash;
  /** Keys to be trusted as they were at the parent, whatever became of them since. */
  readonly keep?: readonly Uint8Array[];
}

/**
 * The unsigned recovery AUM. @param revoked key IDs. @param ourKey the key that will sign first.
 * @throws TkaError "unknown-key", "last-key", …
 */
export function makeRetroactiveRevocation(
  authority: Authority,
  chonk: Chonk,
  revoked: readonly Uint8Array[],
  ourKey: Uint8Array,
  { forkFrom, keep = [] }: RevocationOptions = {},
): Aum {
  if (forkFrom === undefined && !revoked.some((id) => authority.trusts(id))) {
    throw new TkaError("unknown-key", "Cannot revoke: none of the keys is trusted");
  }
  const parent = forkFrom ?? rewriteParent(authority, chonk, revoked, ourKey);
  const named = (ids: readonly Uint8Array[], key: Key) => ids.some((id) => sameBytes(id, keyId(key)));
  const left = authority.keys.filter((key) => !named(revoked, key) && !named(keep, key));
  const kept = keep.length === 0 ? [] : keysAt(stateAt(chonk, parent, authority.limits.scan), keep);
  const keys = [...left, ...kept];
  if (keys.length === 0) {
    throw new TkaError(
      "last-key",
      "Cannot revoke all trusted keys: nobody could sign any more; name those to keep (--keep) that the stolen key removed",
    );
  }
  const state: State = { ...authority.state, keys, lastAumHash: null };
  const aum = aumAfter(parent, { kind: AUM_KIND.CHECKPOINT, state });
  validateAum(aum);
  return aum;
}

/** Keys as they were at the parent, votes and all. @throws TkaError "unknown-key" for one that was not trusted there. */
function keysAt(parent: State, ids: readonly Uint8Array[]): Key[] {
  return ids.map((id) => {
    const key = findKey(parent, id);
    if (key === undefined) {
      throw new TkaError("unknown-key", `Cannot keep tlpub:${toHex(id)}: it was not trusted where the recovery begins`);
    }
    return key;
  });
}

/** The newest AUM where none of the keys was trusted yet and ours was; else the oldest there is. */
function rewriteParent(
  authority: Authority,
  chonk: Chonk,
  revoked: readonly Uint8Array[],
  ourKey: Uint8Array,
): AumHash {
  let at = authority.head;
  while (at !== authority.oldestAncestor) {
    const aum = requireAum(chonk, at);
    const state = stateAt(chonk, at, authority.limits.scan);
    const clean = !revoked.some((id) => findKey(state, id) !== undefined);
    if (clean && findKey(state, ourKey) !== undefined) break;
    if (aum.parent === undefined) break;
    at = aum.parent;
  }
  return at;
}

/** Adds a signature. @throws TkaError "already-signed" when this key signed it before. */
export function cosign(aum: Aum, signer: AumSigner): Aum {
  const added = signer.signAum(aum.sigHash);
  for (const { keyId: id } of added) {
    const signedBefore = aum.signatures.some((old) => old.keyId !== null && id !== null && sameBytes(old.keyId, id));
    if (signedBefore) {
      throw new TkaError(
        "already-signed",
        `Cannot sign again: tlpub:${toHex(id as Uint8Array)} signed this AUM already`,
      );
    }
  }
  return aum.withSignatures(added);
}
