/** Stores in memory that outlive the daemon, which may die while it writes to them or purges. */
import { LockStoreError } from "../../daemon/lock/store_files.ts";
import type { LockStores } from "../../daemon/lock/stores.ts";
import type { Aum } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import type { CompactableChonk } from "../../tka/chonk.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";

/** How the daemon dies next: after so many AUMs were written, or purged. */
export interface Death {
  readonly while: "writing" | "purging";
  readonly after: number;
}

class MortalChonk extends MemChonk {
  readonly #stores: MortalStores;

  constructor(stores: MortalStores) {
    super();
    this.#stores = stores;
  }

  override commit(aums: readonly Aum[], now: number): void {
    const { death } = this.#stores;
    if (death?.while !== "writing" || aums.length <= death.after) return super.commit(aums, now);
    super.commit(aums.slice(0, death.after), now);
    this.#stores.die();
  }

  override purge(hashes: readonly AumHash[], now: number): void {
    const { death } = this.#stores;
    if (death?.while !== "purging" || hashes.length <= death.after) return super.purge(hashes, now);
    super.purge(hashes.slice(0, death.after), now);
    this.#stores.die();
  }
}

export class MortalStores implements LockStores {
  readonly durable = true;
  readonly #chonks = new Map<string, MortalChonk>();
  death: Death | undefined;

  nameOf(profileId: string): string {
    return `store of ${profileId}`;
  }

  open(profileId: string): CompactableChonk {
    const chonk = this.#chonks.get(profileId) ?? new MortalChonk(this);
    this.#chonks.set(profileId, chonk);
    return chonk;
  }

  erase(profileId: string): void {
    this.#chonks.get(profileId)?.removeAll();
  }

  die(): never {
    this.death = undefined;
    throw new LockStoreError("Cannot write: the process dies here");
  }
}
