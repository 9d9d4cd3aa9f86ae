/**
 * Where AUMs are kept: the port that the daemon's disk store, the coordinator's database and `MemChonk` implement.
 *
 * Synchronous, so that the whole of this room is a function of its input: a store reads everything with an index when it
 * is opened. A store holds verified AUMs only, and checks what it reads back (L14). "Chonk" is upstream's word.
 */
import type { Aum } from "./aum.ts";
import type { AumHash } from "./aum_hash.ts";

/** Reading and adding. Lists come in no particular order. */
export interface Chonk {
  /** The AUM with this hash, if the store has it. */
  aum(hash: AumHash): Aum | undefined;
  /** All AUMs whose parent is this hash, whether or not the store has that one. */
  children(hash: AumHash): readonly Aum[];
  /** AUMs without children: the ends of all chains. */
  heads(): readonly Aum[];
  /**
   * Stores AUMs durably; one that is there already keeps its commit time.
   * @param aums verified, parents first. @param now ms since 1970.
   */
  commit(aums: readonly Aum[], now: number): void;
  /** The oldest AUM of the chain that was active last: tells chains apart that share no ancestor any more. */
  lastActiveAncestor(): AumHash | undefined;
  setLastActiveAncestor(hash: AumHash): void;
}

/** A store that compaction may work on. */
export interface CompactableChonk extends Chonk {
  all(): readonly AumHash[];
  /** When the AUM was stored here, ms since 1970; undefined if it is not there. */
  commitTime(hash: AumHash): number | undefined;
  /** Forgets AUMs; hashes that are not there are passed over. @param now ms since 1970. */
  purge(hashes: readonly AumHash[], now: number): void;
  /** Forgets everything: the lock was disabled. */
  removeAll(): void;
}
