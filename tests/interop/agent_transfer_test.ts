// 200 MB each way between our agent and a tsnet node: by a direct path, and by the relay while a router drops UDP.
// TCP both ways at once, each side dialing, with numbered datagrams both ways beside it.

import assert from "node:assert/strict";
import type { AgentNode } from "./support/agent.ts";
import { exchange } from "./support/exchange.ts";
import type { LabPeer } from "./support/peer.ts";
import { type Scene, sceneTest } from "./support/scene.ts";

const SIZE = 200_000_000;

async function move(agent: AgentNode, peer: LabPeer, datagrams: number): Promise<void> {
  const [ip] = await agent.ips();
  await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ip)]);
  await exchange(
    { name: "agent", end: await agent.traffic(), ip },
    { name: "tsnet", end: peer, ip: peer.ips[0] },
    { bytes: SIZE, datagrams },
  );
}

/** Bytes that reached the relay so far. */
async function relayed(scene: Scene): Promise<number> {
  return (await scene.control.derpState()).counters.bytes_received;
}

sceneTest("agent: 200 MB each way with a tsnet node by direct UDP, hashes equal", async (scene) => {
  const [agent, peer] = await Promise.all([scene.joinedAgent("left", "ours"), scene.peer("right", "theirs")]);
  await agent.awaitPeer(peer.ips[0]);
  await agent.cli("ping", peer.ips[0]);
  const before = await relayed(scene);
  await move(agent, peer, 0.5);
  assert.match((await agent.peer(peer.ips[0])).CurAddr, /^(10\.90\.2\.2|\[fd90:2::2\]):/);
  const byRelay = await relayed(scene) - before;
  assert.ok(byRelay < 1_000_000, `${byRelay} bytes went by the relay`);
});

for (const stun of [false, true]) {
  const name = `agent: 200 MB each way by DERP, UDP dropped between the nodes${stun ? " and STUN too" : ""}`;
  sceneTest(name, async (scene) => {
    await scene.dropUdp({ stun });
    const [agent, peer] = await Promise.all([scene.joinedAgent("left", "ours"), scene.peer("right", "theirs")]);
    await move(agent, peer, 0.1);
    const { CurAddr, Relay } = await agent.peer(peer.ips[0]);
    assert.deepEqual([CurAddr, Relay], ["", "lab"]);
    const byRelay = await relayed(scene);
    assert.ok(byRelay > 2 * SIZE, `${byRelay} bytes went by the relay`);
    const [pong] = (await agent.cli("ping", "--c", "1", "--until-direct=false", peer.ips[0])).split("\n");
    assert.match(pong, /via DERP\(lab\) in/);
    console.log(`  ${byRelay} bytes went by the relay; ${pong}`);
  });
}
