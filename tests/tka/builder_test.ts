/** Building updates, and taking trust back. */
import assert from "node:assert/strict";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import { UpdateBuilder } from "../../tka/builder.ts";
import { cosign, makeRetroactiveRevocation } from "../../tka/recovery.ts";
import type { State } from "../../tka/state.ts";
import { stateIdText } from "../../tka/state.ts";
import { lockSigner } from "../../tka/signature.ts";
import { drawChain, longChain, TestNode } from "../support/chain_dsl.ts";
import { testKey } from "../support/lock_keys.ts";

Deno.test("UpdateBuilder makes updates that the authority takes", () => {
  const node = drawChain("G -> A").node("A");
  const updates = new UpdateBuilder(node.authority, lockSigner(testKey(1).lock))
    .addKey(testKey(4).key(2))
    .setKeyVotes(testKey(2).public, 7n)
    .setKeyMeta(testKey(2).public, new Map([["name", "two"]]))
    .removeKey(testKey(3).public)
    .finalize(node.authority, node.chonk);
  assert.deepEqual(updates.map(({ kind }) => kind), [
    AUM_KIND.ADD_KEY,
    AUM_KIND.UPDATE_KEY,
    AUM_KIND.UPDATE_KEY,
    AUM_KIND.REMOVE_KEY,
  ]);
  const { keys } = node.learn(updates).authority;
  assert.deepEqual(keys.map(({ votes }) => votes), [1n, 7n, 2n]);
  assert.equal(keys[1].meta?.get("name"), "two");
});

Deno.test("UpdateBuilder refuses what cannot be, and what came too late", () => {
  const tree = drawChain("G -> A -> B");
  const node = tree.node("A");
  const builder = () => new UpdateBuilder(node.authority, testKey(1));
  assert.throws(() => builder().addKey(testKey(2).key()), { code: "key-exists" });
  assert.throws(() => builder().removeKey(testKey(9).public), { code: "unknown-key" });
  assert.throws(() => builder().setKeyVotes(testKey(9).public, 1n), { code: "unknown-key" });
  assert.throws(() => builder().setKeyVotes(testKey(2).public, 0n), { code: "invalid" });
  const late = builder().addKey(testKey(4).key());
  node.learn([tree.aum("B")]);
  assert.throws(() => late.finalize(node.authority, node.chonk), { code: "stale-update" });
  const full = drawChain("G", { keys: Array.from({ length: 512 }, (_, i) => testKey(i + 1).key()) }).node();
  assert.throws(() => new UpdateBuilder(full.authority).addKey(testKey(600).key()), { code: "too-many-keys" });
});

Deno.test("UpdateBuilder.finalize() adds a checkpoint when there was none in the last 50 AUMs", () => {
  const { genesis } = drawChain("G");
  const trunk = longChain(genesis, genesis.state as State, 99, testKey(1), 50);
  for (const [sinceCheckpoint, due] of [[0, false], [47, false], [48, false], [49, true]] as const) {
    const node = new TestNode(genesis).learn(trunk.slice(0, 50 + sinceCheckpoint));
    const builder = new UpdateBuilder(node.authority, testKey(1)).addKey(testKey(4).key());
    const updates = builder.finalize(node.authority, node.chonk);
    const kinds = due ? [AUM_KIND.ADD_KEY, AUM_KIND.CHECKPOINT] : [AUM_KIND.ADD_KEY];
    assert.deepEqual(updates.map(({ kind }) => kind), kinds, `${sinceCheckpoint} since the last`);
    assert.equal(node.learn(updates).authority.head, updates.at(-1)?.hash);
    assert.equal(node.authority.keys.length, 4);
  }
  // Near its beginning a chain needs none.
  const young = new TestNode(genesis).learn(trunk.slice(0, 30));
  const first = new UpdateBuilder(young.authority, testKey(1)).finalize(young.authority, young.chonk);
  assert.deepEqual(first, []);
});

Deno.test("L9: makeRetroactiveRevocation() forks where the stolen key was not trusted yet", () => {
  const tree = drawChain("G -> A -> S+4 -> T+8/4 -> U-2/4");
  const robbed = tree.node("U");
  const ids = [testKey(4).public, testKey(8).public];
  const aum = makeRetroactiveRevocation(robbed.authority, robbed.chonk, ids, testKey(1).public);
  assert.equal(tree.nameOf(aum.parent as string), "A");
  const once = cosign(aum, testKey(1));
  assert.throws(() => cosign(once, testKey(1)), { code: "already-signed" });
  const recovered = cosign(once, testKey(3));
  robbed.learn([recovered]);
  assert.equal(robbed.authority.head, recovered.hash);
  assert.ok(!ids.some((id) => robbed.authority.trusts(id)));
  assert.ok(!robbed.authority.trusts(testKey(2).public), "what the thief removed stays removed: the state is today's");
  assert.equal(stateIdText(robbed.authority.state), "11:12");
});

Deno.test("L9: a thief who removed all others, or took their votes, is undone by naming whom to keep", () => {
  const tree = drawChain("G -> A^2=3 -> S+4 -> T^2=1/4 -> U-1/4 -> V-3/4 -> W-2/4");
  const robbed = tree.node("W");
  assert.deepEqual(robbed.authority.keys.length, 1, "the thief's own");
  const revoke = (keep: number[]) =>
    makeRetroactiveRevocation(robbed.authority, robbed.chonk, [testKey(4).public], testKey(1).public, {
      keep: keep.map((number) => testKey(number).public),
    });
  assert.throws(() => revoke([]), { code: "last-key", message: /name those to keep/ });
  assert.throws(() => revoke([8]), { code: "unknown-key" });
  const recovered = cosign(cosign(revoke([1, 2]), testKey(1)), testKey(3));
  assert.equal(tree.nameOf(recovered.parent as string), "A");
  robbed.learn([recovered]);
  assert.equal(robbed.authority.head, recovered.hash);
  assert.deepEqual(robbed.authority.keys.map(({ votes }) => votes), [1n, 3n], "votes and all");
});

Deno.test("makeRetroactiveRevocation() goes to the oldest AUM, or where it is told, or says why not", () => {
  const tree = drawChain("G -> A -> B");
  const { authority, chonk } = tree.node("B");
  const revoke = (ids: Uint8Array[], ours = testKey(1).public) =>
    makeRetroactiveRevocation(authority, chonk, ids, ours);
  assert.equal(revoke([testKey(2).public]).parent, tree.genesis.hash);
  const told = makeRetroactiveRevocation(authority, chonk, [testKey(2).public], testKey(1).public, {
    forkFrom: tree.aum("A").hash,
  });
  assert.equal(told.parent, tree.aum("A").hash);
  assert.throws(() => revoke([testKey(9).public]), { code: "unknown-key" });
  assert.throws(() => revoke([1, 2, 3].map((n) => testKey(n).public)), { code: "last-key" });
});
