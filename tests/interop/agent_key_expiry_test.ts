/** Keys that live for forty seconds: a node nobody looks after gets new ones by the program of its operator. */
import assert from "node:assert/strict";
import { type AgentNode, until } from "./support/agent.ts";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { sceneTest } from "./support/scene.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const WAIT_MS = 90_000;

const selfOf = async (agent: AgentNode) => {
  const { Self, TailscaleIPs, BackendState } = await agent.status();
  return { key: Self.PublicKey, id: Self.ID, ips: TailscaleIPs, state: BackendState };
};

sceneTest("key expiry: a headless node renews its key by the hook, before the end and after it", async (scene) => {
  await using coordinator = await CoordinatorProcess.start({
    namespace: scene.core,
    dir: scene.dir,
    host: "10.90.0.1",
    args: ["--key-expiry", "40s"],
  });
  const key = await coordinator.createKey("--reusable");
  const program = `${scene.dir}/renew-key`;
  const says = `${scene.dir}/said`;
  await Deno.writeTextFile(`${scene.dir}/key`, `${key}\n`, { mode: 0o600 });
  const renew = `exec "${Deno.execPath()}" run -A --no-lock "${MAIN}" --socket "$AGENT_SOCKET" renew`;
  await Deno.writeTextFile(
    program,
    `#!/bin/sh\necho "$AGENT_EVENT $AGENT_NODE_KEY" >> ${says}\n[ -e ${scene.dir}/key ] || exit 9\n` +
      `export HOME=${Deno.env.get("HOME") ?? "/root"}\n${renew} --auth-key file:${scene.dir}/key\n`,
    { mode: 0o755 },
  );
  const agent = await scene.agent("left", "ours", { args: [`--expiry-hook=${program}`, "--expiry-warning=30s"] });
  await agent.up(coordinator.url, key);
  const before = await selfOf(agent);
  const said = async () => (await Deno.readTextFile(says).catch(() => "")).trim().split("\n");
  const seconds = async () => Number(/^agent_key_expiry_seconds (\d+)$/m.exec(await agent.metrics())?.[1]);
  assert.ok(await seconds() <= 40);

  // Before its end: never out of the tailnet.
  const renewed = await until("the hook has renewed the key", WAIT_MS, async () => {
    const now = await selfOf(agent);
    assert.equal(now.state, "Running");
    return now.key !== before.key && now;
  });
  assert.deepEqual({ ...renewed, key: "" }, { ...before, key: "" });
  assert.deepEqual(await said(), [`expiring ${before.key}`]);

  // Without a key to renew by it warns, and the key expires; with one, the hook of that brings the node back.
  await Deno.rename(`${scene.dir}/key`, `${scene.dir}/key.away`);
  await until("status warns", WAIT_MS, async () => /The key of this node expires in /.test(await agent.cli("status")));
  await until("the hook has failed", WAIT_MS, async () => /expiry hook: \S+ ended with 9/.test(await agent.log(200)));
  assert.equal((await selfOf(agent)).key, renewed.key);
  await Deno.rename(`${scene.dir}/key.away`, `${scene.dir}/key`);
  const back = await until("the hook has brought it back", WAIT_MS, async () => {
    const now = await selfOf(agent);
    return now.key !== renewed.key && now.state === "Running" && now;
  });
  assert.deepEqual({ ...back, key: "" }, { ...before, key: "" });
  assert.deepEqual((await said()).slice(1, 3), [`expiring ${renewed.key}`, `expired ${renewed.key}`]);
});
