// A connection that outlives its session keys (WireGuard makes new ones after 120 s), once with a Go peer that asked for
// the session and so asks again, once with our agent as the one who asks. Both run at once; paced, so that they are light.

import assert from "node:assert/strict";
import { sceneTest } from "./support/scene.ts";

const SECONDS = 155;
const RATE = 2_000_000;
const PORTS = { agent: 41640, asks: 41641, answers: 41642 };

sceneTest("agent: 155 s of traffic live through rekeys, tsnet as initiator and as responder", async (scene) => {
  const [agent, asks, answers] = await Promise.all([
    scene.joinedAgent("left", "ours", { port: PORTS.agent }),
    scene.peer("right", "asks", { port: PORTS.asks }),
    scene.peer("right", "answers", { port: PORTS.answers }),
  ]);
  const [ourIp] = await agent.ips();
  await Promise.all([asks, answers].flatMap((peer) => [agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ourIp)]));
  const initiations = await scene.countInitiations([
    { from: PORTS.asks, to: PORTS.agent },
    { from: PORTS.agent, to: PORTS.asks },
    { from: PORTS.answers, to: PORTS.agent },
    { from: PORTS.agent, to: PORTS.answers },
  ]);
  // Disco finds the path without a session; the first packet inside decides who asks for one.
  await Promise.all([agent.cli("ping", asks.ips[0]), agent.cli("ping", answers.ips[0])]);
  await asks.ping(ourIp, "TSMP");
  await agent.local(`ping?ip=${answers.ips[0]}&type=TSMP`, "POST");

  const kernel = await agent.traffic();
  const runs = await Promise.all([asks, answers].map(async (peer, i) => {
    await peer.listen({ kind: "echo", port: 7001 });
    const flow = await kernel.flow({ addr: `${peer.ips[0]}:7001`, seed: 21 + i, rate: RATE });
    return { name: i === 0 ? "tsnet asks" : "the agent asks", peer, flow, handshakes: new Map<string, number>() };
  }));
  const first = await initiations();
  const startedAt = performance.now();
  const elapsed = () => (performance.now() - startedAt) / 1000;
  while (elapsed() < SECONDS) {
    for (const { peer, handshakes } of runs) {
      const { LastHandshake } = await agent.peer(peer.ips[0]);
      if (!handshakes.has(LastHandshake)) handshakes.set(LastHandshake, elapsed());
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  const [asksToUs, usToAsks, answersToUs, usToAnswers] = (await initiations()).map((count, i) => count - first[i]);
  for (const { name, flow, handshakes } of runs) {
    const { longestStallMs } = await flow.state();
    const { sent, received, ms } = await flow.end();
    const times = [...handshakes.values()].map((at) => `${at.toFixed(0)} s`);
    console.log(
      `  ${name}: ${(received / 1e6).toFixed(0)} MB there and back in ${(ms / 1000).toFixed(0)} s` +
        `, longest silence ${longestStallMs} ms, handshakes seen at ${times.join(", ")}`,
    );
    assert.equal(received, sent);
    assert.ok(received > SECONDS * RATE * 0.5, `${name}: ${received} bytes`);
    assert.ok(longestStallMs < 3_000, `${name}: ${longestStallMs} ms of silence`);
    assert.ok(handshakes.size >= 2, `${name}: no rekey`);
  }
  console.log(
    `  rekeys asked for: by tsnet ${asksToUs}, by the agent ${usToAsks};` +
      ` where the agent began, by tsnet ${answersToUs}, by the agent ${usToAnswers}`,
  );
  assert.ok(asksToUs >= 1 && usToAsks === 0, "who asked for the first session asks for the next");
  assert.ok(usToAnswers >= 1 && answersToUs === 0, "who asked for the first session asks for the next");
});
