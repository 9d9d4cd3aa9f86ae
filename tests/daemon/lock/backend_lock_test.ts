/** A whole node under lock: what reaches the engine, what control is told, and signatures at login. */
import assert from "node:assert/strict";
import { NodePublic } from "../../../base/keys.ts";
import { Secret } from "../../../base/secret.ts";
import { fromBase64, toBase64 } from "../../../base/bytes.ts";
import type { Node } from "../../../control/wire/tailcfg.ts";
import { Authority } from "../../../tka/authority.ts";
import { MemChonk } from "../../../tka/mem_chonk.ts";
import { encodeNodeKeySignature, signNodeKey } from "../../../tka/node_key_signature.ts";
import { wrapAuthKey } from "../../../tka/wrapped_auth_key.ts";
import { drawChain } from "../../support/chain_dsl.ts";
import { REGISTERED, testNetmap, testNode } from "../../support/fake_control.ts";
import { testKey } from "../../support/lock_keys.ts";
import { LockServer } from "../../support/lock_server.ts";
import { SeededRandom } from "../../support/random.ts";
import { TestNode } from "../../support/test_node.ts";

const tree = drawChain(`G -> A -> B`);

function signed(id: number): Node {
  const node = testNode(id);
  const signature = signNodeKey(testKey(1).lock, NodePublic.parse(node.Key)!, testKey(id + 100).public);
  return { ...node, KeySignature: toBase64(encodeNodeKeySignature(signature)) };
}

function authority(): Authority {
  return Authority.bootstrap(new MemChonk(), tree.genesis, 0);
}

Deno.test("Backend under lock gives the engine signed peers only, and tells control its head", async () => {
  await using node = new TestNode();
  const server = new LockServer().start(tree.genesis, tree.to("B"));
  node.control.serve = server.serve;
  await node.up();
  node.control.send(testNetmap([signed(2), testNode(3)], server.netmapFields));
  for (let i = 0; i < 10; i++) await node.settle();
  assert.equal(node.backend.lock.condition.name, "synced");
  const keys = node.engine.config?.peers.map(({ key }) => key);
  assert.deepEqual(keys, [signed(2).Key.slice("nodekey:".length)]);
  assert.ok(node.control.updates.some(({ tkaHead }) => tkaHead === tree.aum("B").hash));
  assert.deepEqual(node.backend.view?.peers.map(({ ID }) => ID), [2]);
  const health = node.backend.healthStrings().join("\n");
  assert.match(health, /this node is locked out; it will not have connectivity until it is signed/);
  assert.match(health, /lock sign nodekey:[0-9a-f]{64} tlpub:[0-9a-f]{64}/);
});

Deno.test("Backend takes a peer in when it is signed, and out when its signer is removed", async () => {
  await using node = new TestNode();
  const server = new LockServer().start(tree.genesis);
  node.control.serve = server.serve;
  await node.up();
  const tell = async (...peers: Node[]) => {
    node.control.send(testNetmap(peers, server.netmapFields), { kind: "full" });
    for (let i = 0; i < 10; i++) await node.settle();
    return node.engine.config!.peers.length;
  };
  assert.equal(await tell(testNode(2)), 0);
  assert.equal(await tell(signed(2)), 1);
  server.learn(drawChain(`G -> R-1/2`).to("R"));
  assert.equal(await tell(signed(2)), 0);
});

Deno.test("ControlSession signs its node key with the credential of a wrapped auth key", async () => {
  await using node = new TestNode();
  const wrapped = wrapAuthKey(new Secret("tskey-auth-x-y"), testKey(1).lock, new SeededRandom(3).bytes);
  await node.up({}, wrapped.reveal());
  const { nodeKey, nodeKeySignature } = node.control.registered.at(-1)!;
  assert.equal(authority().nodeKeyAuthorized(nodeKey, nodeKeySignature!).authorized, true);
  assert.doesNotMatch(node.logged.join("\n"), /--TL/);
});

Deno.test("ControlSession rotates the old key's signature to a new key when control asks for it", async () => {
  await using node = new TestNode();
  await node.up();
  const first = node.control.registered.at(-1)!;
  const old = encodeNodeKeySignature(signNodeKey(testKey(1).lock, first.nodeKey, first.lockKey.bytes));
  node.control.answer = (input) =>
    input.nodeKeySignature === undefined ? { kind: "needs-signature", oldSignature: old } : REGISTERED;
  node.backend.loginInteractive();
  await node.settle();
  const last = node.control.registered.at(-1)!;
  assert.notEqual(last.nodeKey.toString(), first.nodeKey.toString());
  assert.equal(last.oldNodeKey?.toString(), first.nodeKey.toString());
  assert.equal(authority().nodeKeyAuthorized(last.nodeKey, last.nodeKeySignature!).authorized, true);
  const asked = node.control.registered.at(-2)!;
  assert.equal(asked.nodeKey.toString(), last.nodeKey.toString(), "the key that was tried first is kept");
  assert.equal(node.backend.prefs.persist!.nodeKey!.public.toString(), last.nodeKey.toString());
});

Deno.test("ControlSession says so when control does not take the signature it made", async () => {
  await using node = new TestNode();
  const garbage = fromBase64("AAAA")!;
  node.control.answer = () => ({ kind: "needs-signature", oldSignature: garbage });
  await node.up();
  assert.match(node.backend.healthStrings().join("\n"), /control does not take the signature/);
  assert.ok(node.control.registered.length < 5);
});
