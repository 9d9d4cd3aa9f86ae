import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openSqliteStore } from "../../../control/server/sqlite_store.ts";
import { MIGRATIONS } from "../../../control/server/sqlite_schema.ts";
import type { NodeRecord } from "../../../control/server/node_record.ts";
import { StoreError } from "../../../control/server/store.ts";
import type { StoreTransaction } from "../../../control/server/store.ts";

const hex = (digit: string) => digit.repeat(64);

function draft(n: number, userId: number): Omit<NodeRecord, "id"> {
  return {
    stableId: `n${n}CNTRL`,
    machineKey: `mkey:${hex(String(n))}`,
    nodeKey: `nodekey:${hex(String(n))}`,
    lockKey: "",
    keySignature: "",
    discoKey: "",
    userId,
    tags: ["tag:a"],
    hostname: "Host",
    name: `host-${n}`,
    ipv4: `100.64.0.${n}`,
    ipv6: `fd7a:115c:a1e0::6440:${n}`,
    ephemeral: n % 2 === 0,
    createdAt: 1,
    keyExpiry: n === 1 ? undefined : 5,
    lastSeen: undefined,
    capabilityVersion: 113,
    hostinfo: { OS: "linux", NetInfo: { PreferredDERP: 900 } },
    endpoints: ["192.0.2.1:41641"],
    approvedRoutes: ["10.0.0.0/8"],
    homeDerp: 900,
    authKeyId: n === 1 ? "key" : undefined,
  };
}

async function withDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "agent-store-" });
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("SqliteStore keeps every record over a restart, and gives IDs out only once", async () => {
  await withDir(async (dir) => {
    const path = join(dir, "coordinator.sqlite");
    const store = openSqliteStore(path);
    const login = {
      id: "login",
      machineKey: `mkey:${hex("9")}`,
      nodeKey: `nodekey:${hex("9")}`,
      lockKey: "",
      keySignature: "",
      hostinfo: { Hostname: "x" },
      capabilityVersion: 113,
      ephemeral: true,
      requestedExpiry: 7,
      createdAt: 2,
    };
    const key = {
      id: "key",
      secretHash: Uint8Array.of(1, 2, 255),
      userId: 1,
      reusable: true,
      ephemeral: false,
      tags: ["tag:a"],
      createdAt: 1,
      expiresAt: undefined,
      usedAt: 3,
    };
    const [one, two] = await store.transact(async (tx) => {
      const user = await tx.users.ensure("alice", 1);
      assert.equal((await tx.users.ensure("alice", 9)).createdAt, 1);
      await tx.authKeys.insert(key);
      await tx.logins.put(login);
      await tx.counters.set("next-address", 3);
      return [await tx.nodes.insert(draft(1, user.id)), await tx.nodes.insert(draft(2, user.id))];
    });
    await store.transact((tx) => tx.nodes.delete(two.id));
    await store.close();
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);

    const again = openSqliteStore(path);
    await again.transact(async (tx) => {
      assert.deepEqual(await tx.nodes.all(), [one]);
      assert.deepEqual(await tx.nodes.byMachineKey(one.machineKey), one);
      assert.deepEqual(await tx.authKeys.all(), [key]);
      assert.deepEqual(await tx.logins.byMachineKey(login.machineKey), login);
      assert.deepEqual(await tx.users.all(), [{ id: 1, name: "alice", createdAt: 1 }]);
      assert.equal(await tx.counters.get("next-address"), 3);
      assert.equal(await tx.counters.get("never set"), 0);
      assert.equal((await tx.nodes.insert(draft(3, 1))).id, 3);
    });
    await again.close();
  });
});

Deno.test("SqliteStore: the schema itself refuses a second node with any unique value", async () => {
  const store = openSqliteStore(":memory:");
  await store.transact(async (tx) => await tx.nodes.insert(draft(1, (await tx.users.ensure("a", 1)).id)));
  const fields = ["machineKey", "nodeKey", "name", "ipv4", "ipv6", "stableId"] as const;
  for (const field of fields) {
    const twin = { ...draft(2, 1), [field]: draft(1, 1)[field] };
    await assert.rejects(store.transact((tx) => tx.nodes.insert(twin)), StoreError, field);
  }
  assert.equal((await store.transact((tx) => tx.nodes.all())).length, 1);
  await store.close();
});

Deno.test("SqliteStore.transact() rolls back whole, and runs one transaction after another", async () => {
  const store = openSqliteStore(":memory:");
  const order: string[] = [];
  const slow = async (tx: StoreTransaction, name: string) => {
    order.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await tx.users.ensure(name, 1);
    order.push(`${name} ends`);
  };
  const failed = store.transact(async (tx) => {
    await slow(tx, "a");
    throw new Error("no");
  });
  const done = store.transact((tx) => slow(tx, "b"), "relaxed");
  await assert.rejects(failed, /^Error: no$/);
  await done;
  assert.deepEqual(order, ["a begins", "a ends", "b begins", "b ends"]);
  assert.deepEqual((await store.transact((tx) => tx.users.all())).map(({ name }) => name), ["b"]);
  await store.close();
  await assert.rejects(store.transact((tx) => tx.users.all()), /it is closed/);
});

Deno.test("SqliteStore: a second opener is refused while the first has the file, and let in after it", async () => {
  await withDir(async (dir) => {
    const path = join(dir, "coordinator.sqlite");
    const store = openSqliteStore(path);
    assert.throws(() => openSqliteStore(path), /database is locked; another process has it/);
    const script = `const { openSqliteStore } = await import(${
      JSON.stringify(new URL("../../../control/server/sqlite_store.ts", import.meta.url).href)
    }); try { openSqliteStore(${JSON.stringify(path)}); console.log("open"); } catch (e) { console.log(e.name); }`;
    const ask = async () => {
      const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["eval", script] }).output();
      return new TextDecoder().decode(stdout).trim();
    };
    assert.equal(await ask(), "StoreLockedError");
    await store.close();
    assert.equal(await ask(), "open");
  });
});

Deno.test("SqliteStore leaves a file alone that a newer agent wrote, or that is no database", async () => {
  await withDir(async (dir) => {
    const newer = join(dir, "newer.sqlite");
    const database = new DatabaseSync(newer);
    database.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`);
    database.close();
    assert.throws(() => openSqliteStore(newer), /written by a newer agent/);

    const text = join(dir, "text.sqlite");
    await Deno.writeTextFile(text, "this is no database, but somebody may still need it ".repeat(40));
    const before = await Deno.readTextFile(text);
    assert.throws(() => openSqliteStore(text), /it was left as it is/);
    assert.equal(await Deno.readTextFile(text), before);
  });
});

Deno.test("SqliteStore: a one-off key is consumed once, a reusable one always; expiry only comes nearer", async () => {
  const store = openSqliteStore(":memory:");
  await store.transact(async (tx) => {
    const { id: userId } = await tx.users.ensure("a", 1);
    const key = { secretHash: new Uint8Array(32), userId, ephemeral: false, tags: [], createdAt: 1, usedAt: undefined };
    await tx.authKeys.insert({ ...key, id: "once", reusable: false, expiresAt: 100 });
    await tx.authKeys.insert({ ...key, id: "often", reusable: true, expiresAt: undefined });
    assert.deepEqual([await tx.authKeys.consume("once", 5), await tx.authKeys.consume("once", 6)], [true, false]);
    assert.deepEqual([await tx.authKeys.consume("often", 5), await tx.authKeys.consume("often", 6)], [true, true]);
    assert.equal(await tx.authKeys.consume("none", 5), false);
    assert.equal(await tx.authKeys.expire("none", 5), false);
    await tx.authKeys.expire("once", 200);
    await tx.authKeys.expire("often", 200);
    assert.equal((await tx.authKeys.byId("once"))?.expiresAt, 100);
    assert.equal((await tx.authKeys.byId("often"))?.expiresAt, 200);
  });
  await store.close();
});
