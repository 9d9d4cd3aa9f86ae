/**
 * All AUMs of the lock that is on, and the place of each on the active chain.
 *
 *   G──1──2──3──4──5──H     active: the place of an AUM is its distance from the genesis
 *         └─a──b            a branch that lost: joins at 2
 *
 * With the places at hand what a node lacks is found at any distance, without a walk over the chain. A new head costs as
 * many steps as the chain changed by.
 */
import type { Aum } from "../../../tka/aum.ts";
import type { AumHash } from "../../../tka/aum_hash.ts";
import type { Authority } from "../../../tka/authority.ts";
import type { MemChonk } from "../../../tka/mem_chonk.ts";
import { requireAum } from "../../../tka/walk.ts";

/** Where the way back from an AUM meets the active chain. */
export interface Joint {
  /** Place of the joint, from 0 for the genesis. */
  readonly place: number;
  /** AUMs between the joint and the AUM asked about, that one included; 0 when it is on the chain. */
  readonly beside: number;
}

export class LockChain {
  readonly chonk: MemChonk;
  #authority: Authority;
  readonly #active: Aum[] = [];
  readonly #places = new Map<AumHash, number>();

  constructor(chonk: MemChonk, authority: Authority) {
    this.chonk = chonk;
    this.#authority = authority;
    this.advance(authority);
  }

  get authority(): Authority {
    return this.#authority;
  }

  get head(): AumHash {
    return this.#authority.head;
  }

  /** AUMs from the genesis to the head. */
  get length(): number {
    return this.#active.length;
  }

  /** Takes over an authority whose AUMs are all in the store. */
  advance(authority: Authority): void {
    const path: Aum[] = [];
    let at: Aum | undefined = requireAum(this.chonk, authority.head);
    while (at !== undefined && !this.#places.has(at.hash)) {
      path.push(at);
      at = at.parent === undefined ? undefined : requireAum(this.chonk, at.parent);
    }
    const keep = at === undefined ? 0 : this.#places.get(at.hash)! + 1;
    for (const { hash } of this.#active.splice(keep)) this.#places.delete(hash);
    for (const aum of path.reverse()) {
      this.#places.set(aum.hash, this.#active.length);
      this.#active.push(aum);
    }
    this.#authority = authority;
  }

  /** Undefined for an AUM that is not on the active chain. */
  placeOf(hash: AumHash): number | undefined {
    return this.#places.get(hash);
  }

  /** Undefined for an AUM that is not known. */
  jointOf(hash: AumHash): Joint | undefined {
    let at = this.chonk.aum(hash);
    for (let beside = 0; at !== undefined; beside++) {
      const place = this.#places.get(at.hash);
      if (place !== undefined) return { place, beside };
      at = at.parent === undefined ? undefined : this.chonk.aum(at.parent);
    }
    return undefined;
  }

  /** The AUM at a place. */
  at(place: number): Aum | undefined {
    return this.#active[place];
  }

  /** What follows a place, parents first, at most `count`. */
  after(place: number, count = Infinity): readonly Aum[] {
    return this.#active.slice(place + 1, Math.min(this.#active.length, place + 1 + count));
  }
}
