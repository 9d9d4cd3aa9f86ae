// The control server goes away and comes back while peers talk: they go on talking, and the node comes back to it within
// its back-off. A server that comes back with another key is not the same server, and is refused.

import assert from "node:assert/strict";
import { type AgentNode, until } from "./support/agent.ts";
import type { LabPeer } from "./support/peer.ts";
import { type Scene, sceneTest } from "./support/scene.ts";
import type { PacedFlow } from "./support/traffic.ts";

/** The back-off between two tries at most, as Tailscale's. */
const BACK_OFF_S = 30;

/** An agent and a tsnet node, direct, with a busy connection between them. */
async function talking(scene: Scene): Promise<{ agent: AgentNode; peer: LabPeer; flow: PacedFlow }> {
  const [agent, peer] = await Promise.all([scene.joinedAgent("left", "ours"), scene.peer("right", "theirs")]);
  const [ourIp] = await agent.ips();
  await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ourIp)]);
  await peer.listen({ kind: "echo", port: 7001 });
  await agent.cli("ping", peer.ips[0]);
  await until("a direct path", 10_000, async () => (await agent.peer(peer.ips[0])).CurAddr !== "");
  const flow = await (await agent.traffic()).flow({ addr: `${peer.ips[0]}:7001`, seed: 31, rate: 1_000_000 });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await flow.state();
  return { agent, peer, flow };
}

const seconds = (since: number) => (performance.now() - since) / 1000;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function unharmed(flow: PacedFlow, what: string): Promise<void> {
  const { longestStallMs } = await flow.state();
  const { sent, received, ms } = await flow.end();
  console.log(`  ${what}: ${(sent / 1e6).toFixed(0)} MB there and back, longest silence ${longestStallMs} ms`);
  assert.equal(received, sent);
  assert.ok(received > ms * 1_000 * 0.3, `${received} bytes in ${ms} ms`);
  assert.ok(longestStallMs < 3_000, `${longestStallMs} ms of silence`);
}

sceneTest(
  "agent: control stopped for 20 s and started, traffic never stops, the node is back within 30 s",
  async (scene) => {
    const { agent, peer, flow } = await talking(scene);
    const polls = async () =>
      (await scene.control.mapRequests()).filter(({ request }) =>
        request.Stream && request.Hostinfo?.Hostname === "ours"
      )
        .length;
    const before = await polls();
    assert.equal((await scene.control.control("stop")).open, false);
    await sleep(20_000);
    const during = await agent.status();
    assert.equal(during.BackendState, "Running");
    console.log(`  health meanwhile: ${JSON.stringify(during.Health ?? [])}`);

    const startedAt = performance.now();
    assert.equal((await scene.control.control("start")).open, true);
    await until("the node polls again", (BACK_OFF_S + 5) * 1000, async () => await polls() > before, 100);
    const back = seconds(startedAt);
    // What happened at the server reaches the node by the new poll.
    await scene.control.awaitPolling("ours");
    await scene.control.addFakeNode({
      Name: "fake.scene.",
      Addresses: ["100.64.9.9/32"],
      AllowedIPs: ["100.64.9.9/32"],
    });
    await agent.awaitPeer("100.64.9.9");
    console.log(`  polls again ${back.toFixed(1)} s after control's start`);
    assert.ok(back <= BACK_OFF_S, `${back} s`);
    assert.ok((await agent.peer(peer.ips[0])).Online);
    await unharmed(flow, "traffic");
  },
);

sceneTest(
  "agent: control killed and come back with another key is refused, traffic goes on; a flag accepts it",
  async (scene) => {
    const { agent, peer, flow } = await talking(scene);
    const [oldIp] = await agent.ips();
    await scene.killControl();
    await sleep(5_000);
    await scene.startControl();
    const refused = await until("the new key is refused", (BACK_OFF_S + 5) * 1000, async () => {
      const { Health } = await agent.status();
      return (Health as string[] | null)?.find((line) => /key/.test(line));
    }, 250);
    console.log(`  health: ${refused}`);
    assert.equal((await agent.status()).BackendState, "Running");
    assert.deepEqual(await scene.control.nodes(), []);
    assert.ok((await agent.peer(peer.ips[0])).CurAddr !== "");
    await unharmed(flow, "traffic without control, relay and STUN");

    // To trust the new server is the operator's decision; to it, the node is a new one.
    assert.equal(await agent.stop(), 0);
    const startedAt = performance.now();
    await agent.run(["--accept-new-server-key"]);
    const status = await until("Running again", 40_000, async () => {
      const now = await agent.status();
      return now.BackendState === "Running" && now;
    });
    await scene.control.awaitPolling("ours");
    console.log(
      `  started with --accept-new-server-key: registered anew after ${seconds(startedAt).toFixed(1)} s` +
        `, ${oldIp} before, ${status.TailscaleIPs[0]} now`,
    );
  },
  { control: { authkey: undefined } },
);
