/**
 * A whole tailnet of our own in namespaces: our coordinator with its relay in `core`, our agent in `left`, Tailscale's
 * tsnet in `right`. (testcontrol, which the scene brings along, has nothing to do here.)
 */
import assert from "node:assert/strict";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { type AgentNode, until } from "./support/agent.ts";
import type { LabPeer } from "./support/peer.ts";
import { type Scene, sceneTest } from "./support/scene.ts";
import { seededSha256 } from "./support/seeded_bytes.ts";

const SIZE = 20_000_000;

async function tailnet(scene: Scene): Promise<{ coordinator: CoordinatorProcess; agent: AgentNode; peer: LabPeer }> {
  const coordinator = await CoordinatorProcess.start({ namespace: scene.core, dir: scene.dir, host: "10.90.0.1" });
  const key = await coordinator.createKey("--reusable", "--user", "alice");
  const agent = await scene.agent("left", "ours");
  const [peer] = await Promise.all([
    scene.peer("right", "theirs", { control: coordinator.url, authkey: key }),
    agent.up(coordinator.url, key),
  ]);
  const [ours] = await agent.ips();
  await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ours)]);
  await until("both have a home region", 20_000, async () => (await agent.peer(peer.ips[0])).Relay === "agent");
  return { coordinator, agent, peer };
}

/** 20 MB up and 20 MB down at once, one connection dialed by each side; hashes compared. */
async function exchange(agent: AgentNode, peer: LabPeer, port: number): Promise<void> {
  const kernel = await agent.traffic();
  const [ours] = await agent.ips();
  await Promise.all([
    kernel.listen({ kind: "source", port, seed: 1, bytes: SIZE }),
    peer.listen({ kind: "source", port, seed: 2, bytes: SIZE }),
  ]);
  const order = { send: 0, receive: SIZE, seed: 3, timeoutMs: 60_000 };
  const [down, up] = await Promise.all([
    kernel.dial({ ...order, addr: `${peer.ips[0]}:${port}` }),
    peer.dial({ ...order, addr: `${ours}:${port}` }),
  ]);
  assert.deepEqual([down.error, up.error], [undefined, undefined]);
  assert.deepEqual([down.receivedSha256, up.receivedSha256], [seededSha256(2, SIZE), seededSha256(1, SIZE)]);
}

sceneTest("our coordinator: our agent and tsnet ping, move 20 MB each way, and outlive its crash", async (scene) => {
  const { coordinator, agent, peer } = await tailnet(scene);
  await using _coordinator = coordinator;
  for (const family of [0, 1]) {
    for (const type of ["disco", "TSMP", "ICMP"] as const) {
      assert.equal((await peer.ping((await agent.ips())[family], type)).Err, "");
      assert.equal((await agent.local(`ping?ip=${peer.ips[family]}&type=${type}`, "POST")).Err, "");
    }
  }
  await exchange(agent, peer, 7001);
  assert.match((await agent.peer(peer.ips[0])).CurAddr, /^(10\.90\.2\.2|\[fd90:2::2\]):/);
  const before = await coordinator.nodes();
  assert.deepEqual(before.map(({ online, user }) => [online, user]), [[true, "alice"], [true, "alice"]]);

  await coordinator.kill();
  await exchange(agent, peer, 7002);
  await coordinator.run();
  await until(
    "both nodes are back",
    45_000,
    async () => (await coordinator.nodes()).every(({ online }) => online),
    500,
  );
  const after = await coordinator.nodes();
  const lasting = before.map(({ lastSeen: _, ...node }) => node);
  assert.deepEqual(after.map(({ lastSeen: _, ...node }) => node), lasting);

  await coordinator.command("nodes", "delete", "theirs");
  await until("the agent has no peer", 10_000, async () => Object.keys((await agent.status()).Peer ?? {}).length === 0);
});

sceneTest(
  "our coordinator: our agent and tsnet move 20 MB each way by its relay while UDP is dropped",
  async (scene) => {
    await scene.dropUdp();
    const { coordinator, agent, peer } = await tailnet(scene);
    await using _coordinator = coordinator;
    await exchange(agent, peer, 7001);
    const { CurAddr, Relay } = await agent.peer(peer.ips[0]);
    assert.deepEqual([CurAddr, Relay], ["", "agent"]);
    await agent.cli("logout");
    await until("the coordinator has it expired", 10_000, async () => {
      return (await coordinator.nodes()).find(({ name }) => name === "ours")?.expired === true;
    }, 200);
  },
);
