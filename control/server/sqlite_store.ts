/**
 * The embedded store: one SQLite file, opened by one process at a time.
 *
 * The lock is SQLite's own: `locking_mode=EXCLUSIVE` in WAL mode holds the file from the first access until close, so a
 * second server, or a command that finds the server's socket dead, gets "database is locked" and not a second writer.
 * A crash releases it. A durable transaction syncs the file, because an auth key that was used must stay used after a
 * power cut; a relaxed one (endpoints, last seen) does not.
 */
import { closeSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { lockTable } from "./sqlite_lock_table.ts";
import { MIGRATIONS } from "./sqlite_schema.ts";
import { authKeyOf, authKeyValues, loginOf, loginValues, nodeOf, nodeValues, userOf } from "./sqlite_rows.ts";
import type { Row, Values } from "./sqlite_rows.ts";
import { StoreError, StoreLockedError } from "./store.ts";
import type {
  AuthKeyTable,
  CounterTable,
  Durability,
  LoginTable,
  NodeTable,
  Store,
  StoreTransaction,
  UserTable,
} from "./store.ts";

/** How long an opener waits for a command that has the file for a moment. */
const LOCK_WAIT_MS = 1000;

/** Runs statements by their text, each prepared once. */
class Statements {
  readonly #database: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }

  all<T>(sql: string, of: (row: Row) => T, values: Values = {}): T[] {
    return (this.#prepare(sql).all(values) as Row[]).map(of);
  }

  one<T>(sql: string, of: (row: Row) => T, values: Values = {}): T | undefined {
    const row = this.#prepare(sql).get(values) as Row | undefined;
    return row === undefined ? undefined : of(row);
  }

  /** Returns the number of rows changed and the last row ID. */
  run(sql: string, values: Values = {}): { changes: number; id: number } {
    try {
      const { changes, lastInsertRowid } = this.#prepare(sql).run(values);
      return { changes: Number(changes), id: Number(lastInsertRowid) };
    } catch (cause) {
      throw new StoreError(`Cannot write to the store: ${(cause as Error).message}`, { cause });
    }
  }
}

function insertSql(table: string, values: Values): string {
  const names = Object.keys(values);
  return `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map((name) => `:${name}`).join(", ")})`;
}

function nodeTable(sql: Statements): NodeTable {
  const by = (column: string) => `SELECT * FROM nodes WHERE ${column} = :value`;
  return {
    all: async () => await sql.all("SELECT * FROM nodes ORDER BY id", nodeOf),
    byId: async (value) => await sql.one(by("id"), nodeOf, { value }),
    byMachineKey: async (value) => await sql.one(by("machine_key"), nodeOf, { value }),
    byNodeKey: async (value) => await sql.one(by("node_key"), nodeOf, { value }),
    hasName: async (value) => await sql.one(by("name"), () => true, { value }) === true,
    hasIpv4: async (value) => await sql.one(by("ipv4"), () => true, { value }) === true,
    insert: async (node) => {
      const values = nodeValues(node);
      const { id } = await sql.run(insertSql("nodes", values), values);
      return { ...node, id };
    },
    update: async (node) => {
      const values = nodeValues(node);
      const columns = Object.keys(values).map((name) => `${name} = :${name}`).join(", ");
      await sql.run(`UPDATE nodes SET ${columns} WHERE id = :id`, { ...values, id: node.id });
    },
    delete: async (id) => void await sql.run("DELETE FROM nodes WHERE id = :id", { id }),
  };
}

function userTable(sql: Statements): UserTable {
  const byName = (name: string) => sql.one("SELECT * FROM users WHERE name = :name", userOf, { name });
  return {
    all: async () => await sql.all("SELECT * FROM users ORDER BY id", userOf),
    byId: async (id) => await sql.one("SELECT * FROM users WHERE id = :id", userOf, { id }),
    ensure: async (name, now) => {
      const known = await byName(name);
      if (known !== undefined) return known;
      const { id } = sql.run("INSERT INTO users (name, created_at) VALUES (:name, :now)", { name, now });
      return { id, name, createdAt: now };
    },
  };
}

function authKeyTable(sql: Statements): AuthKeyTable {
  return {
    all: async () => await sql.all("SELECT * FROM auth_keys ORDER BY created_at, id", authKeyOf),
    byId: async (id) => await sql.one("SELECT * FROM auth_keys WHERE id = :id", authKeyOf, { id }),
    insert: async (key) => {
      const values = authKeyValues(key);
      await sql.run(insertSql("auth_keys", values), values);
    },
    consume: async (id, now) => {
      const { changes } = await sql.run(
        "UPDATE auth_keys SET used_at = :now WHERE id = :id AND (reusable = 1 OR used_at IS NULL)",
        { id, now },
      );
      return changes === 1;
    },
    expire: async (id, now) => {
      const { changes } = await sql.run(
        "UPDATE auth_keys SET expires_at = min(coalesce(expires_at, :now), :now) WHERE id = :id",
        { id, now },
      );
      return changes === 1;
    },
  };
}

function loginTable(sql: Statements): LoginTable {
  return {
    all: async () => await sql.all("SELECT * FROM logins ORDER BY created_at, id", loginOf),
    byId: async (id) => await sql.one("SELECT * FROM logins WHERE id = :id", loginOf, { id }),
    byMachineKey: async (key) => await sql.one("SELECT * FROM logins WHERE machine_key = :key", loginOf, { key }),
    put: async (login) => {
      const values = loginValues(login);
      sql.run("DELETE FROM logins WHERE machine_key = :key", { key: login.machineKey });
      await sql.run(insertSql("logins", values), values);
    },
    delete: async (id) => void await sql.run("DELETE FROM logins WHERE id = :id", { id }),
    deleteBefore: async (time) => void await sql.run("DELETE FROM logins WHERE created_at < :time", { time }),
    count: async () => await sql.one("SELECT count(*) AS n FROM logins", (row) => Number(row.n)) ?? 0,
  };
}

function counterTable(sql: Statements): CounterTable {
  return {
    get: async (name) =>
      await sql.one("SELECT value FROM counters WHERE name = :name", (row) => Number(row.value), { name }) ?? 0,
    set: async (name, value) =>
      void await sql.run(
        "INSERT INTO counters (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = :value",
        { name, value },
      ),
  };
}

function migrate(database: DatabaseSync, path: string): void {
  const version = Number((database.prepare("PRAGMA user_version").get() as Row).user_version);
  if (version > MIGRATIONS.length) {
    throw new StoreError(
      `Cannot open ${path}: its schema is version ${version}, want at most ${MIGRATIONS.length}. ` +
        "It was written by a newer agent: install that one.",
    );
  }
  for (let at = version; at < MIGRATIONS.length; at++) {
    database.exec(`BEGIN IMMEDIATE; ${MIGRATIONS[at]} PRAGMA user_version = ${at + 1}; COMMIT`);
  }
}

/**
 * Makes the file with mode 0600, which its companions take over. A file that exists is not opened, not even to look:
 * closing it again would drop this process's POSIX locks on it (fcntl(2)), and with them those of an open store.
 */
function create(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw error;
  }
}

function open(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if (path !== ":memory:") create(path);
    database = new DatabaseSync(path, { timeout: LOCK_WAIT_MS });
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL");
    database.exec("PRAGMA foreign_keys = ON; BEGIN EXCLUSIVE; COMMIT");
    migrate(database, path);
    return database;
  } catch (cause) {
    database?.close();
    if (cause instanceof StoreError) throw cause;
    const seen = `Cannot open ${path}: ${(cause as Error).message}`;
    if (/locked|busy/.test(seen)) {
      const who = "another process has it: a coordinator that runs, or a command that writes to it right now";
      throw new StoreLockedError(`${seen}; ${who}`, { cause });
    }
    throw new StoreError(`${seen}; check the file and its directory; it was left as it is`, { cause });
  }
}

/**
 * Opens or makes the file, mode 0600, and holds it exclusively until `close()`.
 *
 * @param path of the file, or ":memory:".
 * @throws StoreError when another process has it, when it is no database, or when a newer agent wrote it.
 */
export function openSqliteStore(path: string): Store {
  const database = open(path);
  const sql = new Statements(database);
  const tx: StoreTransaction = {
    nodes: nodeTable(sql),
    users: userTable(sql),
    authKeys: authKeyTable(sql),
    logins: loginTable(sql),
    counters: counterTable(sql),
    locks: lockTable(sql),
  };
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;

  async function run<T>(work: (tx: StoreTransaction) => Promise<T>, durability: Durability): Promise<T> {
    if (closed) throw new StoreError("Cannot use the store: it is closed");
    database.exec(`PRAGMA synchronous = ${durability === "durable" ? "FULL" : "NORMAL"}; BEGIN IMMEDIATE`);
    try {
      const result = await work(tx);
      database.exec("COMMIT");
      return result;
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
  }

  return {
    transact: (work, durability = "durable") => {
      const result = last.then(() => run(work, durability));
      last = result.catch(() => {});
      return result;
    },
    close: () => {
      const result = last.then(() => {
        if (!closed) database.close();
        closed = true;
      });
      last = result;
      return result;
    },
  };
}
