/** What the coordinator remembers of a Tailnet Lock: one record for each the tailnet ever had. */
import type { AumHash } from "../../../tka/aum_hash.ts";

/** A lock, on or past. Its AUMs are rows of their own. */
export interface LockRecord {
  /** From 1, in the order the locks were made. */
  readonly id: number;
  /** "id1:id2" in decimal, unique for ever: a lock whose secret is known must not come back. */
  readonly stateId: string;
  readonly genesis: AumHash;
  readonly createdAt: number;
  /** The newest checkpoint that a node was ever told to begin at; no fork may leave the chain before it. */
  readonly floor: AumHash;
  /** Undefined while the lock is on. */
  readonly disabledAt: number | undefined;
  /**
   * The secret that disabled it, kept for ever: nodes that were away then go on by the old lock until they see it.
   * Public from that moment on.
   */
  readonly disablementSecret: Uint8Array | undefined;
}

/** An AUM as it is stored. */
export interface AumRow {
  readonly hash: AumHash;
  /** CBOR. */
  readonly bytes: Uint8Array;
}

/** Locks and their AUMs in one transaction of the store. */
export interface LockTable {
  /** Oldest first. */
  all(): Promise<LockRecord[]>;
  /** @throws StoreError when there was a lock of this state ID. */
  insert(lock: Omit<LockRecord, "id">): Promise<LockRecord>;
  /** Replaces the lock of the same ID. */
  update(lock: LockRecord): Promise<void>;
  /** In the order they were added: parents first. */
  aums(lockId: number): Promise<AumRow[]>;
  addAums(lockId: number, aums: readonly AumRow[], now: number): Promise<void>;
  /** Which lock, on or past, has this AUM. */
  lockOf(hash: AumHash): Promise<number | undefined>;
}
