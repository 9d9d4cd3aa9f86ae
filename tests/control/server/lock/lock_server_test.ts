/** The lock's calls, on a tailnet in memory. */
import assert from "node:assert/strict";
import { fromBase64, toBase64 } from "../../../../base/bytes.ts";
import { NodePublic } from "../../../../base/keys.ts";
import { openSqliteStore } from "../../../../control/server/sqlite_store.ts";
import { Aum, aumAfter } from "../../../../tka/aum.ts";
import { AUM_KIND } from "../../../../tka/aum_kind.ts";
import { UpdateBuilder } from "../../../../tka/builder.ts";
import { key25519 } from "../../../../tka/key.ts";
import {
  decodeNodeKeySignature,
  encodeNodeKeySignature,
  resignNodeKey,
  signByCredential,
  signCredential,
} from "../../../../tka/node_key_signature.ts";
import { cosign, makeRetroactiveRevocation } from "../../../../tka/recovery.ts";
import { testKey } from "../../../support/lock_keys.ts";
import { LockWorld, SECRET, signature } from "../../../support/lock_world.ts";

const [ALICE, BOB, CAROL] = [1, 2, 3].map(testKey);

async function locked() {
  const world = await LockWorld.make();
  const alice = await world.join("alice", ALICE);
  const bob = await world.join("bob", BOB);
  const genesis = await world.init(alice, [ALICE, BOB]);
  return { world, alice, bob, genesis };
}

const updates = (world: LockWorld) => new UpdateBuilder(world.lock.active!.chain.authority, ALICE);
const finish = (world: LockWorld, builder: UpdateBuilder) => {
  const { authority, chonk } = world.lock.active!.chain;
  return builder.finalize(authority, chonk);
};
const bases = (aums: readonly Aum[]) => aums.map(({ bytes }) => toBase64(bytes));

Deno.test("LockServer: init signs every node, pushes to all, and a restart keeps the lock", async () => {
  const store = openSqliteStore(":memory:");
  const world = await LockWorld.make({ store });
  const alice = await world.join("alice", ALICE);
  const bob = await world.join("bob", BOB);
  assert.equal(world.server.info(alice.id), undefined);
  const genesis = await world.init(alice, [ALICE]);
  assert.deepEqual(world.server.info(bob.id), { Head: genesis.hash });
  assert.deepEqual(world.pushes, [undefined]);
  for (const node of [alice, bob]) {
    const { nodeKey, keySignature } = world.record(node);
    assert.equal(world.lock.authorizes(nodeKey, keySignature), true);
    const { wrappingPubkey } = decodeNodeKeySignature(fromBase64(keySignature)!);
    assert.deepEqual(wrappingPubkey, node.lockKey.public, "the node may rotate its key");
  }
  await world.submit(...finish(world, updates(world).addKey(CAROL.key())));
  const again = await LockWorld.make({ store });
  assert.equal(again.lock.active!.chain.head, world.lock.active!.chain.head);
  assert.equal(again.lock.active!.chain.length, 2);
  assert.deepEqual(again.server.info(bob.id), { Head: world.lock.active!.chain.head });
});

Deno.test("LockServer: init is refused when a node would be lost, when it is not a genesis, and when the lock is on", async () => {
  const world = await LockWorld.make();
  const alice = await world.join("alice", ALICE);
  const genesis = world.genesis([ALICE]);
  const GenesisAUM = toBase64(genesis.bytes);
  await assert.rejects(world.call(alice, "init/finish", { Signatures: {} }), /no init was begun/);
  await world.call(alice, "init/begin", { GenesisAUM });
  const late = await world.join("late", BOB);
  const mine = { [alice.id]: signature(ALICE, alice.nodeKey) };
  await assert.rejects(world.call(alice, "init/finish", { Signatures: mine }), /node late is missing/);
  const forged = { ...mine, [late.id]: signature(BOB, late.nodeKey) };
  await assert.rejects(world.call(alice, "init/finish", { Signatures: forged }), /node late is not valid/);
  const swapped = { ...mine, [late.id]: signature(ALICE, alice.nodeKey) };
  await assert.rejects(world.call(alice, "init/finish", { Signatures: swapped }), /node late is not valid/);
  assert.equal(world.lock.active, undefined);
  assert.equal(world.record(alice).keySignature, "", "nothing of a failed init is kept");

  const unsigned = new Aum({ ...genesis, signatures: [], kind: genesis.kind, prevAumHash: null, state: genesis.state });
  await assert.rejects(world.call(alice, "init/begin", { GenesisAUM: toBase64(unsigned.bytes) }), /nobody signed/);
  await assert.rejects(world.call(alice, "init/begin", { GenesisAUM: "AAAA" }), /Cannot/);
  await world.init(alice, [ALICE]);
  await assert.rejects(world.call(alice, "init/begin", { GenesisAUM }), /on already/);
});

Deno.test("LockServer: the caller is the machine of the node key, and its key has not expired", async () => {
  const { world, alice, bob } = await locked();
  const stolen = { machineKey: bob.machineKey, nodeKey: alice.nodeKey };
  await assert.rejects(world.call(stolen, "bootstrap", { Head: "" }), /node not found/);
  await world.world.admin.expireNode("bob");
  await assert.rejects(world.call(bob, "bootstrap", { Head: "" }), /expired/);
});

Deno.test("LockServer: sync/send takes only what tka takes, and all or nothing (L8)", async () => {
  const { world, alice, genesis } = await locked();
  const { chain } = world.lock.active!;
  const send = (...aums: Aum[]) =>
    world.call(alice, "sync/send", { Head: genesis.hash, MissingAUMs: bases(aums), Interactive: true });
  const good = finish(world, updates(world).addKey(CAROL.key()));
  const by = (signer: typeof ALICE, aum: Aum) => aum.withSignatures(signer.signAum(aum.sigHash));
  const noop = (parent: Aum) => aumAfter(parent.hash, { kind: AUM_KIND.NO_OP });
  await assert.rejects(send(noop(genesis)), /nobody signed/);
  await assert.rejects(send(by(CAROL, noop(genesis))), /Cannot find key/);
  const other = { ...chain.authority.state, lastAumHash: null, stateId1: 99n };
  await assert.rejects(
    send(by(ALICE, aumAfter(genesis.hash, { kind: AUM_KIND.CHECKPOINT, state: other }))),
    /state ID/,
  );
  await assert.rejects(send(by(ALICE, noop(by(ALICE, noop(genesis))))), /Cannot find AUM/);
  await assert.rejects(send(...good, by(testKey(9), noop(good[0]))), /Cannot find key/);
  assert.equal(world.lock.active!.chain.head, genesis.hash);
  assert.equal(world.lock.active!.chain.chonk.size, 1, "nothing of a refused page is kept");
  assert.deepEqual(await send(...good), { Head: good[0].hash });
  assert.equal(world.pushes.length, 2, "the head moved: everyone is told");
  assert.deepEqual(await send(...good), { Head: good[0].hash });
  assert.equal(world.pushes.length, 2, "what is known already moves nothing");
});

Deno.test("LockServer: sign stores only a signature that is valid now, for a node of the tailnet", async () => {
  const { world, alice } = await locked();
  const carol = await world.join("carol", CAROL);
  assert.equal(world.record(carol).keySignature, "");
  const sign = (Signature: string) => world.call(alice, "sign", { Signature });
  await assert.rejects(sign(signature(CAROL, carol.nodeKey)), /Cannot find key/);
  await assert.rejects(sign(signature(ALICE, world.world.nodeKey())), /no node of this tailnet/);
  const credential = toBase64(encodeNodeKeySignature(signCredential(ALICE.lock, CAROL.public)));
  await assert.rejects(sign(credential), /no node key/);
  await assert.rejects(sign("AAAA"), /Cannot/);
  const good = signature(ALICE, carol.nodeKey, CAROL.public);
  await sign(good);
  assert.equal(world.record(carol).keySignature, good);
  assert.deepEqual((await world.call(alice, "affected-sigs", { KeyID: toBase64(BOB.public) })).Signatures, []);
  const { Signatures } = await world.call(alice, "affected-sigs", { KeyID: toBase64(ALICE.public) });
  assert.equal(Signatures!.length, 3);
});

Deno.test("Registration: a wrapped auth key signs its node; a signature that is not valid is not kept", async () => {
  const { world } = await locked();
  const credential = signCredential(ALICE.lock, testKey(50).public);
  const machine = world.world.machine();
  const sign = (by: typeof ALICE) =>
    toBase64(encodeNodeKeySignature(signByCredential(by.seed, credential, NodePublic.parse(machine.nodeKey)!)));
  await world.register(machine, CAROL, { NodeKeySignature: sign(CAROL) });
  const record = () => world.world.tailnet.byNodeKey(machine.nodeKey)!.record;
  assert.equal(record().keySignature, "");
  // At its next start it brings a good one.
  await world.register(machine, CAROL, { NodeKeySignature: sign(testKey(50)) });
  assert.equal(record().keySignature, sign(testKey(50)));
  assert.equal(world.lock.authorizes(machine.nodeKey, record().keySignature), true);
});

Deno.test("Registration: a signed node that changes its key gets the old signature back, wraps it, and stays signed", async () => {
  const { world, bob } = await locked();
  const before = world.record(bob);
  const fresh = { ...bob, nodeKey: world.world.nodeKey() };
  const asked = await world.register(fresh, BOB, { OldNodeKey: bob.nodeKey });
  assert.deepEqual(asked, { NodeKeySignature: before.keySignature });
  assert.equal(world.record(bob).nodeKey, bob.nodeKey, "nothing has changed yet");
  const old = fromBase64(asked.NodeKeySignature!)!;
  const renewed = toBase64(resignNodeKey(BOB.lock, NodePublic.parse(fresh.nodeKey)!, old));
  const answer = await world.register(fresh, BOB, { OldNodeKey: bob.nodeKey, NodeKeySignature: renewed });
  assert.equal(answer.MachineAuthorized, true);
  assert.equal(world.record(bob).keySignature, renewed);
  assert.equal(world.lock.authorizes(fresh.nodeKey, renewed), true);

  // An expired key asks for the same; a node without the old key, or with another lock key, could not use it.
  await world.world.admin.expireNode(String(bob.id));
  assert.deepEqual(await world.register(fresh, BOB), { NodeKeySignature: renewed });
  assert.deepEqual(await world.register(fresh, CAROL), { NodeKeyExpired: true });
  const lost = { ...bob, nodeKey: world.world.nodeKey() };
  assert.equal((await world.register(lost, CAROL, { OldNodeKey: fresh.nodeKey })).MachineAuthorized, true);
  assert.equal(world.record(bob).keySignature, "");
});

Deno.test("LockServer: disable takes the right secret alone, keeps it, and answers it to who was away", async () => {
  const { world, alice, bob, genesis } = await locked();
  const disable = (secret: Uint8Array) =>
    world.call(alice, "disable", { Head: genesis.hash, DisablementSecret: toBase64(secret) });
  await assert.rejects(disable(new Uint8Array(32)), /incorrect disablement secret/);
  assert.notEqual(world.lock.active, undefined);
  await disable(SECRET);
  assert.deepEqual(world.server.info(bob.id), { Disabled: true });
  await disable(SECRET);
  const { DisablementSecret, GenesisAUM } = await world.call(bob, "bootstrap", { Head: genesis.hash });
  assert.deepEqual([DisablementSecret, GenesisAUM], [toBase64(SECRET), undefined]);
  const again = { GenesisAUM: toBase64(genesis.bytes) };
  await assert.rejects(world.call(alice, "init/begin", again), /secret is known/);
  assert.equal(world.log.some((line) => line.includes(toBase64(SECRET))), false);
});

Deno.test("LockServer: wrong disablement secrets are tried in turn, five a minute a node, never where maps are served (L12)", async () => {
  let running = 0;
  let most = 0;
  let release = () => {};
  const world = await LockWorld.make({
    derive: async (secret) => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => release = resolve);
      running--;
      return secret;
    },
  });
  const alice = await world.join("alice", ALICE);
  const bob = await world.join("bob", BOB);
  const genesis = await world.init(alice, [ALICE]);
  const guess = (node: typeof alice, n: number) =>
    world.call(node, "disable", { Head: genesis.hash, DisablementSecret: toBase64(new Uint8Array(32).fill(n)) })
      .catch((error: Error) => error.message);
  const answers = [0, 1, 2, 3, 4, 5, 6].map((n) => guess(alice, n)).concat(guess(bob, 9));
  assert.match(String(await answers[5]), /within a minute/);
  assert.match(String(await answers[6]), /within a minute/);
  // While one derives, everything else is answered.
  assert.equal((await world.call(bob, "bootstrap", { Head: "" })).GenesisAUM, toBase64(genesis.bytes));
  let settled = false;
  const rest = Promise.all(answers).then(() => settled = true);
  while (!settled) {
    release();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await rest;
  assert.equal(most, 1, "one at a time");
  assert.match(String(await answers[7]), /incorrect/, "another node has tries of its own");
  assert.notEqual(world.lock.active, undefined);
  await world.world.scheduler.advance(60_000);
  const later = guess(alice, 1);
  await new Promise((resolve) => setTimeout(resolve, 0));
  release();
  assert.match(String(await later), /incorrect/);
});

Deno.test("LockServer: a revocation with more votes wins the fork, and signatures of the stolen key are void (L9)", async () => {
  const { world, alice, genesis } = await locked();
  const [stolen, accomplice] = [testKey(66), testKey(67)];
  await world.submit(...finish(world, updates(world).addKey(stolen.key())));
  const mallory = await world.join("mallory", stolen);
  await world.call(mallory, "sign", { Signature: signature(stolen, mallory.nodeKey) });
  const { chain } = world.lock.active!;
  const theirs = new UpdateBuilder(chain.authority, stolen).addKey(accomplice.key()).finalize(
    chain.authority,
    chain.chonk,
  );
  await world.submit(...theirs);
  const revocation = makeRetroactiveRevocation(
    chain.authority,
    chain.chonk,
    [stolen.public, accomplice.public],
    BOB.public,
    { forkFrom: genesis.hash },
  );
  const recovered = cosign(revocation.withSignatures(BOB.signAum(revocation.sigHash)), ALICE);
  const answer = await world.call(alice, "sync/send", {
    Head: recovered.hash,
    MissingAUMs: bases([recovered]),
    Interactive: false,
  });
  assert.equal(answer.Head, recovered.hash);
  assert.equal(world.lock.authorizes(mallory.nodeKey, world.record(mallory).keySignature), false);
  assert.equal(world.server.reports.of(world.record(mallory))!.signed, false);
  assert.equal(world.lock.authorizes(alice.nodeKey, world.record(alice).keySignature), true);
  assert.equal(chain.jointOf(theirs[0].hash)!.place, 0);
});

Deno.test("TailnetLock.load() stops the server when the lock cannot be read", async () => {
  const store = openSqliteStore(":memory:");
  const world = await LockWorld.make({ store });
  const alice = await world.join("alice", ALICE);
  await world.init(alice, [ALICE]);
  await world.world.tailnet.change((tx) =>
    tx.locks.addAums(1, [{ hash: "B".repeat(52) as never, bytes: key25519(ALICE.public).public! }], 0)
  );
  await assert.rejects(LockWorld.make({ store }), /Cannot read tailnet lock/);
});
