/** What the coordinator answers nodes far behind, and what stock nodes make of it (L16). */
import assert from "node:assert/strict";
import { toBase64 } from "../../../../base/bytes.ts";
import { answerOffer } from "../../../../control/server/lock/answer_offer.ts";
import { bootstrapCheckpoint } from "../../../../control/server/lock/bootstrap_checkpoint.ts";
import { LockChain } from "../../../../control/server/lock/lock_chain.ts";
import { MAX_AUM_BYTES, STOCK_AUMS } from "../../../../control/server/lock/stock_limits.ts";
import type { Aum } from "../../../../tka/aum.ts";
import { AUM_KIND } from "../../../../tka/aum_kind.ts";
import { Authority } from "../../../../tka/authority.ts";
import { UPSTREAM_WALK_LIMITS } from "../../../../tka/limits.ts";
import { MemChonk } from "../../../../tka/mem_chonk.ts";
import { missingAums, syncOffer } from "../../../../tka/sync.ts";
import { drawChain, longChain } from "../../../support/chain_dsl.ts";
import { testKey } from "../../../support/lock_keys.ts";
import { LockWorld, SECRET, StockNode } from "../../../support/lock_world.ts";

const ALICE = testKey(1);

function chainOf(genesis: Aum, aums: readonly Aum[]): LockChain {
  const chonk = new MemChonk();
  const authority = Authority.bootstrap(chonk, genesis, 0);
  return new LockChain(chonk, aums.length === 0 ? authority : authority.inform(chonk, aums, 0));
}

/** A lock of so many AUMs that both machines have from its beginning. */
async function locked(page?: number) {
  const world = await LockWorld.make({ page });
  const alice = await world.join("alice", ALICE);
  const bob = await world.join("bob", testKey(2));
  const genesis = await world.init(alice, [ALICE, testKey(2)]);
  const node = new StockNode(world, bob, UPSTREAM_WALK_LIMITS);
  await node.netmap();
  const grow = async (count: number) => {
    const { chain } = world.lock.active!;
    await world.submit(...longChain(chain.chonk.aum(chain.head)!, chain.authority.state, count, ALICE));
  };
  /** Netmaps, one for each push to the node, until there is none. */
  const follow = async () => {
    for (let maps = 1;; maps++) {
      world.pushes.length = 0;
      await node.netmap(world.server.info(bob.id)?.Disabled === true);
      if (!world.pushes.includes(bob.id)) return maps;
    }
  };
  return { world, alice, bob, genesis, node, grow, follow };
}

Deno.test("answerOffer() finds the joint of any branch, as tka's own search does where that finds one", () => {
  const tree = drawChain(`
    G -> A -> B* -> C -> D -> E* -> F -> H
         A -> X -> Y
              B* -> P-2/1,3 -> Q
  `);
  const names = ["A", "B", "C", "D", "E", "F", "H", "X", "Y", "P", "Q"];
  const chain = chainOf(tree.genesis, names.map((name) => tree.aum(name)));
  for (const name of names) {
    const node = chainOf(tree.genesis, tree.to(name));
    const asker = syncOffer(node.authority, node.chonk);
    const { missing, sync, offer } = answerOffer(chain, asker, { store: Infinity });
    const expected = missingAums(chain.authority, chain.chonk, asker);
    const known = chain.jointOf(node.head)!;
    assert.deepEqual(missing.map(({ hash }) => hash), chain.after(known.place).map(({ hash }) => hash));
    assert.ok(expected.length >= missing.length, "never more than the walk finds");
    if (sync.kind !== "synced") assert.equal(offer.ancestors[0], node.head);
    assert.doesNotThrow(() => missingAums(node.authority, node.chonk, offer));
    if (missing.length > 0) assert.equal(node.authority.inform(node.chonk, missing, 0).head, chain.head);
  }
});

for (const count of [300, 1200, 1850]) {
  Deno.test(`lock: a stock node ${count} AUMs behind is in sync after one netmap (L16)`, async () => {
    const { world, node, grow, follow, bob } = await locked();
    await grow(count);
    assert.equal(await follow(), 1);
    assert.equal(node.head, world.lock.active!.chain.head);
    assert.equal(world.server.reports.of(world.record(bob))!.sync, "synced");
  });
}

Deno.test("lock: missing AUMs go out in pages, parents first, and a push after each brings the next (L16)", async () => {
  const { world, node, grow, follow } = await locked(20_000);
  await grow(700);
  const maps = await follow();
  assert.ok(maps > 3, `${maps} pages`);
  assert.equal(node.head, world.lock.active!.chain.head);
});

Deno.test("lock: a stock node is never given more than 1,900 AUMs, and named; one that has no limit gets all (L16)", async () => {
  const { world, bob, node, grow, follow, genesis } = await locked();
  await grow(2500);
  await follow();
  assert.equal(node.chonk.size, STOCK_AUMS);
  const report = world.server.reports.of(world.record(bob))!;
  assert.deepEqual([report.sync, report.behind], ["full", 601]);
  assert.match(report.remedy!, /tka-profiles/);
  assert.doesNotThrow(() => Authority.open(node.chonk, UPSTREAM_WALK_LIMITS), "it still opens at its next start");
  assert.ok(world.log.some((line) => /has 2501 AUMs/.test(line)), "the operator was warned");
  await follow();
  assert.equal(node.chonk.size, STOCK_AUMS, "asked again, it gets nothing");

  const { chain } = world.lock.active!;
  const fromStart = { head: genesis.hash, ancestors: [genesis.hash] };
  const { missing, sync } = answerOffer(chain, fromStart, { store: Infinity });
  assert.deepEqual([missing.length, sync.kind], [2500, "behind"]);
});

Deno.test("lock: on a long chain new stock nodes begin at a checkpoint, and forks before it are refused from then on", async () => {
  const { world, grow, genesis, alice } = await locked();
  await grow(1400);
  const carol = await world.join("carol", testKey(3));
  const first = await world.call(carol, "bootstrap", { Head: "" });
  assert.equal(first.GenesisAUM, toBase64(genesis.bytes), "a short chain has room for all forks");
  await grow(2000);
  const node = new StockNode(world, carol, UPSTREAM_WALK_LIMITS);
  await node.netmap();
  assert.equal(node.head, world.lock.active!.chain.head);
  assert.ok(node.chonk.size > 1000 && node.chonk.size < 1100, `${node.chonk.size} AUMs`);
  const { chain, record } = world.lock.active!;
  assert.equal(record.floor, node.authority!.oldestAncestor);
  const early = longChain(chain.at(100)!, chain.authority.state, 1, ALICE, 50, "fork");
  const send = (aum: Aum) =>
    world.call(alice, "sync/send", { Head: aum.hash, MissingAUMs: [toBase64(aum.bytes)], Interactive: false });
  await assert.rejects(send(early[0]), /a fork before checkpoint/);
  await send(longChain(chain.at(3000)!, chain.authority.state, 1, ALICE, 50, "fork")[0]);
});

Deno.test("bootstrapCheckpoint() fits into what a stock node reads", () => {
  assert.ok(Math.ceil(MAX_AUM_BYTES / 3) * 4 + 200 < 1 << 20);
  const genesis = drawChain("G -> A").genesis;
  const state = { ...genesis.state!, lastAumHash: null };
  const chain = chainOf(genesis, longChain(genesis, state, 5000, ALICE, 50));
  const checkpoint = bootstrapCheckpoint(chain, STOCK_AUMS);
  assert.equal(checkpoint.kind, AUM_KIND.CHECKPOINT);
  const behind = chain.length - 1 - chain.placeOf(checkpoint.hash)!;
  assert.ok(behind >= 1000 && behind < 1050);
  assert.equal(bootstrapCheckpoint(chain, Infinity), genesis);
});

Deno.test("lock: disabled and made anew while a node was away: it is shown the end, gets the secret, and joins (L16)", async () => {
  const { world, alice, bob, node, genesis, follow } = await locked();
  await world.call(alice, "disable", { Head: genesis.hash, DisablementSecret: toBase64(SECRET) });
  const other = new Uint8Array(32).fill(0x77);
  const second = await world.init(alice, [ALICE], other);
  // It comes back and tells its head in the map request.
  world.pushes.length = 0;
  await world.server.told(bob.id, node.head!);
  assert.deepEqual(world.pushes, [bob.id]);
  assert.equal(world.server.reports.of(world.record(bob))!.sync, "old-lock");
  assert.deepEqual(world.server.info(bob.id), { Disabled: true });
  assert.deepEqual(world.server.info(alice.id), { Head: second.hash }, "no one else is shown that");
  assert.equal(await follow(), 2);
  assert.equal(node.head, second.hash);
  assert.deepEqual(world.server.info(bob.id), { Head: second.hash });
  // Twice over: the secret is that of the lock it has, not of the last.
  await world.call(alice, "disable", { Head: second.hash, DisablementSecret: toBase64(other) });
  await world.init(alice, [ALICE], new Uint8Array(32).fill(0x78));
  const old = await world.call(bob, "bootstrap", { Head: genesis.hash });
  assert.equal(old.DisablementSecret, toBase64(SECRET));
});

Deno.test("lock: a node with a branch whose beginning it forgot is named, and sent nothing it could not use (L16)", () => {
  const tree = drawChain(`
    G -> A -> B* -> C -> D-2/1,3 -> E
                    C -> X* -> Y
  `);
  const chain = chainOf(tree.genesis, ["A", "B", "C", "D", "E", "X", "Y"].map((name) => tree.aum(name)));
  const compacted = { head: tree.aum("Y").hash, ancestors: [tree.aum("X").hash] };
  const { missing, sync } = answerOffer(chain, compacted, { store: Infinity });
  assert.deepEqual([missing.length, sync.kind], [0, "no-common-history"]);
});

Deno.test("answerOffer(): 20,000 AUMs behind costs no walk over the chain", () => {
  const genesis = drawChain("G -> A").genesis;
  const state = { ...genesis.state!, lastAumHash: null };
  const chain = chainOf(genesis, longChain(genesis, state, 20_000, ALICE, 50));
  const asker = { head: genesis.hash, ancestors: [genesis.hash] };
  const begun = performance.now();
  for (let i = 0; i < 20; i++) answerOffer(chain, asker, { store: STOCK_AUMS });
  const each = (performance.now() - begun) / 20;
  console.log(`20,000 behind: ${each.toFixed(2)} ms an answer`);
  assert.ok(each < 50);
});
