/** Who may lock the tailnet. */
import assert from "node:assert/strict";
import { toBase64 } from "../../../../base/bytes.ts";
import { DEFAULT_INIT_POLICY, initRefusal, parseInitPolicy } from "../../../../control/server/lock/init_policy.ts";
import type { NodeRecord } from "../../../../control/server/node_record.ts";
import { testKey } from "../../../support/lock_keys.ts";
import { LockWorld } from "../../../support/lock_world.ts";

const node = (name: string, tags: readonly string[] = []) => ({ name, tags }) as unknown as NodeRecord;

Deno.test("--lock-init: any, none, users, tags and nodes; a tagged node is no user's", () => {
  const may = (policy: string, record: NodeRecord, user = "alice") =>
    initRefusal(parseInitPolicy(policy), record, user) === undefined;
  assert.equal(may("any", node("a", ["tag:x"])), true);
  assert.equal(may("none", node("a")), false);
  assert.equal(may("alice", node("a")), true);
  assert.equal(may("bob", node("a")), false);
  assert.equal(may("bob, alice", node("a")), true);
  assert.equal(may("alice", node("a", ["tag:x"])), false);
  assert.equal(may("tag:x", node("a", ["tag:x", "tag:y"])), true);
  assert.equal(may("tag:z", node("a", ["tag:x"])), false);
  assert.equal(may("node:a", node("a", ["tag:x"])), true);
  assert.equal(may("node:a", node("b"), "node:a"), true, "a user may be called so; names of users are the operator's");
  assert.equal(initRefusal(DEFAULT_INIT_POLICY, node("a"), "operator"), undefined);
  assert.match(
    initRefusal(DEFAULT_INIT_POLICY, node("a", ["tag:x"]), "operator")!,
    /^node a \(tag:x\) may not lock the tailnet: this coordinator lets operator; its operator changes that with --lock-init$/,
  );
  for (const bad of ["", "tag:", "tag:1", "node:", "node:A B", "alice,any", "alice,,bob"]) {
    assert.throws(() => parseInitPolicy(bad), /Cannot use --lock-init/, bad);
  }
});

Deno.test("LockServer: init of a node that may not is refused at both steps, and logged once; all else goes on", async () => {
  const world = await LockWorld.make({ init: ["node:alice"] });
  const alice = await world.join("alice", testKey(1));
  const bob = await world.join("bob", testKey(2));
  const GenesisAUM = toBase64(world.genesis([testKey(2)]).bytes);
  for (let i = 0; i < 2; i++) {
    await assert.rejects(
      world.call(bob, "init/begin", { GenesisAUM }),
      /node bob \(operator\) may not lock the tailnet/,
    );
  }
  await assert.rejects(world.call(bob, "init/finish", { Signatures: {} }), /may not lock the tailnet/);
  assert.equal(world.log.filter((line) => line.includes("may not lock")).length, 1);
  assert.equal(world.lock.active, undefined);
  await world.init(alice, [testKey(1), testKey(2)]);
  // Whoever made it: what a trusted key signed is taken from every node.
  assert.deepEqual(
    (await world.call(bob, "affected-sigs", { KeyID: toBase64(testKey(1).public) })).Signatures!.length,
    2,
  );
});

Deno.test("LockServer: tells what became of auth keys, by their public part", async () => {
  const world = await LockWorld.make();
  const alice = await world.join("alice", testKey(1));
  const { admin } = world.world;
  const [valid, expired] = await Promise.all([admin.createKey({ reusable: true }), admin.createKey({})]);
  await admin.expireKey(expired.id);
  const used = (await admin.listKeys()).find(({ state }) => state === "used");
  const IDs = [valid.id, expired.id, ...(used ? [used.id] : []), "nobody"];
  const { States } = await world.call(alice, "agent/auth-keys", { IDs });
  assert.deepEqual(States, [
    { ID: valid.id, State: "valid" },
    { ID: expired.id, State: "expired" },
    ...(used ? [{ ID: used.id, State: "used" }] : []),
    { ID: "nobody", State: "unknown" },
  ]);
  const many = Array.from({ length: 513 }, () => "x");
  await assert.rejects(world.call(alice, "agent/auth-keys", { IDs: many }), /513 auth keys, want at most 512/);
});
