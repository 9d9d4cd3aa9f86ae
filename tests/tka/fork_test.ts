/** Which branch wins, whatever order its AUMs come in. */
import assert from "node:assert/strict";
import { Aum } from "../../tka/aum.ts";
import { pickNextAum } from "../../tka/fork.ts";
import { drawChain, TestNode } from "../support/chain_dsl.ts";
import { SeededRandom } from "../support/random.ts";
import vectors from "../vectors/tailscale_tka.json" with { type: "json" };

for (const { Name, Genesis, Children, Head } of vectors.forks) {
  Deno.test(`a fork goes as upstream's: ${Name}`, () => {
    const genesis = Aum.decode(Uint8Array.fromHex(Genesis));
    const children = Children.map((hex) => Aum.decode(Uint8Array.fromHex(hex)));
    for (const order of [children, children.toReversed()]) {
      const node = new TestNode(genesis).learn(order);
      assert.equal(node.authority.head, Head);
      assert.equal(pickNextAum({ ...genesis.state!, lastAumHash: genesis.hash }, order)?.hash, Head);
    }
  });
}

Deno.test("pickNextAum() of no children is none", () => {
  const { genesis } = drawChain("G -> A");
  assert.equal(pickNextAum({ ...genesis.state!, lastAumHash: null }, []), undefined);
});

Deno.test("the choice at a fork counts votes of the state there, not of later ones", () => {
  // Key 2 gets its votes on the branch it wants to win with.
  const tree = drawChain(`
    G -> A -> V^2=9/1 -> W/2
         A -> X/1,3
  `);
  const head = tree.nameOf(tree.node("W", "X").authority.head);
  assert.equal(head, "X");
});

Deno.test("all orders of arrival lead to one head", () => {
  const tree = drawChain(`
    G -> A -> B -> C/1,2 -> D
         A -> X/2,3 -> Y* -> Z
              X -> P/1,2,3
         A -> R-3/1,2
  `);
  const ends = ["D", "Z", "P", "R"];
  const random = new SeededRandom(5);
  const heads = new Set<string>();
  for (let i = 0; i < 50; i++) {
    const order = [...ends].sort(() => random.float() - 0.5);
    heads.add(tree.nameOf(tree.node(...order).authority.head));
  }
  assert.deepEqual([...heads], ["R"]);
});
