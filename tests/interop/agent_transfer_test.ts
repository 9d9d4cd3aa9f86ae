// 200 MB each way between our agent and a tsnet node: by a direct path, and by the relay while a router drops UDP.
// TCP both ways at once, each side dialing, with numbered datagrams both ways beside it.

import assert from "node:assert/strict";
import type { AgentNode } from "./support/agent.ts";
import type { LabPeer } from "./support/peer.ts";
import { type Scene, sceneTest } from "./support/scene.ts";
import { seededSha256 } from "./support/seeded_bytes.ts";
import type { TrafficEnd, Transfer } from "./support/traffic.ts";

const SIZE = 200_000_000;
const OUR_SEED = 11, THEIR_SEED = 12;
const WANT = { ours: seededSha256(OUR_SEED, SIZE), theirs: seededSha256(THEIR_SEED, SIZE) };

async function join(scene: Scene): Promise<{ agent: AgentNode; peer: LabPeer; ours: string[] }> {
  const [agent, peer] = await Promise.all([scene.joinedAgent("left", "ours"), scene.peer("right", "theirs")]);
  const ours = await agent.ips();
  await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ours[0])]);
  return { agent, peer, ours };
}

/** Datagrams beside TCP: most come back, none changed, none twice. */
async function datagrams(from: TrafficEnd, addr: string): Promise<string> {
  const { sent, received, repeated, damaged } = await from.udp({
    addr,
    count: 300,
    size: 1100,
    intervalMs: 3,
    waitMs: 3000,
  });
  assert.deepEqual([repeated, damaged], [0, 0]);
  assert.ok(received >= sent * 0.8, `${received} of ${sent} datagrams came back`);
  return `${received} of ${sent}`;
}

/** Moves 200 MB up and 200 MB down, on two connections at once, one dialed by each side. */
async function exchange(agent: AgentNode, peer: LabPeer, ours: string): Promise<void> {
  const kernel = await agent.traffic();
  const [theirs] = peer.ips;
  await Promise.all([
    kernel.listen({ kind: "sink", port: 7001 }),
    kernel.listen({ kind: "udpecho", port: 7002 }),
    peer.listen({ kind: "sink", port: 7001 }),
    peer.listen({ kind: "udpecho", port: 7002 }),
  ]);
  const startedAt = performance.now();
  const timeoutMs = 120_000;
  // Each connection carries bytes from the side that dialed it: a tsnet node that has half-closed sends no SACK.
  const [, , udpUp, udpDown] = await Promise.all([
    kernel.dial({ addr: `${theirs}:7001`, send: SIZE, receive: -1, seed: OUR_SEED, timeoutMs }),
    peer.dial({ addr: `${ours}:7001`, send: SIZE, receive: -1, seed: THEIR_SEED, timeoutMs }),
    datagrams(kernel, `${theirs}:7002`),
    datagrams(peer, `${ours}:7002`),
  ]);
  const [[up], [down]] = await Promise.all([peer.transfers("sink", 1), kernel.transfers("sink", 1)]);
  const seconds = (performance.now() - startedAt) / 1000;
  const checked = (what: string, { received, receivedSha256, error }: Transfer, hash: string) => {
    assert.equal(error, undefined, what);
    assert.equal(received, SIZE, what);
    assert.equal(receivedSha256, hash, what);
  };
  checked("from tsnet to the agent", down, WANT.theirs);
  checked("from the agent to tsnet", up, WANT.ours);
  const rate = (ms: number) => (SIZE / 1000 / ms).toFixed(1);
  console.log(
    `  200 MB each way in ${seconds.toFixed(1)} s, hashes equal: to the agent ${rate(down.ms)} MB/s` +
      `, to tsnet ${rate(up.ms)} MB/s; datagrams beside it: ${udpUp} up, ${udpDown} down`,
  );
}

/** What passed by the relay so far. */
async function relayed(scene: Scene): Promise<number> {
  return (await scene.control.derpState()).counters.bytes_received;
}

sceneTest("agent: 200 MB each way with a tsnet node by direct UDP, hashes equal", async (scene) => {
  const { agent, peer, ours } = await join(scene);
  await agent.cli("ping", peer.ips[0]);
  const before = await relayed(scene);
  await exchange(agent, peer, ours[0]);
  assert.match((await agent.peer(peer.ips[0])).CurAddr, /^(10\.90\.2\.2|\[fd90:2::2\]):/);
  const byRelay = await relayed(scene) - before;
  assert.ok(byRelay < 1_000_000, `${byRelay} bytes went by the relay`);
});

for (const stun of [false, true]) {
  sceneTest(
    `agent: 200 MB each way by DERP, UDP dropped between the nodes${stun ? " and STUN too" : ""}`,
    async (scene) => {
      const allow = await scene.dropUdp({ stun });
      const { agent, peer, ours } = await join(scene);
      await exchange(agent, peer, ours[0]);
      const { CurAddr, Relay } = await agent.peer(peer.ips[0]);
      assert.deepEqual([CurAddr, Relay], ["", "lab"]);
      const byRelay = await relayed(scene);
      assert.ok(byRelay > 2 * SIZE, `${byRelay} bytes went by the relay`);
      const [pong] = (await agent.cli("ping", "--c", "1", "--until-direct=false", peer.ips[0])).split("\n");
      assert.match(pong, /via DERP\(lab\) in/);
      console.log(`  ${pong}`);
      await allow();
    },
  );
}
