// Control names addresses and ACEs of its own: the next connection goes there, and by the URL's host when none answers.

import assert from "node:assert/strict";
import { until } from "./support/agent.ts";
import { sceneTest } from "./support/scene.ts";
import { privateCa, WebProxy } from "./support/web_proxy.ts";

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

sceneTest("agent: control is reached through the ACE of its dial plan, whose certificate counts", async (scene) => {
  const { control } = scene;
  const ours = await privateCa(scene.dir, ["ace.example"], []);
  const others = await privateCa(scene.dir, ["ace.example"], []);
  const serve = (at: string, login: string, { certFile, keyFile } = ours) =>
    WebProxy.start(scene.core, "forward", at, login, certFile, keyFile);
  scene.core.configure("lo", ["10.90.0.2/32", "10.90.0.3/32"]);
  const [good, refusing, foreign] = await Promise.all([
    serve("10.90.0.1:443", ""),
    serve("10.90.0.2:443", "user:password"),
    serve("10.90.0.3:443", "", others),
  ]);
  const agent = await scene.joinedAgent("left", "ours", { env: { SSL_CERT_FILE: ours.caFile } });
  /** Waits until the agent is connected to that alone. */
  const follow = async (ips: readonly string[], to: string) => {
    const Candidates = ips.map((IP) => ({ IP, ACEHost: "ace.example", DialTimeoutSec: 5 }));
    await control.rawMapResponse("ours", { ControlDialPlan: { Candidates } });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await control.control("cut");
    await until(`the agent has connected to ${to}`, 20_000, async () => {
      const filter = "( dport = :8080 or dport = :443 )";
      const text = await agent.namespace.must(["ss", "-Htn", "state", "established", filter]);
      return text.trim().split(/\s+/).at(-1) === to && !text.trim().includes("\n");
    });
    await control.awaitPolling("ours");
  };
  await follow(["10.90.0.2", "10.90.0.1", "10.90.0.3"], "10.90.0.1:443");
  assert.deepEqual(good.requests, ["CONNECT 10.90.0.1:8080"]);
  await follow(["10.90.0.2", "10.90.0.3"], "10.90.0.1:8080");
  assert.deepEqual([...refusing.requests, ...foreign.requests], []);
  assert.match(await agent.log(200), /no address of control's dial plan answers; dialling by DNS/);
});
