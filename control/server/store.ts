/**
 * The store port: what the coordinator needs of a database.
 *
 * Everything happens in transactions that see a consistent state, one writer at a time, and either commit whole or
 * leave nothing. The embedded store is SQLite; a shared database for several coordinators implements the same port,
 * which is why everything here is asynchronous.
 */
import type { LockTable } from "./lock/lock_record.ts";
import type { AuthKeyRecord, NodeRecord, PendingLogin, UserRecord } from "./node_record.ts";

/** A failure of the store itself: locked, corrupt, full. The message says what to do. */
export class StoreError extends Error {
  override readonly name: string = "StoreError";
}

/**
 * What a power cut may take: "durable" (the default), nothing that was committed; "relaxed", the last moments. A crash
 * of the process alone loses neither.
 */
export type Durability = "durable" | "relaxed";

/** Another process has the store. */
export class StoreLockedError extends StoreError {
  override readonly name = "StoreLockedError";
}

/** Durable records. */
export interface Store {
  /**
   * Runs `work` in one write transaction, after all those asked for before. Committed when `work` resolves; rolled back
   * and rejected with the same reason when it rejects.
   */
  transact<T>(work: (tx: StoreTransaction) => Promise<T>, durability?: Durability): Promise<T>;
  /** Waits for running transactions, then lets go of the database and its lock. */
  close(): Promise<void>;
}

/** The tables, as one transaction sees them; not to be used after it. */
export interface StoreTransaction {
  readonly nodes: NodeTable;
  readonly users: UserTable;
  readonly authKeys: AuthKeyTable;
  readonly logins: LoginTable;
  /** Small named numbers that outlive a restart, such as the next address to try. */
  readonly counters: CounterTable;
  readonly locks: LockTable;
}

export interface NodeTable {
  all(): Promise<NodeRecord[]>;
  byId(id: number): Promise<NodeRecord | undefined>;
  byMachineKey(machineKey: string): Promise<NodeRecord | undefined>;
  byNodeKey(nodeKey: string): Promise<NodeRecord | undefined>;
  /** True when any node has this DNS label. */
  hasName(name: string): Promise<boolean>;
  /** True when any node has this address. */
  hasIpv4(ipv4: string): Promise<boolean>;
  /** Stores a new node and gives it its ID. @throws StoreError when a unique value is taken. */
  insert(node: Omit<NodeRecord, "id">): Promise<NodeRecord>;
  /** Replaces the node of the same ID. @throws StoreError when a unique value is taken. */
  update(node: NodeRecord): Promise<void>;
  delete(id: number): Promise<void>;
}

export interface UserTable {
  all(): Promise<UserRecord[]>;
  byId(id: number): Promise<UserRecord | undefined>;
  /** The user of that exact name, made if there is none. */
  ensure(name: string, now: number): Promise<UserRecord>;
}

export interface AuthKeyTable {
  all(): Promise<AuthKeyRecord[]>;
  byId(id: string): Promise<AuthKeyRecord | undefined>;
  insert(key: AuthKeyRecord): Promise<void>;
  /** Marks a use. False, and nothing changed, when the key is a one-off that was used before. */
  consume(id: string, now: number): Promise<boolean>;
  /** Ends the key's life at `now` unless it ended earlier. False when there is no such key. */
  expire(id: string, now: number): Promise<boolean>;
}

export interface LoginTable {
  all(): Promise<PendingLogin[]>;
  byId(id: string): Promise<PendingLogin | undefined>;
  byMachineKey(machineKey: string): Promise<PendingLogin | undefined>;
  /** Stores it in place of any other login of the machine. */
  put(login: PendingLogin): Promise<void>;
  delete(id: string): Promise<void>;
  /** Forgets those made before `time`. */
  deleteBefore(time: number): Promise<void>;
  count(): Promise<number>;
}

export interface CounterTable {
  /** 0 when never set. */
  get(name: string): Promise<number>;
  set(name: string, value: number): Promise<void>;
}
