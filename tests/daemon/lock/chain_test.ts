/** The chain with the branches that lost, and how the command line draws it. */
import assert from "node:assert/strict";
import { chainText } from "../../../cli/lock/chain_text.ts";
import type { ChainLinkJson } from "../../../cli/lock/chain_text.ts";
import { chainLinks } from "../../../daemon/lock/chain.ts";
import { chainLinkJson } from "../../../daemon/lock/status_json.ts";
import { drawChain, TestNode } from "../../support/chain_dsl.ts";

Deno.test("lock log: the chain with its forks: which branch won at each, and by which rule", () => {
  const tree = drawChain(`
    G -> A/1,2 -> B-3/1 -> C+5/1
    G -> X+6/1 -> Y/1 -> Z/1
              X -> W/1
         A -> D+7/2
  `);
  const node = new TestNode(tree.genesis).learn(["A", "B", "C", "X", "Y", "Z", "W", "D"].map((name) => tree.aum(name)));
  assert.equal(node.authority.head, tree.aum("C").hash);
  const links = chainLinks(node.authority, node.chonk, 50);
  const named = links.map(({ aum, lost }) => [
    aum.hash,
    ...lost.map(({ root, more, rule, votes, winnerVotes }) => [root.hash, more, rule, votes, winnerVotes]),
  ]);
  const { hash: [A, B, C, D, X] } = { hash: ["A", "B", "C", "D", "X"].map((name) => tree.aum(name).hash) };
  assert.deepEqual(named, [
    [C],
    [B, [D, 0, "removal", 1n, 1n]],
    [A, [X, 3, "votes", 1n, 2n]],
    [tree.genesis.hash],
  ]);
  assert.equal(chainLinks(node.authority, node.chonk, 2).length, 2);

  const text = chainText(JSON.parse(JSON.stringify(links.map(chainLinkJson))) as ChainLinkJson[], false);
  const lines = text.split("\n").filter((line) =>
    !/(KeyID|Signed by|Type): |^│$|Disablement|^│ [\s{}"]| - [0-9a-f]{64}|Keys:/.test(line)
  );
  assert.deepEqual(lines, [
    `● update ${C} (add-key)`,
    `● update ${B} (remove-key)`,
    `│ ○ update ${D} (add-key)`,
    "├─╯ lost: as many votes, and the other removes a key",
    lines[4],
    `│ ○ update ${X} (add-key), 3 more behind it`,
    "├─╯ lost: 1 vote against 2",
    `● update ${tree.genesis.hash} (checkpoint)`,
    "",
  ]);
  assert.ok(lines[4].startsWith(`● update ${A} (no-op)`));
});

Deno.test("lock log: of branches with equal votes that remove nothing the lower hash won", () => {
  const tree = drawChain(`
    G -> A+4
    G -> B+5
  `);
  const node = new TestNode(tree.genesis).learn([tree.aum("A"), tree.aum("B")]);
  const [link] = chainLinks(node.authority, node.chonk, 1);
  assert.equal(link.aum.hash, node.authority.head);
  assert.deepEqual(link.lost.map(({ rule }) => rule), ["hash"]);
  const text = chainText(JSON.parse(JSON.stringify([chainLinkJson(link)])) as ChainLinkJson[], true);
  assert.match(text, /lost: as many votes, and the other has the lower hash/);
  assert.ok(text.includes("\x1b[33mupdate"), "in colour on a terminal");
});
