/** L16: rounds between a node and control that end synced, or with a name for what is wrong. */
import assert from "node:assert/strict";
import type { Aum } from "../../tka/aum.ts";
import { COMPACTION_DEFAULTS } from "../../tka/limits.ts";
import type { State } from "../../tka/state.ts";
import { missingAums, syncOffer } from "../../tka/sync.ts";
import { firstPage, offerFor, receiveAnswer, roundOutcome } from "../../tka/sync_round.ts";
import type { SyncRound } from "../../tka/sync_round.ts";
import { drawChain, longChain, TestNode } from "../support/chain_dsl.ts";
import { testKey } from "../support/lock_keys.ts";
import { SeededRandom } from "../support/random.ts";

const { genesis } = drawChain("G");
const state = genesis.state as State;
const MONTH = 30 * 24 * 3600 * 1000;

/** Control's answer: made for the asker, or as upstream's control gives it. */
function answer(control: TestNode, node: TestNode, forAsker: boolean, page: number) {
  const asker = syncOffer(node.authority, node.chonk);
  const offer = forAsker
    ? offerFor(control.authority, control.chonk, asker)
    : syncOffer(control.authority, control.chonk);
  let received: readonly Aum[] = [];
  try {
    received = firstPage(missingAums(control.authority, control.chonk, asker), page);
  } catch {
    // Control finds nothing in common.
  }
  return { offer, received };
}

function round(control: TestNode, node: TestNode, forAsker: boolean, page = 1 << 30): SyncRound {
  const { offer, received } = answer(control, node, forAsker, page);
  const result = receiveAnswer(node.authority, node.chonk, offer, received, 0);
  node.authority = result.authority;
  if (result.kind === "exchange") control.learn(result.send);
  return result;
}

Deno.test("L16: a compacted node far behind is in sync after one round, whoever made the offer", () => {
  const aums = longChain(genesis, state, 3200, testKey(1));
  for (const forAsker of [true, false]) {
    const control = new TestNode(genesis).learn(aums);
    const node = new TestNode(genesis).learn(aums.slice(0, 120));
    node.authority = node.authority.compact(node.chonk, COMPACTION_DEFAULTS, MONTH);
    assert.equal(round(control, node, forAsker).kind, "exchange");
    assert.equal(roundOutcome(node.authority, control.authority.head), "synced");
    assert.equal(round(control, node, forAsker).kind, "up-to-date");
  }
});

Deno.test("L16: pages bring a node up in as many rounds", () => {
  const aums = longChain(genesis, state, 500, testKey(1));
  const control = new TestNode(genesis).learn(aums);
  const node = new TestNode(genesis);
  let rounds = 0;
  for (; node.authority.head !== control.authority.head; rounds++) {
    assert.equal(round(control, node, true, 20_000).kind, "exchange");
    assert.ok(rounds < 100);
  }
  assert.ok(rounds > 3, `${rounds} rounds`);
});

Deno.test("L16: a node whose fork point is compacted away takes what it was sent, or says it cannot", () => {
  const trunk = longChain(genesis, state, 100, testKey(1));
  const own = longChain(trunk[99], state, 120, testKey(2), 50, "own");
  const others = longChain(trunk[99], state, 120, testKey(3), 50, "others");
  const control = new TestNode(genesis).learn(trunk).learn(others);
  const node = new TestNode(genesis).learn(trunk).learn(own);
  node.authority = node.authority.compact(node.chonk, COMPACTION_DEFAULTS, MONTH);
  assert.equal(round(control, node, true).kind, "no-common-history");
});

Deno.test("AUMs that do not verify are refused whole and by name", () => {
  const tree = drawChain("G -> A -> B/9");
  const node = tree.node();
  const offer = { head: tree.aum("B").hash, ancestors: [tree.genesis.hash] };
  const result = receiveAnswer(node.authority, node.chonk, offer, tree.to("B"), 0);
  assert.ok(result.kind === "refused" && result.error.code === "unknown-key");
  assert.equal(node.chonk.size, 1);
});

Deno.test("a control that withholds leaves a named state, not a retry", () => {
  const tree = drawChain("G -> A -> B");
  const node = tree.node("A");
  const stranger = drawChain("G -> X", { stateId1: 9n });
  const offer = { head: stranger.aum("X").hash, ancestors: [stranger.genesis.hash] };
  assert.equal(receiveAnswer(node.authority, node.chonk, offer, [], 0).kind, "no-common-history");
  const withholds = { head: tree.aum("B").hash, ancestors: [tree.genesis.hash] };
  const result = receiveAnswer(node.authority, node.chonk, withholds, [], 0);
  assert.equal(result.kind, "exchange");
  assert.equal(roundOutcome(result.authority, tree.aum("B").hash), "diverged");
});

Deno.test("firstPage() keeps parents first, under the limit, and always moves", () => {
  const aums = longChain(genesis, state, 20, testKey(1));
  const sizes = aums.map((aum) => Math.ceil(aum.bytes.length / 3) * 4 + 3);
  assert.deepEqual(firstPage(aums), aums);
  assert.equal(firstPage(aums, 1).length, 1);
  assert.equal(firstPage(aums, sizes[0] + sizes[1]).length, 2);
  assert.equal(firstPage(aums, sizes[0] + sizes[1] - 1).length, 1);
  assert.equal(firstPage([]).length, 0);
});

Deno.test("L16: random histories, compacted where acknowledged, end in sync within three rounds", () => {
  const seed = 20261122;
  const random = new SeededRandom(seed);
  for (let world = 0; world < 40; world++) {
    const trunk = longChain(genesis, state, 1 + random.int(150), testKey(1), 20);
    const at = random.int(trunk.length);
    const control = new TestNode(genesis).learn(trunk);
    const node = new TestNode(genesis).learn(trunk.slice(0, at));
    const acknowledged = node.authority.head;
    if (random.chance(0.5)) {
      node.learn(longChain(trunk[at - 1] ?? genesis, state, random.int(60), testKey(2), 20, "own"));
    }
    if (random.chance(0.7)) {
      const request = { ...COMPACTION_DEFAULTS, keepFrom: acknowledged };
      node.authority = node.authority.compact(node.chonk, request, MONTH);
    }
    for (let rounds = 0; rounds < 3; rounds++) round(control, node, random.chance(0.5));
    assert.equal(node.authority.head, control.authority.head, `seed ${seed}, world ${world}`);
    assert.deepEqual(node.authority.state, control.authority.state);
  }
});
