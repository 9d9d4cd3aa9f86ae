/** What befalls tsnet nodes of a locked tailnet of ours in the course of time: expiry, and another lock while away. */
import assert from "node:assert/strict";
import { decodeNodeKeySignature, SIG_KIND } from "../../tka/node_key_signature.ts";
import { fromBase64 } from "../../base/bytes.ts";
import { RunningCoordinator, until } from "../support/running_coordinator.ts";
import { labTest } from "./support/lab_test_case.ts";
import { LockedPeer } from "./support/locked_peer.ts";
import { LabPeer } from "./support/peer.ts";

labTest(
  "lock: a tsnet node whose key expires wraps its signature for the new key, and needs no signer",
  async (path) => {
    await using world = await RunningCoordinator.start();
    const { admin, createKey, tailnet, url } = world.coordinator;
    const { key } = await createKey({ reusable: true });
    const join = { control: url, authkey: key, derpOnly: true };
    const [alice, bob] = (await Promise.all(
      ["alice", "bob"].map((hostname) => LabPeer.start({ path }, { ...join, hostname })),
    )).map((peer) => new LockedPeer(peer));
    await using _alice = alice.peer;
    await using _bob = bob.peer;
    await alice.init();
    await bob.until("the lock", ({ NodeKeySigned }) => NodeKeySigned);
    const record = () => [...tailnet.nodes.values()].find(({ record }) => record.name === "bob")!.record;
    const before = record();

    await admin.expireNode("bob");
    await bob.peer.await("NeedsLogin");
    await bob.peer.login();
    // It has its auth key still.
    await until(() => record().nodeKey !== before.nodeKey, "the new key", 40_000);
    await bob.peer.await("Running");
    const after = record();
    assert.notEqual(after.nodeKey, before.nodeKey);
    assert.equal(world.coordinator.lock.authorizes(after.nodeKey, after.keySignature), true);
    const signature = decodeNodeKeySignature(fromBase64(after.keySignature)!);
    assert.equal(signature.kind, SIG_KIND.ROTATION);
    assert.equal(signature.nested!.kind, SIG_KIND.DIRECT);
    await bob.until("its signature", ({ Enabled, NodeKeySigned }) => Enabled && NodeKeySigned);
    await until(() => bob.reaches(alice), "bob to reach alice", 40_000);
  },
);

labTest(
  "lock (L16): disabled and made anew while a tsnet node was stopped: it leaves the old lock and joins the new",
  async (path) => {
    await using world = await RunningCoordinator.start();
    const { admin, createKey, url } = world.coordinator;
    const { key } = await createKey({ reusable: true });
    const join = { control: url, authkey: key, derpOnly: true };
    const dir = await Deno.makeTempDir({ prefix: "agent-away-" });
    try {
      const alice = new LockedPeer(await LabPeer.start({ path }, { ...join, hostname: "alice" }));
      await using _alice = alice.peer;
      let secret: string;
      {
        const before = new LockedPeer(await LabPeer.start({ path }, { ...join, hostname: "away", dir }));
        await using _before = before.peer;
        secret = await alice.init();
        await before.until("the lock", ({ NodeKeySigned }) => NodeKeySigned);
      }
      await alice.disable(secret);
      await alice.until("the end", ({ Enabled }) => !Enabled);
      await alice.init();
      await alice.until("the new lock", ({ NodeKeySigned }) => NodeKeySigned);
      const { StateID } = await alice.status();

      const back = new LockedPeer(await LabPeer.start({ path }, { ...join, hostname: "away", dir }));
      await using _back = back.peer;
      await back.until("the new lock", (status) => status.StateID === StateID && status.NodeKeySigned);
      await until(() => back.reaches(alice), "away to reach alice", 40_000);
      assert.deepEqual((await admin.listNodes()).map(({ lock }) => lock!.sync), ["synced", "synced"]);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);
