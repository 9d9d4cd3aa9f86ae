// A path that is taken away and given back while a TCP connection is busy: the relay takes over, the connection lives,
// the direct path comes back.

import assert from "node:assert/strict";
import { type AgentNode, until } from "./support/agent.ts";
import type { GoJson } from "./support/control.ts";
import type { LabPeer } from "./support/peer.ts";
import { sceneTest } from "./support/scene.ts";

/** What each side says its path is: "" is the relay. */
async function paths(agent: AgentNode, ourIp: string, peer: LabPeer): Promise<{ agent: string; tsnet: string }> {
  const theirs = Object.values((await peer.status()).Peer as Record<string, GoJson>);
  return {
    agent: (await agent.peer(peer.ips[0])).CurAddr,
    tsnet: theirs.find((node) => node.TailscaleIPs.includes(ourIp)).CurAddr,
  };
}

/** Seconds until each side has a direct path, or none. */
async function timed(agent: AgentNode, ourIp: string, peer: LabPeer, direct: boolean) {
  const startedAt = performance.now();
  const seen = new Map<string, number>();
  await until(`both sides are ${direct ? "direct" : "relayed"}`, 20_000, async () => {
    for (const [side, addr] of Object.entries(await paths(agent, ourIp, peer))) {
      if ((addr !== "") !== direct) seen.delete(side);
      else if (!seen.has(side)) seen.set(side, (performance.now() - startedAt) / 1000);
    }
    return seen.size === 2;
  }, 100);
  return { agent: seen.get("agent")!, tsnet: seen.get("tsnet")! };
}

sceneTest("agent: direct to DERP and back within 10 s while a connection is busy, which survives", async (scene) => {
  const [agent, peer] = await Promise.all([scene.joinedAgent("left", "ours"), scene.peer("right", "theirs")]);
  const [ourIp] = await agent.ips();
  await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ourIp)]);
  await peer.listen({ kind: "echo", port: 7001 });
  await agent.cli("ping", peer.ips[0]);
  const kernel = await agent.traffic();
  const flow = await kernel.flow({ addr: `${peer.ips[0]}:7001`, seed: 5, rate: 2_000_000 });
  await timed(agent, ourIp, peer, true);
  const relayed = async () => (await scene.control.derpState()).counters.bytes_received;
  /** Waits until a million more bytes have come back. */
  const progress = async () => {
    const from = (await flow.state()).received;
    await until("the flow goes on", 60_000, async () => {
      const { received, error } = await flow.state();
      assert.equal(error, undefined);
      return received - from > 1_000_000;
    }, 200);
  };

  for (const stun of [false, true]) {
    await progress();
    await flow.state();
    const before = await relayed();
    const allow = await scene.dropUdp({ stun });
    const dropped = performance.now();
    const lost = await timed(agent, ourIp, peer, false);
    let stall = (await flow.state()).longestStallMs;
    const resumed = until("the flow goes on by the relay", 30_000, async () => {
      const state = await flow.state();
      stall = Math.max(stall, state.longestStallMs);
      return await relayed() - before > 2_000_000;
    }, 200);
    await resumed;
    const byRelay = (performance.now() - dropped) / 1000;
    await progress();
    await flow.state();

    await allow();
    const found = await timed(agent, ourIp, peer, true);
    const back = await flow.state();
    console.log(
      `  UDP${stun ? " and STUN" : ""} dropped: relayed after ${lost.agent.toFixed(1)} s (tsnet ${
        lost.tsnet.toFixed(1)
      } s)` +
        `, 2 MB more by the relay after ${byRelay.toFixed(1)} s, longest silence ${(stall / 1000).toFixed(1)} s;` +
        ` allowed: direct after ${found.agent.toFixed(1)} s (tsnet ${found.tsnet.toFixed(1)} s)` +
        `, longest silence ${(back.longestStallMs / 1000).toFixed(1)} s`,
    );
    for (const [side, seconds] of [...Object.entries(lost), ...Object.entries(found)]) {
      assert.ok(seconds < 10, `${side} took ${seconds} s`);
    }
  }
  await progress();
  const { sent, received } = await flow.end();
  assert.equal(received, sent);
  console.log(`  one connection, ${(sent / 1e6).toFixed(0)} MB there and back, each byte compared`);
});
