/** Tailnet Lock in the embedded store: `locks` and `aums`. */
import type { AumHash } from "../../tka/aum_hash.ts";
import type { AumRow, LockRecord, LockTable } from "./lock/lock_record.ts";
import type { Row, Values } from "./sqlite_rows.ts";

/** Runs statements with named values. */
export interface Statements {
  all<T>(sql: string, of: (row: Row) => T, values?: Values): T[];
  one<T>(sql: string, of: (row: Row) => T, values?: Values): T | undefined;
  run(sql: string, values?: Values): { readonly changes: number; readonly id: number };
}

function lockOf(row: Row): LockRecord {
  return {
    id: Number(row.id),
    stateId: String(row.state_id),
    genesis: String(row.genesis) as AumHash,
    createdAt: Number(row.created_at),
    floor: String(row.floor) as AumHash,
    disabledAt: row.disabled_at === null ? undefined : Number(row.disabled_at),
    disablementSecret: row.disablement_secret === null
      ? undefined
      : new Uint8Array(row.disablement_secret as Uint8Array),
  };
}

function lockValues(lock: Omit<LockRecord, "id">): Values {
  return {
    state_id: lock.stateId,
    genesis: lock.genesis,
    created_at: lock.createdAt,
    floor: lock.floor,
    disabled_at: lock.disabledAt ?? null,
    disablement_secret: lock.disablementSecret ?? null,
  };
}

const COLUMNS = ["state_id", "genesis", "created_at", "floor", "disabled_at", "disablement_secret"];

export function lockTable(sql: Statements): LockTable {
  return {
    all: async () => await sql.all("SELECT * FROM locks ORDER BY id", lockOf),
    insert: async (lock) => {
      const marks = COLUMNS.map((name) => `:${name}`).join(", ");
      const { id } = await sql.run(`INSERT INTO locks (${COLUMNS.join(", ")}) VALUES (${marks})`, lockValues(lock));
      return { ...lock, id };
    },
    update: async (lock) => {
      const columns = COLUMNS.map((name) => `${name} = :${name}`).join(", ");
      await sql.run(`UPDATE locks SET ${columns} WHERE id = :id`, { ...lockValues(lock), id: lock.id });
    },
    aums: async (lockId) => {
      const of = (row: Row): AumRow => ({
        hash: String(row.hash) as AumHash,
        bytes: new Uint8Array(row.bytes as Uint8Array),
      });
      return await sql.all("SELECT hash, bytes FROM aums WHERE lock_id = :lockId ORDER BY id", of, { lockId });
    },
    addAums: async (lockId, aums, now) => {
      const insert = "INSERT INTO aums (lock_id, hash, bytes, created_at) VALUES (:lockId, :hash, :bytes, :now)";
      for (const { hash, bytes } of aums) await sql.run(insert, { lockId, hash, bytes, now });
    },
    lockOf: async (hash) =>
      await sql.one("SELECT lock_id FROM aums WHERE hash = :hash", (row) => Number(row.lock_id), { hash }),
  };
}
