/** Tailnet Lock between Tailscale's own clients, under our coordinator. */
import assert from "node:assert/strict";
import { toHex } from "../../base/bytes.ts";
import { aumHashBytes } from "../../tka/aum_hash.ts";
import { UpdateBuilder } from "../../tka/builder.ts";
import { key25519 } from "../../tka/key.ts";
import { type TestKey, testKey } from "../support/lock_keys.ts";
import { RunningCoordinator, until } from "../support/running_coordinator.ts";
import { labTest } from "./support/lab_test_case.ts";
import { headOf, LockedPeer } from "./support/locked_peer.ts";
import { LabPeer } from "./support/peer.ts";

function headHex({ coordinator }: RunningCoordinator): string {
  return toHex(aumHashBytes(coordinator.lock.active!.chain.head));
}

labTest(
  "lock: a tsnet node locks our tailnet; who is not signed reaches nobody, and nobody it; signed, it does",
  async (path) => {
    await using world = await RunningCoordinator.start();
    const { admin, createKey, url } = world.coordinator;
    const { key } = await createKey({ reusable: true });
    const start = async (hostname: string, authkey = key) =>
      new LockedPeer(await LabPeer.start({ path }, { control: url, authkey, hostname, derpOnly: true }));
    const [alice, bob] = await Promise.all([start("alice"), start("bob")]);
    await using _alice = alice.peer;
    await using _bob = bob.peer;
    await until(() => alice.reaches(bob), "the first ping", 40_000);

    const secret = await alice.init();
    for (const node of [alice, bob]) {
      await node.until("the lock", ({ Enabled, NodeKeySigned }) => Enabled && NodeKeySigned);
    }
    assert.equal(await alice.reaches(bob), true, "both were signed by the init");
    assert.equal(headOf(await bob.status()), headHex(world));

    const carol = await start("carol");
    await using _carol = carol.peer;
    await carol.until("the lock", ({ Enabled, NodeKeySigned }) => Enabled && !NodeKeySigned);
    await until(async () => (await alice.status()).FilteredPeers?.length === 1, "alice to filter carol", 40_000);
    assert.deepEqual(await Promise.all([alice.sees(carol), bob.sees(carol)]), [false, false]);
    assert.deepEqual(
      await Promise.all([alice.reaches(carol), bob.reaches(carol), carol.reaches(alice), carol.reaches(bob)]),
      [false, false, false, false],
    );
    const unsigned = (await admin.listNodes()).filter(({ lock }) => lock?.signed === false);
    assert.deepEqual(unsigned.map(({ name }) => name), ["carol"]);

    await alice.sign(carol);
    await carol.until("the signature", ({ NodeKeySigned }) => NodeKeySigned);
    await until(() => carol.reaches(bob), "carol to reach bob", 40_000);
    assert.equal(await bob.reaches(carol), true);

    // A second signer: bob. What he signs holds, and hangs on his key.
    const bobKey = await bob.key();
    await alice.modify({ add: [bobKey] });
    for (const node of [alice, bob, carol]) {
      await node.until("bob's key", ({ TrustedKeys }) => TrustedKeys?.length === 2);
      assert.equal(headOf(await node.status()), headHex(world));
    }
    const dave = await start("dave");
    await using _dave = dave.peer;
    await dave.until("the lock", ({ Enabled }) => Enabled);
    await bob.sign(dave);
    await until(() => dave.reaches(alice), "dave to reach alice", 40_000);
    assert.equal(await alice.affected(bobKey), 1);
    await assert.rejects(carol.sign(dave), /not trusted/);

    // Bob's key is removed: dave, whom it signed, is out everywhere.
    await alice.modify({ remove: [bobKey] });
    for (const node of [alice, bob, carol]) {
      await node.until("the removal", ({ TrustedKeys }) => TrustedKeys?.length === 1);
    }
    await until(async () => !await alice.sees(dave), "alice to drop dave", 40_000);
    assert.equal(await dave.reaches(alice), false);
    await alice.sign(dave);
    // Alice begins, since dave still has the session that alice forgot, and would only give it up after 15 s.
    await until(() => alice.reaches(dave), "dave to be back", 40_000);

    // A wrapped auth key lets a node in by itself.
    const wrapped = await alice.wrap(key);
    const erin = await start("erin", wrapped);
    await using _erin = erin.peer;
    await erin.until("her own signature", ({ Enabled, NodeKeySigned }) => Enabled && NodeKeySigned);
    await until(() => erin.reaches(alice), "erin to reach alice", 40_000);

    await assert.rejects(alice.disable("00".repeat(32)), /incorrect disablement secret/);
    await alice.disable(secret);
    const frank = await start("frank");
    await using _frank = frank.peer;
    for (const node of [alice, bob, carol, dave, erin]) {
      await node.until("the end of the lock", ({ Enabled }) => !Enabled);
    }
    await until(() => frank.reaches(erin), "an unsigned node to reach the others", 40_000);
  },
);

/** AUMs of a signer that has no node, straight into the coordinator's lock. */
async function lengthen(world: RunningCoordinator, signer: TestKey, count: number): Promise<void> {
  const { lock } = world.coordinator;
  for (let made = 0; made < count;) {
    const { chain } = lock.active!;
    const updates = new UpdateBuilder(chain.authority, signer);
    const room = Math.min(49, count - made);
    const passing = testKey(200).public;
    for (let i = 0; i < room; i++) {
      if ((made + i) % 2 === 0) updates.addKey(key25519(passing));
      else updates.removeKey(passing);
    }
    const aums = updates.finalize(chain.authority, chain.chonk);
    await lock.submit(aums, Date.now());
    made += room;
  }
}

for (const [count, healed] of [[600, true], [3000, false]] as const) {
  const outcome = healed ? "in sync at once when it is back" : "full, closed and named by the coordinator";
  labTest(`lock (L16): a stopped tsnet node that missed ${count} AUMs is ${outcome}`, async (path) => {
    await using world = await RunningCoordinator.start();
    const { admin, createKey, url } = world.coordinator;
    const { key } = await createKey({ reusable: true });
    const dir = await Deno.makeTempDir({ prefix: "agent-far-behind-" });
    try {
      const join = { control: url, authkey: key, derpOnly: true };
      const alice = new LockedPeer(await LabPeer.start({ path }, { ...join, hostname: "alice" }));
      await using _alice = alice.peer;
      const signer = testKey(100);
      const away = { ...join, hostname: "away", dir };
      {
        const before = new LockedPeer(await LabPeer.start({ path }, away));
        await using _before = before.peer;
        await alice.init(`nlpub:${toHex(signer.public)}`);
        await before.until("the lock", ({ NodeKeySigned }) => NodeKeySigned);
      }
      await lengthen(world, signer, count);
      const begun = performance.now();
      const back = new LockedPeer(await LabPeer.start({ path }, away));
      await using _back = back.peer;
      const report = async () => (await admin.listNodes()).find(({ name }) => name === "away")!.lock!;
      if (healed) {
        await back.until("the head", (status) => headOf(status) === headHex(world));
        await until(() => back.reaches(alice), "away to reach alice", 40_000);
        console.log(`${count} AUMs behind: in sync after ${(performance.now() - begun).toFixed(0)} ms`);
        assert.equal((await report()).sync, "synced");
        return;
      }
      await until(async () => (await report()).sync === "full", "the report", 40_000);
      const { behind, remedy } = await report();
      console.log(`${count} AUMs behind: reported full, ${behind} short; ${remedy}`);
      assert.match(remedy!, /remove the directory tka-profiles/);
      await back.peer[Symbol.asyncDispose]();
      // Started again it still opens its store, and so is still under the lock.
      {
        const again = new LockedPeer(await LabPeer.start({ path }, away));
        await using _again = again.peer;
        const { Enabled, TrustedKeys } = await again.status();
        console.log(`started again: lock ${Enabled ? "on" : "OFF"}, ${TrustedKeys?.length} trusted keys`);
        assert.equal(Enabled, true);
      }
      // The remedy holds what it promises: it begins at a later checkpoint.
      await Deno.remove(`${dir}/tka-profiles`, { recursive: true });
      const anew = new LockedPeer(await LabPeer.start({ path }, away));
      await using _anew = anew.peer;
      await anew.until("the head", (status) => headOf(status) === headHex(world));
      console.log(`begun anew: ${(await report()).sync}`);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}
