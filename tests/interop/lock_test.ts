// Tailnet Lock under Tailscale's testcontrol, which serves init, bootstrap, offer and sign: our agent makes the lock,
// a tsnet node follows, and who is not signed reaches nobody.

import assert from "node:assert/strict";
import { LocalClient } from "../../cli/local_client.ts";
import { until } from "./support/agent.ts";
import type { GoJson } from "./support/control.ts";
import { runLab } from "./support/lab.ts";
import { sceneTest } from "./support/scene.ts";

const CAPABILITY = "https://tailscale.com/cap/tailnet-lock";

sceneTest(
  "agent: Tailnet Lock under testcontrol: init, status, sign, unsigned peers dropped (L1, L3)",
  async (scene) => {
    const [{ capabilityVersion }] = await runLab<{ capabilityVersion: number }>({ path: scene.program }, ["version"]);
    const env = { AGENT_TEST_CAPABILITY_VERSION: String(capabilityVersion) };
    const agent = await scene.joinedAgent("left", "ours", { env });
    const peer = await scene.peer("right", "theirs", { localSocket: `${scene.dir}/theirs.sock` });
    const theirLocal = new LocalClient(`${scene.dir}/theirs.sock`);
    const [ours] = await agent.ips();
    await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ours)]);
    assert.match(await agent.cli("lock"), /^Tailnet Lock is NOT enabled\./);

    const key = /tailnet-lock key: (tlpub:[0-9a-f]{64})/.exec(await agent.cli("lock", "status"))![1];
    const made = await agent.cli("lock", "init", "--confirm", "--accept-risk=one-signer", key);
    assert.match(made, /\tdisablement-secret:[0-9A-F]{64}\nInitialization complete\.\n$/);
    // testcontrol announces a lock with the next map response it has a reason for.
    await scene.control.updateNode("ours", {});
    await scene.control.updateNode("theirs", {});
    const locked = async (local: { json: LocalClient["json"] }) => {
      const status = await local.json<GoJson>("GET", "tka/status");
      return status.Enabled && status.NodeKeySigned && status;
    };
    const mine = await until("our agent is under lock", 20_000, () => locked(new LocalClient(agent.socket)));
    const theirs = await until("tsnet is under lock", 20_000, () => locked(theirLocal));
    assert.deepEqual(mine.Head, theirs.Head);
    assert.deepEqual(mine.TrustedKeys, theirs.TrustedKeys);
    assert.deepEqual(Object.keys(mine).filter((name) => name !== "Agent"), Object.keys(theirs));
    await until("it is synced", 20_000, async () => (await agent.local("tka/status")).Agent.Condition === "synced");
    assert.match(await agent.cli("lock"), /^Tailnet Lock is ENABLED\.\n\nThis node is accessible under Tailnet Lock\./);
    await agent.awaitPeer(peer.ips[0]);
    assert.equal((await peer.ping(ours, "TSMP")).Err, "");

    const late = await scene.peer("right", "late", { wait: "0" });
    const filtered = await until("the unsigned node is kept out", 20_000, async () => {
      const { FilteredPeers } = await agent.local("tka/status");
      return FilteredPeers?.find((node: GoJson) => node.Name.startsWith("late."));
    });
    assert.equal((await agent.status()).Peer[filtered.NodeKey], undefined);
    assert.match(await agent.cli("lock"), /The following nodes are locked out[^]*\n\tlate\./);
    const [address] = filtered.TailscaleIPs;
    const refused = await late.ping(ours, "TSMP", 3_000).then((result) => result.Err, (error) => String(error));
    assert.notEqual(refused, "", "nobody reaches us unsigned");
    assert.notEqual((await agent.local(`ping?ip=${address}&type=TSMP`, "POST")).Err, "");

    await agent.cli("lock", "sign", filtered.NodeKey);
    await agent.awaitPeer(address);
    await until("the signed node answers", 20_000, async () => {
      const result = await agent.local(`ping?ip=${address}&type=TSMP`, "POST");
      return result.Err === "" && result;
    });
    assert.doesNotMatch(await agent.cli("lock"), /locked out/);

    // Restarted, it is under lock before control has said a word, and goes on.
    await agent.stop();
    await agent.run();
    const again = await until("under lock again", 20_000, () => locked(new LocalClient(agent.socket)));
    assert.deepEqual(again.Head, mine.Head);
    await agent.awaitPeer(address);
    console.log(`  ${(await agent.cli("lock", "status", "--all")).trim().replaceAll("\n", "\n  ")}`);
  },
  // testcontrol asks a node that comes back for its auth key again, where there is one.
  { control: { defaultCaps: CAPABILITY, authkey: "" } },
);
