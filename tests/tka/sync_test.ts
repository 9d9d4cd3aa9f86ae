/** How two nodes find what the other lacks: drawn scenarios, the offer rule of upstream's head, far-behind nodes. */
import assert from "node:assert/strict";
import type { Aum } from "../../tka/aum.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import { UPSTREAM_WALK_LIMITS } from "../../tka/limits.ts";
import type { State } from "../../tka/state.ts";
import { missingAums, syncIntersection, syncOffer } from "../../tka/sync.ts";
import { firstPage, offerFor } from "../../tka/sync_round.ts";
import type { DrawnChain, TestNode as Node } from "../support/chain_dsl.ts";
import { drawChain, longChain, TestNode } from "../support/chain_dsl.ts";
import { testKey } from "../support/lock_keys.ts";
import { SeededRandom } from "../support/random.ts";

/** What B would send A, by name. */
function missing(tree: DrawnChain, a: Node, b: Node): string {
  return tree.names(missingAums(b.authority, b.chonk, syncOffer(a.authority, a.chonk)));
}

/** One exchange as it happens: both compute before either applies. */
function exchange(a: Node, b: Node): void {
  const [offerA, offerB] = [syncOffer(a.authority, a.chonk), syncOffer(b.authority, b.chonk)];
  const toA = missingAums(b.authority, b.chonk, offerA);
  const toB = missingAums(a.authority, a.chonk, offerB);
  a.learn(toA);
  b.learn(toB);
}

Deno.test("nodes with equal heads exchange nothing", () => {
  const tree = drawChain("G -> A -> B");
  const [a, b] = [tree.node("B"), tree.node("B")];
  assert.deepEqual(syncIntersection(a.authority, a.chonk, syncOffer(b.authority, b.chonk)), { kind: "up-to-date" });
  assert.equal(missing(tree, a, b), "");
});

Deno.test("a node behind gets what follows its head", () => {
  const tree = drawChain("G -> A -> B* -> C -> D");
  const [behind, ahead] = [tree.node("A"), tree.node("D")];
  assert.equal(missing(tree, behind, ahead), "B C D");
  // The one behind does not know the other's head, and sends nothing new.
  const offer = syncOffer(ahead.authority, ahead.chonk);
  assert.deepEqual(syncIntersection(behind.authority, behind.chonk, offer), { kind: "tail", at: tree.genesis.hash });
  exchange(behind, ahead);
  assert.equal(behind.authority.head, tree.aum("D").hash);
});

Deno.test("nodes on two branches meet where the branches part and end with one head", () => {
  const tree = drawChain(`
    G -> A -> B -> C/1,2 -> D
         A -> X/1,2,3 -> Y
  `);
  const [a, b] = [tree.node("D"), tree.node("Y")];
  exchange(a, b);
  assert.equal(tree.nameOf(a.authority.head), "Y");
  assert.equal(a.authority.head, b.authority.head);
  assert.deepEqual(a.authority.state, b.authority.state);
});

Deno.test("a head that we hold on a branch that lost is not a head intersection", () => {
  const tree = drawChain(`
    G -> A* -> B -> C
         A -> X/1,2
  `);
  const both = tree.node("C", "X");
  const loser = tree.node("C");
  const offer = syncOffer(loser.authority, loser.chonk);
  assert.deepEqual(syncIntersection(both.authority, both.chonk, offer), { kind: "tail", at: tree.aum("A").hash });
  assert.equal(missing(tree, loser, both), "X");
});

Deno.test("nodes of two locks have no intersection", () => {
  const [one, other] = [drawChain("G -> A").node("A"), drawChain("G -> A", { stateId1: 5n }).node("A")];
  assert.throws(() => missingAums(one.authority, one.chonk, syncOffer(other.authority, other.chonk)), {
    code: "no-intersection",
  });
});

Deno.test("syncOffer() lists every checkpoint, newest first, and the oldest AUM once at the end", () => {
  const tree = drawChain("G -> A -> B* -> C* -> D -> E*");
  const offered = (node: Node) => syncOffer(node.authority, node.chonk).ancestors.map((h) => tree.nameOf(h)).join(" ");
  assert.equal(offered(tree.node("E")), "E C B G"); // the head too, being a checkpoint
  assert.equal(offered(tree.node("D")), "C B G");
  assert.equal(offered(tree.node("A")), "G");
  assert.equal(offered(tree.node()), "G");
  const later = new TestNode(tree.aum("B")).learn([tree.aum("C"), tree.aum("D")]);
  assert.equal(offered(later), "C B"); // B is the oldest it knows
});

Deno.test("syncOffer() looks back 1,000 AUMs, and then names the oldest all the same", () => {
  const { genesis } = drawChain("G");
  const aums = longChain(genesis, genesis.state as State, 1234, testKey(1));
  const node = new TestNode(genesis).learn(aums);
  const offer = syncOffer(node.authority, node.chonk);
  const checkpoints = aums.slice(234).filter((aum) => aum.kind === AUM_KIND.CHECKPOINT);
  assert.deepEqual(offer.ancestors, [...checkpoints.reverse().map((aum) => aum.hash), genesis.hash]);
  assert.equal(offer.ancestors.length, 21);
});

Deno.test("L16: a node far behind catches up at any distance by our bounds; by upstream's to 2,000", () => {
  const { genesis } = drawChain("G");
  const aums = longChain(genesis, genesis.state as State, 4200, testKey(1));
  const full = new TestNode(genesis).learn(aums);
  const distances = [0, 1, 49, 50, 999, 1000, 1001, 2001, 4199];
  for (const behindBy of distances) {
    const behind = new TestNode(genesis).learn(aums.slice(0, aums.length - behindBy));
    const send = missingAums(full.authority, full.chonk, syncOffer(behind.authority, behind.chonk));
    assert.equal(send.length, behindBy);
    assert.equal(behind.learn(send).authority.head, full.authority.head, `${behindBy} behind`);
  }
  const stock = new TestNode(genesis, 0, UPSTREAM_WALK_LIMITS);
  for (let from = 0; from < aums.length; from += 1000) stock.learn(aums.slice(from, from + 1000));
  const far = new TestNode(genesis).learn(aums.slice(0, 60));
  assert.throws(() => missingAums(stock.authority, stock.chonk, syncOffer(far.authority, far.chonk)), {
    code: "iteration-limit",
  });
});

Deno.test("L16: checkpoints in the offer let a compacted node find common ground that samples by distance miss", () => {
  const { genesis } = drawChain("G");
  const aums = longChain(genesis, genesis.state as State, 900, testKey(1));
  const control = new TestNode(genesis).learn(aums);
  const behind = new TestNode(genesis).learn(aums.slice(0, 500));
  behind.authority = behind.authority.compact(behind.chonk, { minChain: 24, minAgeMs: 1 }, 1000);
  assert.ok(behind.chonk.size < 80, `${behind.chonk.size} AUMs left`);
  exchange(behind, control);
  assert.equal(behind.authority.head, control.authority.head);
});

Deno.test("L16: offerFor() names what the asker has, so that upstream's search ends there at any distance", () => {
  const { genesis } = drawChain("G");
  const aums = longChain(genesis, genesis.state as State, 2500, testKey(1));
  const control = new TestNode(genesis).learn(aums);
  const asker = new TestNode(genesis, 0, UPSTREAM_WALK_LIMITS).learn(aums.slice(0, 120));
  asker.authority = asker.authority.compact(asker.chonk, { minChain: 24, minAgeMs: 1 }, 1000);
  const offers = [control, asker].map((node) => syncOffer(node.authority, node.chonk));
  assert.throws(() => missingAums(asker.authority, asker.chonk, offers[0]), { code: "no-intersection" });
  const made = offerFor(control.authority, control.chonk, offers[1]);
  assert.deepEqual(made.ancestors, [asker.authority.head, ...offers[0].ancestors]);
  assert.deepEqual(missingAums(asker.authority, asker.chonk, made), []);
  // One that branched off is shown where, and sends its branch.
  const branch = longChain(aums[119], genesis.state as State, 3, testKey(2), 50, "own");
  asker.learn(branch);
  const again = offerFor(control.authority, control.chonk, syncOffer(asker.authority, asker.chonk));
  assert.deepEqual(missingAums(asker.authority, asker.chonk, again).slice(-3), branch);
  // And a stranger gets the plain offer.
  const stranger = drawChain("G", { stateId1: 9n }).node();
  assert.deepEqual(
    offerFor(control.authority, control.chonk, syncOffer(stranger.authority, stranger.chonk)),
    offers[0],
  );
});

Deno.test("firstPage() keeps parents first, under the limit, and always moves", () => {
  const { genesis } = drawChain("G");
  const aums = longChain(genesis, genesis.state as State, 20, testKey(1));
  const sizes = aums.map((aum) => Math.ceil(aum.bytes.length / 3) * 4 + 3);
  assert.deepEqual(firstPage(aums), aums);
  assert.equal(firstPage(aums, 1).length, 1);
  assert.equal(firstPage(aums, sizes[0] + sizes[1]).length, 2);
  assert.equal(firstPage(aums, sizes[0] + sizes[1] - 1).length, 1);
  assert.equal(firstPage([]).length, 0);
});

Deno.test("random branches on both sides always converge in one exchange", () => {
  const seed = 20261122;
  const random = new SeededRandom(seed);
  for (let world = 0; world < 60; world++) {
    const { genesis } = drawChain("G");
    const state = genesis.state as State;
    const trunk = longChain(genesis, state, random.int(120), testKey(1), 10);
    const [a, b] = [0, 1].map((side) => {
      const node = new TestNode(genesis);
      const upTo = trunk.slice(0, random.int(trunk.length + 1));
      const fork = longChain(
        upTo.at(-1) ?? genesis,
        state,
        random.int(6),
        testKey(1 + random.int(3)),
        10,
        `side ${side}`,
      );
      return node.learn(upTo).learn(fork);
    });
    exchange(a, b);
    assert.equal(a.authority.head, b.authority.head, `seed ${seed}, world ${world}`);
    assert.deepEqual(a.authority.state, b.authority.state);
  }
});

Deno.test("L13: an offer of thousands of unknown ancestors costs look-ups only", () => {
  const tree = drawChain("G -> A");
  const node = tree.node("A");
  const strangers: Aum[] = longChain(tree.genesis, tree.genesis.state as State, 3000, testKey(2), 50, "stranger");
  const offer = { head: strangers[0].hash, ancestors: strangers.map((aum) => aum.hash) };
  assert.throws(() => missingAums(node.authority, node.chonk, offer), { code: "no-intersection" });
});
