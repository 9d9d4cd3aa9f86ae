/** The contract of `CompactableChonk`, run against every store: call `testChonk` with a way to make an empty one. */
import assert from "node:assert/strict";
import type { CompactableChonk } from "../../tka/chonk.ts";
import type { Aum } from "../../tka/aum.ts";
import { Authority } from "../../tka/authority.ts";
import { drawChain } from "./chain_dsl.ts";

/** @param open makes an empty store, and how to open what it wrote again; the same store where nothing is written. */
export function testChonk(name: string, open: () => { chonk: CompactableChonk; reopen: () => CompactableChonk }): void {
  const tree = drawChain(`
    G -> A -> B -> C*
         A -> X -> Y
  `);
  const all = ["G", "A", "B", "C", "X", "Y"].map((drawn) => tree.aum(drawn));
  const names = (aums: readonly Aum[]) => aums.map((aum) => tree.nameOf(aum.hash)).sort().join(" ");
  const test = (rule: string, body: (chonk: CompactableChonk, reopen: () => CompactableChonk) => void): void =>
    Deno.test(`${name} ${rule}`, () => {
      const { chonk, reopen } = open();
      body(chonk, reopen);
    });

  test("is empty at first", (chonk) => {
    assert.equal(chonk.aum(tree.genesis.hash), undefined);
    assert.deepEqual([...chonk.children(tree.genesis.hash)], []);
    assert.deepEqual([...chonk.heads()], []);
    assert.deepEqual([...chonk.all()], []);
    assert.equal(chonk.lastActiveAncestor(), undefined);
    assert.equal(chonk.commitTime(tree.genesis.hash), undefined);
  });

  test("gives back what was committed, also after it was opened again", (chonk, reopen) => {
    chonk.commit(all, 5000);
    for (const store of [chonk, reopen()]) {
      for (const aum of all) {
        assert.deepEqual(store.aum(aum.hash)?.bytes, aum.bytes);
        assert.equal(store.aum(aum.hash)?.hash, aum.hash);
        assert.equal(store.commitTime(aum.hash), 5000);
      }
      assert.equal(store.all().length, all.length);
    }
  });

  test("finds children and heads", (chonk, reopen) => {
    chonk.commit(all, 0);
    for (const store of [chonk, reopen()]) {
      assert.equal(names(store.children(tree.aum("A").hash)), "B X");
      assert.equal(names(store.children(tree.aum("C").hash)), "");
      assert.equal(names(store.heads()), "C Y");
    }
  });

  test("takes an AUM twice as once and keeps its first commit time", (chonk) => {
    chonk.commit(all, 1000);
    chonk.commit(all, 9000);
    assert.equal(names(chonk.children(tree.aum("A").hash)), "B X");
    assert.equal(chonk.all().length, all.length);
    assert.equal(chonk.commitTime(tree.aum("X").hash), 1000);
  });

  test("knows the children of a parent it does not have", (chonk) => {
    chonk.commit([tree.aum("B"), tree.aum("X")], 0);
    assert.equal(names(chonk.children(tree.aum("A").hash)), "B X");
    assert.equal(names(chonk.heads()), "B X");
  });

  test("remembers the last active ancestor", (chonk, reopen) => {
    chonk.commit(all, 0);
    chonk.setLastActiveAncestor(tree.aum("B").hash);
    assert.equal(chonk.lastActiveAncestor(), tree.aum("B").hash);
    assert.equal(reopen().lastActiveAncestor(), tree.aum("B").hash);
  });

  test("purges AUMs and nothing else", (chonk, reopen) => {
    chonk.commit(all, 0);
    chonk.purge([tree.aum("G").hash, tree.aum("X").hash], 0);
    chonk.purge([tree.aum("X").hash], 0);
    for (const store of [chonk, reopen()]) {
      assert.equal(store.aum(tree.aum("X").hash), undefined);
      assert.equal(store.commitTime(tree.aum("X").hash), undefined);
      assert.equal(names(store.children(tree.aum("A").hash)), "B");
      assert.equal(names(store.children(tree.aum("X").hash)), "Y");
      assert.equal(names(store.heads()), "C Y");
      assert.equal(store.all().length, 4);
    }
  });

  test("makes a parent a head when its last child is purged", (chonk) => {
    chonk.commit(all, 0);
    chonk.purge([tree.aum("Y").hash], 0);
    assert.equal(names(chonk.heads()), "C X");
  });

  test("takes back what was purged", (chonk, reopen) => {
    chonk.commit(all, 0);
    chonk.purge([tree.aum("X").hash], 0);
    chonk.commit([tree.aum("X")], 7000);
    for (const store of [chonk, reopen()]) assert.equal(names(store.children(tree.aum("A").hash)), "B X");
  });

  test("forgets everything", (chonk, reopen) => {
    chonk.commit(all, 0);
    chonk.setLastActiveAncestor(tree.genesis.hash);
    chonk.removeAll();
    for (const store of [chonk, reopen()]) {
      assert.equal(store.all().length, 0);
      assert.equal(store.heads().length, 0);
      assert.equal(store.lastActiveAncestor(), undefined);
    }
    chonk.commit([tree.genesis], 0);
    assert.equal(names(chonk.heads()), "G");
  });

  test("carries an authority over a restart", (chonk, reopen) => {
    const authority = Authority.bootstrap(chonk, tree.genesis, 0).inform(chonk, [...tree.to("C"), ...tree.to("Y")], 0);
    const again = Authority.open(reopen());
    assert.equal(again.head, authority.head);
    assert.equal(again.oldestAncestor, authority.oldestAncestor);
    assert.deepEqual(again.state, authority.state);
  });
}
