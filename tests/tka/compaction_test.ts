/** What compaction keeps of drawn trees. AUMs are old unless their name is given as young. */
import assert from "node:assert/strict";
import { Authority } from "../../tka/authority.ts";
import type { CompactionRequest } from "../../tka/compaction.ts";
import { COMPACTION_DEFAULTS } from "../../tka/limits.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import type { State } from "../../tka/state.ts";
import { missingAums, syncOffer } from "../../tka/sync.ts";
import { drawChain, longChain, TestNode } from "../support/chain_dsl.ts";
import type { DrawnChain } from "../support/chain_dsl.ts";
import { testKey } from "../support/lock_keys.ts";

const NOW = 1_000_000_000;
const REQUEST: CompactionRequest = { minChain: 2, minAgeMs: 1000 };

/** A store of the drawing's AUMs, committed long ago, or just now if young. */
function store(tree: DrawnChain, names: string, young = ""): MemChonk {
  const chonk = new MemChonk();
  for (const name of names.split(" ")) chonk.commit([tree.aum(name)], young.split(" ").includes(name) ? NOW : 0);
  chonk.setLastActiveAncestor(tree.genesis.hash);
  return chonk;
}

/** What is left, in the drawing's order, and the new oldest AUM. */
function left(
  tree: DrawnChain,
  chonk: MemChonk,
  names: string,
  request: CompactionRequest = REQUEST,
): [string, string] {
  const before = Authority.open(chonk);
  const after = before.compact(chonk, request, NOW);
  assert.equal(after.head, before.head);
  assert.deepEqual(after.state, before.state);
  assert.equal(Authority.open(chonk).head, before.head, "the compacted store opens to the same head");
  const kept = names.split(" ").filter((name) => chonk.aum(tree.aum(name).hash) !== undefined).join(" ");
  return [kept, tree.nameOf(after.oldestAncestor)];
}

Deno.test("compact() cuts at the first checkpoint behind the minimum", () => {
  const names = "G A B C D E F";
  const tree = drawChain("G -> A -> B* -> C* -> D -> E -> F");
  assert.deepEqual(left(tree, store(tree, names), names), ["C D E F", "C"]);
  assert.deepEqual(left(tree, store(tree, names), names, { minChain: 4, minAgeMs: 1000 }), ["B C D E F", "B"]);
  assert.deepEqual(left(tree, store(tree, names), names, { minChain: 99, minAgeMs: 1000 }), [names, "G"]);
});

Deno.test("compact() does not cut at a young checkpoint, and keeps what is young with all that follows it", () => {
  const names = "G A B C D E";
  const tree = drawChain("G -> A* -> B* -> C -> D -> E");
  assert.deepEqual(left(tree, store(tree, names, "B C D E"), names), ["A B C D E", "A"]);
  assert.deepEqual(left(tree, store(tree, names, names), names), [names, "G"]);
});

Deno.test("compact() keeps branches of what it keeps to their ends, and purges older ones", () => {
  const names = "G A B C D E X Y P Q";
  const tree = drawChain(`
    G -> A -> B*/1,2 -> C/1,2 -> D/1,2 -> E
         A -> P -> Q
                   B -> X -> Y
  `);
  assert.deepEqual(left(tree, store(tree, names), names), ["B C D E X Y", "B"]);
});

Deno.test("compact() moves the oldest AUM back for a young branch that left the chain earlier", () => {
  const names = "G A B C D E F X Y";
  const tree = drawChain(`
    G -> A* -> B/1,2 -> C/1,2 -> D* -> E -> F
               B -> X -> Y
  `);
  assert.deepEqual(left(tree, store(tree, names), names), ["D E F", "D"]);
  assert.deepEqual(left(tree, store(tree, names, "Y"), names), ["A B C D E F X Y", "A"]);
});

Deno.test("compact() of a chain that was bootstrapped from a young checkpoint keeps it all", () => {
  const tree = drawChain("G -> A* -> B -> C -> D");
  const node = new TestNode(tree.aum("A"), NOW).learn(tree.to("D").slice(1), NOW);
  const after = node.authority.compact(node.chonk, REQUEST, NOW);
  assert.equal(tree.nameOf(after.oldestAncestor), "A");
  assert.equal(node.chonk.size, 4);
});

Deno.test("L16: compact() purges nothing from the last acknowledged head on", () => {
  const names = "G A B C D E F";
  const tree = drawChain("G -> A* -> B -> C* -> D -> E -> F");
  const keepFrom = (name: string) => ({ ...REQUEST, keepFrom: tree.aum(name).hash });
  assert.deepEqual(left(tree, store(tree, names), names, keepFrom("B")), ["A B C D E F", "A"]);
  assert.deepEqual(left(tree, store(tree, names), names, keepFrom("G")), [names, "G"]);
  assert.deepEqual(left(tree, store(tree, names), names, keepFrom("F")), ["C D E F", "C"]);
});

Deno.test("L16: a node with a branch of its own finds back after compaction, which without keepFrom it does not", () => {
  const { genesis } = drawChain("G");
  const state = genesis.state as State;
  const trunk = longChain(genesis, state, 100, testKey(1));
  const own = longChain(trunk[99], state, 120, testKey(2), 50, "own");
  const others = longChain(trunk[99], state, 120, testKey(3), 50, "others");
  const control = new TestNode(genesis).learn(trunk).learn(others);
  for (const acknowledged of [undefined, trunk[99].hash]) {
    const node = new TestNode(genesis).learn(trunk).learn(own);
    const request = { ...COMPACTION_DEFAULTS, keepFrom: acknowledged };
    node.authority = node.authority.compact(node.chonk, request, 30 * 24 * 3600 * 1000);
    const sync = () => {
      const theirs = missingAums(control.authority, control.chonk, syncOffer(node.authority, node.chonk));
      missingAums(node.authority, node.chonk, syncOffer(control.authority, control.chonk));
      node.learn(theirs);
    };
    if (acknowledged === undefined) assert.throws(sync, { code: "no-intersection" });
    else {
      sync();
      const back = new TestNode(genesis).learn(trunk).learn(own).learn(others);
      assert.equal(node.authority.head, back.authority.head);
    }
  }
});

Deno.test("compact() refuses options that keep nothing", () => {
  const node = drawChain("G -> A").node("A");
  for (const request of [{ minChain: 0, minAgeMs: 1 }, { minChain: 1, minAgeMs: 0 }]) {
    assert.throws(() => node.authority.compact(node.chonk, request, 0), { code: "bad-compaction" });
  }
});
