/**
 * A store and, on top of it, what is about to be added: AUMs are verified here first, then written to the database, and
 * only once that has committed put into the store below.
 */
import type { Aum } from "../../../tka/aum.ts";
import type { AumHash } from "../../../tka/aum_hash.ts";
import type { Chonk } from "../../../tka/chonk.ts";
import { MemChonk } from "../../../tka/mem_chonk.ts";

export class StagedChonk implements Chonk {
  readonly #below: Chonk;
  readonly #added = new MemChonk();
  readonly #order: Aum[] = [];

  constructor(below: Chonk) {
    this.#below = below;
  }

  /** What was committed here and was not below, parents first. */
  get added(): readonly Aum[] {
    return this.#order;
  }

  aum(hash: AumHash): Aum | undefined {
    return this.#added.aum(hash) ?? this.#below.aum(hash);
  }

  children(hash: AumHash): readonly Aum[] {
    const added = this.#added.children(hash);
    const below = this.#below.children(hash);
    return added.length === 0 ? below : [...below, ...added];
  }

  heads(): readonly Aum[] {
    const below = this.#below.heads().filter(({ hash }) => this.#added.children(hash).length === 0);
    return [...below, ...this.#added.heads()];
  }

  commit(aums: readonly Aum[], now: number): void {
    const fresh = aums.filter(({ hash }) => this.aum(hash) === undefined);
    this.#added.commit(fresh, now);
    this.#order.push(...fresh);
  }

  lastActiveAncestor(): AumHash | undefined {
    return this.#below.lastActiveAncestor();
  }

  /** The coordinator never forgets an AUM, so the chain begins where it began. */
  setLastActiveAncestor(_hash: AumHash): void {}
}
