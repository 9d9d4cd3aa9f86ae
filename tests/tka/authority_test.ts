/** Which AUMs an authority believes, and what becomes of it. */
import assert from "node:assert/strict";
import { Aum, aumAfter } from "../../tka/aum.ts";
import type { AumFields } from "../../tka/aum.ts";
import { aumHashOf } from "../../tka/aum_hash.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import { Authority } from "../../tka/authority.ts";
import { TkaError } from "../../tka/errors.ts";
import type { TkaErrorCode } from "../../tka/errors.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import type { State } from "../../tka/state.ts";
import { WALK_LIMITS } from "../../tka/limits.ts";
import { verifyByKey } from "../../tka/signature.ts";
import type { VerifySignature } from "../../tka/signature.ts";
import { drawChain, longChain, TestNode } from "../support/chain_dsl.ts";
import type { TestKey } from "../support/lock_keys.ts";
import { testKey } from "../support/lock_keys.ts";

type Body = Omit<AumFields, "prevAumHash" | "signatures">;

function signedAfter(parent: AumHash, fields: Body, ...keys: TestKey[]): Aum {
  const aum = aumAfter(parent, fields);
  return aum.withSignatures(keys.flatMap((key) => key.signAum(aum.sigHash)));
}

/** Refused with this code, and nothing of it stored. */
function refused(node: TestNode, aums: readonly Aum[], code: TkaErrorCode, what: string): void {
  const [head, size] = [node.authority.head, node.chonk.size];
  assert.throws(() => node.learn(aums), { name: "TkaError", code }, what);
  assert.equal(node.authority.head, head, what);
  assert.equal(node.chonk.size, size, `${what}: stored`);
}

Deno.test("Authority.create() makes a genesis that others bootstrap from", () => {
  const { genesis: { state } } = drawChain("G");
  const chonk = new MemChonk();
  const { authority, genesis } = Authority.create(chonk, state as State, testKey(2), 0);
  assert.equal(authority.head, genesis.hash);
  assert.equal(Authority.bootstrap(new MemChonk(), Aum.decode(genesis.bytes), 0).head, authority.head);
  assert.throws(() => Authority.create(chonk, state as State, testKey(2), 0), { code: "store-not-empty" });
  assert.throws(() => Authority.create(new MemChonk(), state as State, testKey(5), 0), { code: "unknown-key" });
  assert.throws(() => Authority.create(new MemChonk(), { ...state as State, keys: [] }, testKey(2), 0), {
    code: "invalid",
  });
});

Deno.test("Authority.bootstrap() takes a later checkpoint and nothing but a checkpoint", () => {
  const tree = drawChain("G -> A+4 -> B* -> C");
  const node = new TestNode(tree.aum("B"));
  assert.equal(node.authority.keys.length, 4);
  node.learn([tree.aum("C")]);
  assert.equal(node.authority.head, tree.aum("C").hash);
  assert.equal(node.authority.oldestAncestor, tree.aum("B").hash);
  assert.throws(() => new TestNode(tree.aum("A")), { code: "invalid-genesis" });
  const unsigned = new Aum({ kind: AUM_KIND.CHECKPOINT, prevAumHash: null, state: tree.genesis.state, signatures: [] });
  assert.throws(() => new TestNode(unsigned), { code: "unsigned" });
  assert.throws(() => new TestNode(unsigned.withSignatures(testKey(4).signAum(unsigned.sigHash))), {
    code: "unknown-key",
  });
});

Deno.test("Authority.open() says why an unusable store is", () => {
  assert.throws(() => Authority.open(new MemChonk()), { code: "store-empty" });
  const [one, other] = [drawChain("G -> A"), drawChain("G -> A", { stateId1: 99n })];
  const chonk = new MemChonk();
  chonk.commit([one.genesis, one.aum("A"), other.genesis, other.aum("A")], 0);
  assert.throws(() => Authority.open(chonk), { code: "several-chains" });
  chonk.setLastActiveAncestor(other.genesis.hash);
  assert.equal(Authority.open(chonk).head, other.aum("A").hash);
});

Deno.test("Authority.open() keeps to the active chain when that is one AUM long", () => {
  const [one, other] = [drawChain("G"), drawChain("G -> A", { stateId1: 99n })];
  const chonk = new MemChonk();
  chonk.commit([one.genesis, other.genesis, other.aum("A")], 0);
  chonk.setLastActiveAncestor(one.genesis.hash);
  assert.equal(Authority.open(chonk).head, one.genesis.hash);
});

Deno.test("Authority.inform() applies keys added, removed and updated", () => {
  const tree = drawChain("G -> A+4 -> B^2=7 -> C-3/4 -> D*/2 -> E/2");
  const node = tree.node("E");
  const votes = node.authority.keys.map((key) => key.votes);
  assert.deepEqual(votes, [1n, 7n, 1n]);
  assert.ok(node.authority.trusts(testKey(4).public) && !node.authority.trusts(testKey(3).public));
  assert.equal(node.authority.head, tree.aum("E").hash);
  assert.deepEqual(Authority.open(node.chonk).state, node.authority.state);
  assert.equal(node.learn(tree.to("C")).authority.head, tree.aum("E").hash);
});

Deno.test("An authority verifies every signature by the verifier it was opened with, and so do its successors", () => {
  const tree = drawChain("G -> A -> B/1,2 -> C\nA -> X -> Y");
  let asked = 0;
  const verify: VerifySignature = (...signed) => {
    asked++;
    verifyByKey(...signed);
  };
  const chonk = new MemChonk();
  let authority = Authority.bootstrap(chonk, tree.genesis, 0, WALK_LIMITS, verify);
  assert.equal(asked, 1);
  for (const [name, signatures] of [["B", 3], ["X", 1], ["Y", 1]] as const) {
    asked = 0;
    authority = authority.inform(chonk, tree.to(name), 0);
    assert.equal(asked, signatures, name);
  }
  asked = 0;
  Authority.open(chonk, WALK_LIMITS, verify).inform(chonk, tree.to("C"), 0);
  assert.equal(asked, 1, "what is stored was verified");
  const refuseAll = () => {
    throw new TkaError("bad-signature", "none will do");
  };
  const none = [new MemChonk(), tree.genesis, 0, WALK_LIMITS, refuseAll] as const;
  assert.throws(() => Authority.bootstrap(...none), { code: "bad-signature" });
});

Deno.test("Authority.inform() stores all or nothing", () => {
  const tree = drawChain("G -> A -> B");
  const node = new TestNode(tree.genesis);
  const bad = signedAfter(tree.aum("B").hash, { kind: AUM_KIND.NO_OP }, testKey(9));
  refused(node, [...tree.to("B"), bad], "unknown-key", "a good start");
  refused(node, [tree.aum("B")], "missing-aum", "an unknown parent");
  assert.throws(() => node.authority.inform(node.chonk, [], 0), { code: "invalid" });
});

Deno.test("L8: a malicious checkpoint is refused: state ID, parent, limits, signatures", () => {
  const tree = drawChain("G -> A+4 -> R-3");
  const { state } = tree.node("R").authority;
  const at = tree.aum("R").hash;
  const own = { ...state, lastAumHash: null };
  const checkpoint = (changed: Partial<State>) => ({ kind: AUM_KIND.CHECKPOINT, state: { ...own, ...changed } });
  const key = testKey(1);
  const many = <T>(count: number, make: (i: number) => T) => Array.from({ length: count }, (_, i) => make(i));
  const cases: readonly (readonly [string, TkaErrorCode, Aum])[] = [
    ["another state ID 1", "wrong-state-id", signedAfter(at, checkpoint({ stateId1: 13n }), key)],
    ["another state ID 2", "wrong-state-id", signedAfter(at, checkpoint({ stateId2: 0n }), key)],
    ["an unknown parent", "missing-aum", signedAfter(aumHashOf(new Uint8Array(32).fill(1)), checkpoint({}), key)],
    ["no parent", "wrong-parent", new Aum({ ...signedAfter(at, checkpoint({}), key), prevAumHash: null })],
    ["a parent in its state", "invalid", signedAfter(at, checkpoint({ lastAumHash: at }), key)],
    ["unsigned", "unsigned", signedAfter(at, checkpoint({}))],
    ["signed by a removed key", "unknown-key", signedAfter(at, checkpoint({}), testKey(3))],
    [
      "signed by a key it adds itself",
      "unknown-key",
      signedAfter(at, checkpoint({ keys: [testKey(8).key()] }), testKey(8)),
    ],
    ["a stranger beside a good signer", "unknown-key", signedAfter(at, checkpoint({}), key, testKey(3))],
    ["no keys", "invalid", signedAfter(at, checkpoint({ keys: [] }), key)],
    ["513 keys", "invalid", signedAfter(at, checkpoint({ keys: many(513, (i) => testKey(i).key()) }), key)],
    ["a key twice", "invalid", signedAfter(at, checkpoint({ keys: [key.key(), key.key(2)] }), key)],
    ["a key without votes", "invalid", signedAfter(at, checkpoint({ keys: [key.key(0)] }), key)],
    ["4097 votes", "invalid", signedAfter(at, checkpoint({ keys: [key.key(4097)] }), key)],
    [
      "513 bytes of metadata",
      "invalid",
      signedAfter(
        at,
        checkpoint({
          keys: [key.key(1, new Map([["k", "x".repeat(512)]]))],
        }),
        key,
      ),
    ],
    ["no disablement value", "invalid", signedAfter(at, checkpoint({ disablementValues: [] }), key)],
    [
      "33 disablement values",
      "invalid",
      signedAfter(
        at,
        checkpoint({
          disablementValues: many(33, (i) => new Uint8Array(32).fill(i)),
        }),
        key,
      ),
    ],
    [
      "a short disablement value",
      "invalid",
      signedAfter(at, checkpoint({ disablementValues: [new Uint8Array(31)] }), key),
    ],
    [
      "a disablement value twice",
      "invalid",
      signedAfter(
        at,
        checkpoint({
          disablementValues: [new Uint8Array(32), new Uint8Array(32)],
        }),
        key,
      ),
    ],
  ];
  for (const [what, code, aum] of cases) refused(tree.node("R"), [aum], code, what);
  const forged = signedAfter(at, checkpoint({}), key);
  const [{ keyId }] = forged.signatures;
  const bad = new Aum({ ...forged, signatures: [{ keyId, signature: new Uint8Array(64) }] });
  refused(tree.node("R"), [bad], "bad-signature", "a signature of zeros");
  // The honest one passes, so it is not the test that refuses.
  assert.equal(tree.node("R").learn([forged]).authority.head, forged.hash);
});

Deno.test("L9: a revocation with more votes erases a stolen key's work; with as many or fewer it need not", () => {
  const tree = drawChain(`
    G -> A -> S+8/3 -> T-1/3 -> U-2/3
         A -> R-3/1,2
         A -> W-3/1
  `);
  const robbed = tree.node("U");
  assert.ok(!robbed.authority.trusts(testKey(1).public));
  const recovered = tree.node("U", "R");
  assert.equal(tree.nameOf(recovered.authority.head), "R");
  assert.ok(recovered.authority.trusts(testKey(1).public) && !recovered.authority.trusts(testKey(8).public));
  // One vote against one: the removal wins the draw; against more votes it does not.
  assert.equal(tree.nameOf(tree.node("U", "W").authority.head), "W");
  const rich = drawChain(`
    G -> V^3=3 -> S+8/3
         V -> R-3/1,2
  `);
  assert.equal(rich.nameOf(rich.node("S", "R").authority.head), "S");
});

Deno.test("L11: an AUM of an unknown kind moves the head and changes nothing", () => {
  const tree = drawChain("G -> A+4 -> X?77 -> Y?255 -> B-2");
  const before = tree.node("A").authority.state;
  const { state, head } = tree.node("Y").authority;
  assert.equal(tree.nameOf(head), "Y");
  assert.deepEqual({ ...state, lastAumHash: null }, { ...before, lastAumHash: null });
  assert.equal(tree.node("B").authority.keys.length, 3);
  refused(tree.node("A"), [signedAfter(tree.aum("A").hash, { kind: 77 })], "unsigned", "unsigned, unknown kind");
});

Deno.test("L13: the last trusted key cannot be removed", () => {
  const tree = drawChain("G -> A-2 -> B-3");
  const last = signedAfter(tree.aum("B").hash, { kind: AUM_KIND.REMOVE_KEY, keyId: testKey(1).public }, testKey(1));
  refused(tree.node("B"), [last], "last-key", "the last key");
});

Deno.test("L13: 512 trusted keys work, and a chain of 5,000 AUMs with forks opens in linear time", () => {
  const keys = Array.from({ length: 512 }, (_, i) => testKey(i + 1).key());
  const tree = drawChain("G -> A/512 -> B/1,512", { keys });
  assert.equal(tree.nameOf(tree.node("B").authority.head), "B");

  const small = drawChain("G");
  const state = small.genesis.state as State;
  const main = longChain(small.genesis, state, 5000, testKey(1));
  const node = new TestNode(small.genesis).learn(main);
  for (const from of [100, 2000, 4500]) {
    // A branch of more votes than any AUM of the chain has would win; one vote against one may win by hash.
    node.learn(longChain(main[from], state, 20, testKey(2), 50, `branch ${from}`));
  }
  const again = Authority.open(node.chonk);
  assert.equal(again.head, node.authority.head);
  assert.equal(node.chonk.size, 5061);
});

/** A disk that lies: whatever is asked, the parents form a circle. */
class CircularChonk extends MemChonk {
  override heads(): readonly Aum[] {
    return [this.aum(this.all()[0]) as Aum];
  }

  override aum(hash: AumHash): Aum | undefined {
    const all = this.all();
    return super.aum(hash) ?? (all.length > 0 ? super.aum(all[0]) : undefined);
  }
}

Deno.test("L13: a store whose parents form a circle ends in a named error, not a loop", () => {
  const tree = drawChain("G -> A -> B");
  const chonk = new CircularChonk();
  chonk.commit(tree.to("B"), 0); // the genesis is missing, and anything missing is A
  assert.throws(() => Authority.open(chonk, { ...WALK_LIMITS, scan: 5000 }), { code: "iteration-limit" });
});
