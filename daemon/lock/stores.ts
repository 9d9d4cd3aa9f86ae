/** Where the AUMs of each profile are: below the state directory, or, without one, in memory until the daemon ends. */
import type { CompactableChonk } from "../../tka/chonk.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import { DiskChonk } from "./disk_chonk.ts";

/** The stores of all profiles. */
export interface LockStores {
  /** What is stored outlives the daemon. */
  readonly durable: boolean;
  /** For messages. */
  nameOf(profileId: string): string;
  /** @throws LockStoreError naming what is damaged. */
  open(profileId: string): CompactableChonk;
  /** Removes a profile's store, readable or not. @throws LockStoreError */
  erase(profileId: string): void;
}

/** @param directory holds one directory a profile. */
export function diskStores(directory: string): LockStores {
  const nameOf = (profileId: string) => `${directory}/${profileId}`;
  return {
    durable: true,
    nameOf,
    open: (profileId) => DiskChonk.open(nameOf(profileId)),
    erase: (profileId) => DiskChonk.erase(nameOf(profileId)),
  };
}

export function memoryStores(): LockStores {
  return { durable: false, nameOf: () => "memory", open: () => new MemChonk(), erase: () => {} };
}
