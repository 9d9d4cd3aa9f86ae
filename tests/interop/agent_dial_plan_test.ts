// Control names addresses of its own: the next connection goes there, and by the URL's host when none of them answers.

import assert from "node:assert/strict";
import { until } from "./support/agent.ts";
import { sceneTest } from "./support/scene.ts";

sceneTest("agent: control's dial plan is followed, and left when its addresses do not answer", async (scene) => {
  const { control } = scene;
  const agent = await scene.joinedAgent("left", "ours");
  /** Where the daemon's connections to port 8080 go. */
  const connections = async () => {
    const text = await agent.namespace.must(["ss", "-Htn", "state", "established", "dport", "=", ":8080"]);
    return text.trim().split("\n").map((line) => line.trim().split(/\s+/).at(-1));
  };
  assert.deepEqual(await connections(), ["10.90.0.1:8080"]);

  // 10.90.7.7 is nobody; fd90::1 is the same server, and begins later.
  const plan = (...ips: string[]) => ({
    ControlDialPlan: { Candidates: ips.map((IP, i) => ({ IP, DialStartDelaySec: i * 0.2, DialTimeoutSec: 2 })) },
  });
  await control.rawMapResponse("ours", plan("10.90.7.7", "fd90::1"));
  await new Promise((resolve) => setTimeout(resolve, 500));
  let startedAt = performance.now();
  await control.control("cut");
  await until("the agent is back", 20_000, async () => (await connections()).includes("[fd90::1]:8080"));
  console.log(`  back by the plan's address after ${Math.round(performance.now() - startedAt)} ms`);
  await control.awaitPolling("ours");

  await control.rawMapResponse("ours", plan("10.90.7.7", "10.90.7.8"));
  await new Promise((resolve) => setTimeout(resolve, 500));
  startedAt = performance.now();
  await control.control("cut");
  await until("the agent is back", 20_000, async () => (await connections()).includes("10.90.0.1:8080"));
  console.log(`  back by the URL's host after ${Math.round(performance.now() - startedAt)} ms`);
  assert.match(await agent.log(200), /no address of control's dial plan answers; dialling by DNS/);
});
