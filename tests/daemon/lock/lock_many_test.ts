/** What `agent lock` has beside Tailscale's: many nodes at once, auth keys retired, signatures from elsewhere, all nodes. */
import assert from "node:assert/strict";
import { toBase64 } from "../../../base/bytes.ts";
import { NodePublic } from "../../../base/keys.ts";
import { UpdateBuilder } from "../../../tka/builder.ts";
import { lockSigner } from "../../../tka/signature.ts";
import {
  encodeNodeKeySignature,
  signByCredential,
  signCredential,
  signNodeKey,
} from "../../../tka/node_key_signature.ts";
import { testNode } from "../../support/fake_control.ts";
import { testKey } from "../../support/lock_keys.ts";
import { TypedLock } from "../../support/typed_lock.ts";

/** A lock of this node and a second signer, both nodes of it unsigned but this one. */
async function locked(...more: string[]): Promise<TypedLock> {
  const typed = await TypedLock.start();
  typed.server.needSignatures = [
    { NodeID: 1, NodePublic: typed.nodeKey.toString(), RotationPubkey: toBase64(typed.lockKey.bytes) },
  ];
  await typed.type("init", "--confirm", typed.lockKey.cliString(), testKey(4).lock.public.cliString(), ...more);
  const finish = typed.server.bodies[typed.server.calls.indexOf("init/finish")];
  for (const text of Object.values(finish.Signatures as Record<string, string>)) {
    typed.server.signatures.push(Uint8Array.fromBase64(text));
  }
  await typed.tell();
  return typed;
}

Deno.test("lock sign --all-unsigned: lists, asks, and signs what fits", async () => {
  await using typed = await locked();
  typed.peers = [testNode(2), { ...testNode(3), Tags: ["tag:web"] }, testNode(5)];
  await typed.tell();
  await assert.rejects(typed.type("sign", "--all-unsigned"), /nothing was changed: nobody is here to ask; add --yes/);
  await assert.rejects(typed.type("sign", "--all-unsigned", "--yes", testNode(2).Key), /unexpected argument/);
  await assert.rejects(typed.type("sign", "--tag", "tag:web", testNode(2).Key), /--tag is a filter of --all-unsigned/);
  const none = await typed.type("sign", "--all-unsigned", "--name", "nobody*", "--yes");
  assert.deepEqual([none.code, none.out], [0, "No unsigned node fits; 3 that do not are locked out.\n"]);

  const web = await typed.type("sign", "--all-unsigned", "--tag", "tag:web", "--yes");
  assert.equal(web.code, 0);
  assert.match(
    web.out,
    /^NODE +ADDRESS +OWNER +WHY IT IS OUT +NODE KEY\nnode3\S* +100\.64\.0\.3 +tag:web +it has no signature +nodekey:/,
  );
  assert.match(web.out, /This list is the control server's word[^]*\nsigned {2}node3\.tail\.test\n$/);
  await typed.tell();
  assert.deepEqual(typed.node.backend.view?.peers.map(({ ID }) => ID), [3]);
  assert.match((await typed.type("sign", "--all-unsigned", "--yes")).out, /signed {2}node2[^]*signed {2}node5/);
  await typed.tell();
  assert.equal((await typed.type("sign", "--all-unsigned", "--yes")).out, "No unsigned node is there.\n");

  typed.peers = [testNode(6), testNode(7)];
  await typed.tell();
  typed.server.down = true;
  const failing = await typed.type("sign", "--all-unsigned", "--yes");
  assert.equal(failing.code, 1);
  assert.match(failing.err, /failed {2}node6\.tail\.test: error: 500 [^]*2 of 2 nodes were not signed\n$/);
});

Deno.test("lock sign --all-unsigned: whose signature no longer holds is named, and signed only when asked for", async () => {
  await using typed = await locked();
  const stranger = testKey(9);
  typed.server.signatures.push(
    encodeNodeKeySignature(signNodeKey(stranger.lock, NodePublic.parse(testNode(2).Key)!, stranger.public)),
  );
  await typed.tell();
  const first = await typed.type("sign", "--all-unsigned", "--yes");
  assert.match(first.out, /signed {2}node3/);
  assert.doesNotMatch(first.out, /node2/);
  assert.match(
    first.err,
    /1 more has a signature that no longer holds: node2\.tail\.test\..*--distrusted takes them too\.\n$/,
  );
  await typed.tell();
  const second = await typed.type("sign", "--all-unsigned", "--distrusted", "--yes");
  assert.match(second.out, /node2\S* .* its signer is not trusted +nodekey[^]*signed {2}node2/);
});

Deno.test("lock prune: what control calls used or expired goes, after a list and only when told to", async () => {
  await using typed = await locked();
  for (const id of ["used", "live"]) {
    await typed.type("sign", `tskey-auth-${id}-nonce`);
    await typed.tell();
  }
  assert.equal(typed.node.backend.lock.authority!.keys.length, 4);
  const quiet = await typed.type("prune");
  assert.equal(quiet.out, "4 of 512 keys are trusted; none belongs to an auth key that is done with.\n");

  typed.server.authKeys = { used: "used", live: "valid" };
  // Nothing hangs on it here; what does is signed again in the live test of a stolen signer.
  typed.server.signatures.length = 0;
  const listed = await typed.type("prune");
  assert.equal(listed.code, 0);
  assert.match(listed.out, /^AUTH KEY +WHY +NODES +TRUSTED KEY\nused +used, says control +0 +tlpub:[0-9a-f]{64}\n/);
  assert.match(
    listed.out,
    /4 of 512 keys are trusted; 1 would go, and 0 nodes be signed by this node\.\nNothing was changed\. To do it: agent lock prune --yes\n$/,
  );
  assert.equal(typed.node.backend.lock.authority!.keys.length, 4);
  await typed.type("prune", "--yes");
  await typed.tell();
  const left = typed.node.backend.lock.authority!.keys.flatMap(({ meta }) => meta?.get("authkey_stableid") ?? []);
  assert.deepEqual(left, ["live"]);
});

Deno.test("lock remove: a node that hangs on an auth key's signer is signed again without the auth key's rotation key", async () => {
  await using typed = await locked();
  const [signer, authKey] = [testKey(4), testKey(6)];
  const nodeKey = NodePublic.parse(testNode(2).Key)!;
  const credential = signCredential(signer.lock, authKey.public);
  typed.server.signatures.length = 0;
  typed.server.signatures.push(encodeNodeKeySignature(signByCredential(authKey.seed, credential, nodeKey)));
  await typed.type("remove", signer.lock.public.cliString());
  const [sent] = typed.server.bodies.filter((_, i) => typed.server.calls[i] === "sign");
  assert.equal(
    sent.Signature,
    toBase64(encodeNodeKeySignature(signNodeKey(typed.node.backend.prefs.persist!.lockKey!, nodeKey))),
  );
});

Deno.test("lock sign --submit: what another key signed is handed on, if it holds", async () => {
  await using typed = await locked();
  const dir = await Deno.makeTempDir();
  try {
    const document = async (signer: number) => {
      const signature = encodeNodeKeySignature(signNodeKey(testKey(signer).lock, NodePublic.parse(testNode(2).Key)!));
      const signatures = [{ name: "two", nodeKey: testNode(2).Key, signature: toBase64(signature) }];
      await Deno.writeTextFile(
        `${dir}/f`,
        JSON.stringify({ document: "agent lock signatures", version: 1, signatures }),
      );
      return await typed.type("sign", "--submit", `${dir}/f`);
    };
    const refused = await document(9);
    assert.equal(refused.code, 1);
    assert.match(
      refused.err,
      /^failed {2}two: error: 500 [^\n]*submitting failed: Cannot find key[^]*1 of 1 signatures were not taken\n$/,
    );
    assert.equal(typed.server.calls.includes("sign"), false, "control is not asked");
    assert.deepEqual(await document(4), { code: 0, out: "submitted  two\n", err: "" });
    await typed.tell();
    assert.deepEqual(typed.node.backend.view?.peers.map(({ ID }) => ID), [2]);

    // What `request` writes of this node is what `sign --key` reads.
    await typed.type("request", "--out", `${dir}/r`);
    const request = JSON.parse(await Deno.readTextFile(`${dir}/r`));
    assert.equal(request.nodes[0].nodeKey, typed.nodeKey.toString());
    assert.equal(request.nodes[0].lockKey, typed.lockKey.cliString());
    const many = JSON.parse((await typed.type("request", "--all-unsigned")).out);
    assert.deepEqual(many.nodes.map(({ nodeKey }: { nodeKey: string }) => nodeKey), [testNode(3).Key]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("lock status --all --json: schema 1 as it is, and every node with who signed it", async () => {
  await using typed = await locked();
  await typed.type("sign", testNode(2).Key, testKey(8).lock.public.cliString());
  await typed.tell();
  const plain = JSON.parse((await typed.type("status", "--json")).out);
  const { AllNodes, Agent, ...v1 } = JSON.parse((await typed.type("status", "--json", "--all")).out);
  assert.deepEqual(v1, plain);
  assert.equal(Agent.Condition, "synced");
  const Signer = typed.lockKey.cliString();
  const short = AllNodes.map(({ ID, Self, Verdict, Why, SigKind, Depth, Signer }: Record<string, unknown>) => [
    ...[ID, Self, Verdict, Why, SigKind, Depth, Signer],
  ]);
  assert.deepEqual(short, [
    ["n1", true, "signed", undefined, "direct", 1, Signer],
    ["n2", false, "signed", undefined, "direct", 1, Signer],
    ["n3", false, "unsigned", "it has no signature", undefined, undefined, undefined],
  ]);
  assert.match(
    (await typed.type("log", "--graph")).out,
    /^● update [A-Z2-7]{52} \(checkpoint\)\n│ Disablement values:\n/,
  );
  assert.match((await typed.type("log")).out, /^update /, "not drawn unless on a terminal, or asked to");
});

Deno.test("lock init: one signer is a risk to accept by name, and a lock needs a way out", async () => {
  await using typed = await TypedLock.start();
  const mine = typed.lockKey.cliString();
  await assert.rejects(typed.type("init", "--confirm", mine), /aborted, no changes made/);
  await assert.rejects(
    typed.type("init", "--confirm", mine, mine),
    /aborted, no changes made/,
    "twice the same is one",
  );
  await assert.rejects(typed.type("init", "--confirm", "--gen-disablements", "0", mine), /a lock needs a way out/);
  assert.equal(typed.server.calls.includes("init/begin"), false);
  assert.match((await typed.type("init", mine)).out, /Only this node will be able to sign[^]*please re-run/);
  assert.match((await typed.type("init", "--confirm", "--accept-risk=all", mine)).out, /Initialization complete\.\n$/);
  // Scripts for Tailscale's have no such flag.
  await using other = await TypedLock.start();
  const made = await other.typeAs("tailscale", "init", "--confirm", other.lockKey.cliString());
  assert.match(made.out, /^You are initializing[^]*Initialization complete\.\n$/);
  assert.doesNotMatch(made.out, /Only this node/);
});

Deno.test("lock: from 400 of 512 trusted keys on status, doctor and health say what to do", async () => {
  await using typed = await locked();
  const { server } = typed;
  const signer = lockSigner(typed.node.backend.prefs.persist!.lockKey!);
  for (let made = 0; made < 398;) {
    const builder = new UpdateBuilder(server.authority!, signer);
    for (let i = 0; i < 40 && made < 398; i++, made++) builder.addKey(testKey(1000 + made).key());
    server.learn(builder.finalize(server.authority!, server.chonk));
    if (made === 360) {
      await typed.tell();
      assert.doesNotMatch((await typed.type("status")).out, /Warning/);
    }
  }
  await typed.tell();
  assert.match((await typed.type("status")).out, /\nWarning: 400 of 512 keys are trusted; 'agent lock prune' retires/);
  assert.match(
    (await typed.type("doctor")).out,
    /! 400 of 512 keys are trusted\n {2}do: on a signing node run `agent lock prune`/,
  );
  const health = JSON.stringify(await typed.client.json("GET", "status"));
  assert.match(
    health,
    /Tailnet Lock: 400 of 512 keys are trusted\. What to do: on a signing node run `agent lock prune`/,
  );
});
