/** AUMs in memory: for tests, for nodes without a state directory, and as the index inside other stores. */
import type { Aum } from "./aum.ts";
import type { AumHash } from "./aum_hash.ts";
import type { CompactableChonk } from "./chonk.ts";

interface Entry {
  readonly aum: Aum;
  readonly committedAt: number;
}

export class MemChonk implements CompactableChonk {
  readonly #entries = new Map<AumHash, Entry>();
  readonly #children = new Map<AumHash, Aum[]>();
  #ancestor: AumHash | undefined;

  get size(): number {
    return this.#entries.size;
  }

  aum(hash: AumHash): Aum | undefined {
    return this.#entries.get(hash)?.aum;
  }

  children(hash: AumHash): readonly Aum[] {
    return this.#children.get(hash) ?? [];
  }

  heads(): readonly Aum[] {
    const heads: Aum[] = [];
    for (const [hash, { aum }] of this.#entries) if (!this.#children.has(hash)) heads.push(aum);
    return heads;
  }

  commit(aums: readonly Aum[], now: number): void {
    for (const aum of aums) {
      if (this.#entries.has(aum.hash)) continue;
      this.#entries.set(aum.hash, { aum, committedAt: now });
      const { parent } = aum;
      if (parent === undefined) continue;
      const siblings = this.#children.get(parent);
      if (siblings === undefined) this.#children.set(parent, [aum]);
      else siblings.push(aum);
    }
  }

  lastActiveAncestor(): AumHash | undefined {
    return this.#ancestor;
  }

  setLastActiveAncestor(hash: AumHash): void {
    this.#ancestor = hash;
  }

  all(): readonly AumHash[] {
    return [...this.#entries.keys()];
  }

  commitTime(hash: AumHash): number | undefined {
    return this.#entries.get(hash)?.committedAt;
  }

  purge(hashes: readonly AumHash[], _now: number): void {
    for (const hash of hashes) {
      const entry = this.#entries.get(hash);
      if (entry === undefined) continue;
      this.#entries.delete(hash);
      const { parent } = entry.aum;
      if (parent === undefined) continue;
      const left = (this.#children.get(parent) ?? []).filter((sibling) => sibling.hash !== hash);
      if (left.length === 0) this.#children.delete(parent);
      else this.#children.set(parent, left);
    }
  }

  removeAll(): void {
    this.#entries.clear();
    this.#children.clear();
    this.#ancestor = undefined;
  }
}
