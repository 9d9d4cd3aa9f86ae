// Two agents of ours under testcontrol: nothing but control, relay and STUN is foreign.

import assert from "node:assert/strict";
import { until } from "./support/agent.ts";
import { exchange } from "./support/exchange.ts";
import { sceneTest } from "./support/scene.ts";

sceneTest("agent: two agents under testcontrol ping and move 200 MB each way, then by DERP", async (scene) => {
  const [one, two] = await Promise.all([scene.joinedAgent("left", "one"), scene.joinedAgent("right", "two")]);
  const [ips, otherIps] = [await one.ips(), await two.ips()];
  await Promise.all([one.awaitPeer(otherIps[0]), two.awaitPeer(ips[0])]);
  console.log(`  ${(await one.cli("ping", "two")).trim()}`);
  console.log(`  ${(await two.cli("ping", "--tsmp", "--c", "1", "one")).trim()}`);
  await two.namespace.must(["ping", "-6", "-c", "2", "-W", "2", ips[1]]);
  const parties = async (family: number) =>
    [
      { name: "one", end: await one.traffic(), ip: ips[family] },
      { name: "two", end: await two.traffic(), ip: otherIps[family] },
    ] as const;
  await exchange(...await parties(0), { bytes: 200_000_000, datagrams: 0.5 });
  assert.match((await one.peer(otherIps[0])).CurAddr, /^(10\.90\.2\.2|\[fd90:2::2\]):/);
  assert.match((await two.peer(ips[0])).CurAddr, /^(10\.90\.1\.2|\[fd90:1::2\]):/);

  await scene.dropUdp({ stun: true });
  await until("the relay's path", 10_000, async () => {
    const [here, there] = await Promise.all([one.peer(otherIps[0]), two.peer(ips[0])]);
    return here.CurAddr === "" && there.CurAddr === "";
  });
  await exchange(...await parties(1), { bytes: 50_000_000, port: 7011, datagrams: 0.1 });
  assert.equal((await one.peer(otherIps[0])).CurAddr, "");
});
