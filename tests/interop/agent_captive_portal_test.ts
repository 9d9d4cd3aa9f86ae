// A network that lets nobody out before somebody has agreed to its terms: packets end, and port 80 is the portal's own.

import assert from "node:assert/strict";
import { until } from "./support/agent.ts";
import { RunningCommand } from "./support/running_command.ts";
import { sceneTest } from "./support/scene.ts";

const PROGRAM = new URL("./support/portal_program.ts", import.meta.url).pathname;
const WARNING = "This network requires you to log in using your web browser.";

sceneTest("agent: a captive portal is in netcheck and in health, until it lets packets through", async (scene) => {
  const { core, control } = scene;
  const argv = [Deno.execPath(), "run", "-A", "--no-lock", PROGRAM, "10.90.0.1:80", "10.90.0.1:8081"];
  const servers = new RunningCommand(
    core.spawn(argv, { stdin: "null", stdout: "piped", stderr: "piped" }),
    "relay's port 80 and portal",
  );
  await servers.says(/^serving$/m);
  const { derpMap } = control.process.ready;
  const [node] = derpMap.Regions[1].Nodes;
  const region = { ...derpMap.Regions[1], Nodes: [{ ...node, CanPort80: true }] };
  await control.knobs({ derpMap: { ...derpMap, Regions: { ...derpMap.Regions, 1: region } } });
  const agent = await scene.joinedAgent("left", "ours");
  const health = async (): Promise<string[]> => (await agent.status()).Health ?? [];
  const netcheck = async () => JSON.parse(await agent.cli("netcheck", "--format", "json")).CaptivePortal;
  assert.equal(await netcheck(), false);
  assert.ok(!(await health()).includes(WARNING));

  await core.nft(
    "table inet portal { " +
      "chain to { type nat hook prerouting priority dstnat; tcp dport 80 dnat ip to 10.90.0.1:8081; }; " +
      'chain in { type filter hook input priority 0; iifname "lo" accept; tcp dport 8081 accept; ' +
      "meta l4proto tcp reject with tcp reset; meta l4proto udp drop; }; " +
      "chain onward { type filter hook forward priority 0; drop; }; }",
  );
  // As a laptop that was carried into that network.
  Deno.kill(agent.pid, "SIGHUP");
  let startedAt = performance.now();
  await until("health tells of the portal", 60_000, async () => (await health()).includes(WARNING));
  console.log(`  in health ${Math.round((performance.now() - startedAt) / 1000)} s after the portal closed`);
  assert.equal(await netcheck(), true);
  assert.match(await agent.cli("netcheck"), /\* CaptivePortal: true\n/);

  await core.nft("delete table inet portal");
  startedAt = performance.now();
  await until("health is well again", 60_000, async () => !(await health()).includes(WARNING));
  console.log(`  gone ${Math.round((performance.now() - startedAt) / 1000)} s after it opened`);
  await control.awaitPolling("ours");
  assert.equal(await netcheck(), false);
  servers.kill("SIGKILL");
  await servers.end();
});
