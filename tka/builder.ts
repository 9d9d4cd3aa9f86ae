/**
 * Builds a chain of signed updates on an authority's head, to be submitted and then applied like anyone else's.
 *
 *   const updates = new UpdateBuilder(authority, signer).addKey(key).removeKey(old).finalize(authority, chonk);
 *
 * A checkpoint is appended when there was none in the last 50 AUMs. Source: tka/builder.go.
 */
import { toHex } from "../base/bytes.ts";
import type { Aum, AumFields, AumSigner } from "./aum.ts";
import { aumAfter, validateAum } from "./aum.ts";
import { AUM_KIND } from "./aum_kind.ts";
import type { Authority } from "./authority.ts";
import type { Chonk } from "./chonk.ts";
import { TkaError } from "./errors.ts";
import type { Key } from "./key.ts";
import { keyId } from "./key.ts";
import { CHECKPOINT_EVERY, MAX_KEYS } from "./limits.ts";
import type { State } from "./state.ts";
import { applyVerifiedAum, findKey, getKey } from "./state.ts";

export class UpdateBuilder {
  readonly #base: Authority;
  readonly #signer: AumSigner | undefined;
  #state: State;
  readonly #updates: Aum[] = [];

  /** @param signer without one the updates are unsigned, for others to sign. */
  constructor(authority: Authority, signer?: AumSigner) {
    this.#base = authority;
    this.#signer = signer;
    this.#state = authority.state;
  }

  #append(fields: Omit<AumFields, "prevAumHash" | "signatures">): this {
    const parent = this.#updates.at(-1)?.hash ?? this.#base.head;
    let update = aumAfter(parent, fields);
    if (this.#signer !== undefined) update = update.withSignatures(this.#signer.signAum(update.sigHash));
    validateAum(update);
    this.#state = applyVerifiedAum(this.#state, update);
    this.#updates.push(update);
    return this;
  }

  /** @throws TkaError "key-exists", "too-many-keys". */
  addKey(key: Key): this {
    const id = keyId(key);
    if (findKey(this.#state, id) !== undefined) {
      throw new TkaError("key-exists", `Cannot add key tlpub:${toHex(id)}: it is trusted already`);
    }
    const keys = this.#state.keys?.length ?? 0;
    if (keys >= MAX_KEYS) {
      throw new TkaError(
        "too-many-keys",
        `Cannot add key tlpub:${toHex(id)}: ${keys} keys are trusted, at most ${MAX_KEYS} may be; remove unused ones`,
      );
    }
    return this.#append({ kind: AUM_KIND.ADD_KEY, key });
  }

  /** @throws TkaError "unknown-key". */
  removeKey(id: Uint8Array): this {
    getKey(this.#state, id);
    return this.#append({ kind: AUM_KIND.REMOVE_KEY, keyId: id });
  }

  /** @throws TkaError "unknown-key". */
  setKeyVotes(id: Uint8Array, votes: bigint): this {
    getKey(this.#state, id);
    return this.#append({ kind: AUM_KIND.UPDATE_KEY, keyId: id, votes });
  }

  /** Replaces all metadata of a key. @throws TkaError "unknown-key". */
  setKeyMeta(id: Uint8Array, meta: ReadonlyMap<string, string>): this {
    getKey(this.#state, id);
    return this.#append({ kind: AUM_KIND.UPDATE_KEY, keyId: id, meta });
  }

  /**
   * The updates, oldest first. @param current the authority now; must still be at the head the updates were built on.
   * @throws TkaError "stale-update".
   */
  finalize(current: Authority, chonk: Chonk): readonly Aum[] {
    if (this.#checkpointDue(chonk)) {
      this.#append({ kind: AUM_KIND.CHECKPOINT, state: { ...this.#state, lastAumHash: null } });
    }
    if (this.#updates.length > 0 && current.head !== this.#base.head) {
      throw new TkaError(
        "stale-update",
        `Cannot finish an update made at ${this.#base.head}: the head is ${current.head} now; try again`,
      );
    }
    return this.#updates;
  }

  #checkpointDue(chonk: Chonk): boolean {
    let at = chonk.aum(this.#base.head);
    for (let since = this.#updates.length; since < CHECKPOINT_EVERY; since++) {
      // A chain that begins nearer than that needs no checkpoint yet, nor does one that begins where we do not see.
      if (at === undefined || at.kind === AUM_KIND.CHECKPOINT || at.parent === undefined) return false;
      at = chonk.aum(at.parent);
    }
    return true;
  }
}
