/**
 * A node key is renewed while traffic passes: under our coordinator with Tailnet Lock, by auth key and by a person, and
 * under headscale. What fails leaves the node as it was.
 */
import assert from "node:assert/strict";
import { type AgentNode, until } from "./support/agent.ts";
import type { GoJson } from "./support/control.ts";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { headscaleTest, overHttp, tsnetBeside } from "./support/headscale.ts";
import { LockedPeer } from "./support/locked_peer.ts";
import type { LabPeer } from "./support/peer.ts";
import { sceneTest } from "./support/scene.ts";

const WAIT_MS = 60_000;

/** A renewal may hold packets up for as long as peers need to hear of the new key and shake hands. */
const LONGEST_SILENCE_MS = 10_000;

const selfOf = async (agent: AgentNode) => {
  const { Self, TailscaleIPs, BackendState } = await agent.status();
  return { key: Self.PublicKey, id: Self.ID, ips: TailscaleIPs, state: BackendState };
};

/** Runs `renew` beside a connection that is kept busy, which must outlive it. @returns what both did. */
async function underTraffic(agent: AgentNode, peer: LabPeer, port: number, renew: () => Promise<void>) {
  await peer.listen({ kind: "echo", port });
  const kernel = await agent.traffic();
  const flow = await kernel.flow({ addr: `${peer.ips[0]}:${port}`, seed: port, rate: 200_000 });
  // Each look tells the longest silence since the last one.
  let silence = 0;
  const look = async () => {
    const { received, longestStallMs } = await flow.state();
    silence = Math.max(silence, longestStallMs);
    return received;
  };
  const moved = (since: number) => until("the connection moves", WAIT_MS, async () => await look() > since);
  await moved(50_000);
  await renew();
  await moved(await look() + 200_000);
  const { sent, received } = await flow.end();
  assert.equal(received, sent);
  assert.ok(silence < LONGEST_SILENCE_MS, `${silence} ms of silence`);
  return silence;
}

sceneTest("renew: a new node key while traffic passes, under our coordinator and Tailnet Lock", async (scene) => {
  const args = ["--lock-init", "any", "--key-expiry", "48h"];
  await using coordinator = await CoordinatorProcess.start({
    namespace: scene.core,
    dir: scene.dir,
    host: "10.90.0.1",
    args,
  });
  const key = await coordinator.createKey("--reusable");
  const agent = await scene.agent("left", "ours");
  await agent.up(coordinator.url, key);
  const peer = await scene.peer("right", "theirs", { control: coordinator.url, authkey: key });
  const locked = new LockedPeer(peer);
  await locked.init();
  const signed = async () => {
    await until("the agent is signed", WAIT_MS, async () => {
      const { Enabled, NodeKeySigned } = await agent.local("tka/status");
      return Enabled && NodeKeySigned;
    });
  };
  await signed();
  await agent.awaitPeer(peer.ips[0]);
  const before = await selfOf(agent);
  const seenByPeer = async (nodeKey: string) => {
    const { Peer } = await peer.status();
    return Object.values<GoJson>(Peer ?? {}).some(({ PublicKey }) => PublicKey === nodeKey);
  };

  // What fails changes nothing.
  const once = await coordinator.createKey();
  const bad = await agent.command("renew", "--auth-key", `${once.slice(0, -4)}AAAA`);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /^Cannot renew the node key: .*\. The old key stays in use\n$/);
  const late = await agent.command("renew", "--timeout", "2s");
  assert.equal(late.code, 1);
  assert.match(late.stderr, /To authenticate, visit:[^]*timeout waiting for the new node key; the old node key stays/);
  assert.deepEqual(await selfOf(agent), before);

  // By auth key.
  const silence = await underTraffic(agent, peer, 7001, async () => {
    assert.match(await agent.cli("renew", "--auth-key", once), /^Renewed: the node key is good until 20\d\d-/);
  });
  const renewed = await selfOf(agent);
  assert.notEqual(renewed.key, before.key);
  assert.deepEqual({ ...renewed, key: "" }, { ...before, key: "" });
  await signed();
  await until("the peer has the new key, and not the old", WAIT_MS, async () => {
    return await seenByPeer(renewed.key) && !await seenByPeer(before.key);
  });

  // By a person: the old key goes on until they have been there.
  const silenceOfPerson = await underTraffic(agent, peer, 7002, async () => {
    const renewing = agent.begin("renew");
    const [, id] = await renewing.says(/visit:\n\n\thttp\S+\/register\/(\S+)\n/);
    assert.deepEqual(await selfOf(agent), renewed);
    await coordinator.command("nodes", "approve", id);
    const { code, stdout, stderr } = await renewing.end();
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^Renewed: /);
  });
  const again = await selfOf(agent);
  assert.notEqual(again.key, renewed.key);
  assert.deepEqual({ ...again, key: "" }, { ...before, key: "" });
  await signed();
  await until("the peer has the newest key", WAIT_MS, () => seenByPeer(again.key));
  assert.equal((await coordinator.nodes()).length, 2, "the same node all along");
  console.log(`  longest silence: by auth key ${silence} ms, by a person ${silenceOfPerson} ms`);

  // Kept over a restart.
  await agent.stop();
  await agent.run();
  await until("it runs", WAIT_MS, async () => (await selfOf(agent)).state === "Running");
  assert.deepEqual(await selfOf(agent), again);
});

headscaleTest("renew: a new node key while traffic passes, under headscale", async (scene, program) => {
  const reach = await overHttp(scene, program);
  await using headscale = reach.headscale;
  const key = await headscale.createKey({ reusable: true });
  const agent = await scene.agent("left", "ours", reach.agent);
  await agent.up(headscale.url, key);
  await using peer = await tsnetBeside(scene, reach, key);
  await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer((await agent.ips())[0])]);
  const before = await selfOf(agent);
  const bad = await agent.command("renew", "--auth-key", "0123456789abcdef");
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /^Cannot renew the node key: .*\. The old key stays in use\n$/);
  assert.deepEqual(await selfOf(agent), before);
  const silence = await underTraffic(agent, peer, 7001, async () => {
    assert.match(await agent.cli("renew", "--auth-key", key), /^Renewed: /);
  });
  const renewed = await selfOf(agent);
  assert.notEqual(renewed.key, before.key);
  assert.deepEqual({ ...renewed, key: "" }, { ...before, key: "" });
  const node = await headscale.node("ours");
  assert.equal(node.node_key, renewed.key);
  const silenceOfPerson = await underTraffic(agent, peer, 7002, async () => {
    const renewing = agent.begin("renew");
    const [, id] = await renewing.says(/visit:\n\n\thttp\S+\/register\/(\S+)\n/);
    await headscale.command("nodes", "register", "--user", "alice", "--key", id);
    const { code, stderr } = await renewing.end();
    assert.equal(code, 0, stderr);
  });
  const again = await headscale.node("ours");
  assert.deepEqual([again.id, again.node_key], [node.id, (await selfOf(agent)).key]);
  assert.notEqual(again.node_key, renewed.key);
  console.log(`  longest silence: by auth key ${silence} ms, by a person ${silenceOfPerson} ms`);
});
