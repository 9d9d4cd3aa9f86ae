/**
 * A tailnet of our own in namespaces, whole: our coordinator and relay in `core`; agents of ours, Tailscale's tsnet and
 * control/tsp as nodes. What the operator does there, and a crash of the server, as the nodes feel it.
 */
import assert from "node:assert/strict";
import { type AgentNode, until } from "./support/agent.ts";
import type { GoJson } from "./support/control.ts";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { exchange, type Party } from "./support/exchange.ts";
import { runLab } from "./support/lab.ts";
import type { LabPeer } from "./support/peer.ts";
import { type Scene, sceneTest } from "./support/scene.ts";

const MEGABYTE = 1_000_000;

interface Tailnet extends AsyncDisposable {
  readonly coordinator: CoordinatorProcess;
  readonly key: string;
  readonly one: AgentNode;
  readonly two: AgentNode;
}

/** The coordinator and two agents, which know each other's home region. */
async function tailnet(scene: Scene): Promise<Tailnet> {
  const coordinator = await CoordinatorProcess.start({ namespace: scene.core, dir: scene.dir, host: "10.90.0.1" });
  const key = await coordinator.createKey("--reusable", "--user", "alice");
  const [one, two] = await Promise.all([scene.agent("left", "one"), scene.agent("right", "two")]);
  await Promise.all([one, two].map((agent) => agent.up(coordinator.url, key)));
  await acquainted(one, two);
  return { coordinator, key, one, two, [Symbol.asyncDispose]: () => coordinator[Symbol.asyncDispose]() };
}

/** Waits until each has the other's address and home region. */
async function acquainted(one: AgentNode, two: AgentNode): Promise<void> {
  for (const [here, there] of [[one, two], [two, one]]) {
    const [ip] = await there.ips();
    await until(
      `${here.name} knows the relay of ${there.name}`,
      20_000,
      async () => (await here.peer(ip).catch(() => undefined))?.Relay === "agent",
    );
  }
}

/** The only node `nodes list` has of a name. */
async function listed(coordinator: CoordinatorProcess, name: string) {
  return (await coordinator.nodes()).find((node) => node.name === name);
}

async function answers(agent: AgentNode, ip: string, type = "TSMP"): Promise<boolean> {
  return await agent.local(`ping?ip=${ip}&type=${type}`, "POST").then(({ Err }) => Err === "", () => false);
}

const party = async (agent: AgentNode): Promise<Party> => ({
  name: agent.name,
  end: await agent.traffic(),
  ip: (await agent.ips())[0],
});

sceneTest(
  "our coordinator: two agents, tsnet and tsp find each other; a crash of it stops no traffic",
  async (scene) => {
    await using net = await tailnet(scene);
    const { coordinator, key, one, two } = net;
    const third: LabPeer = await scene.peer("right", "three", { control: coordinator.url, authkey: key });
    await Promise.all([one.awaitPeer(third.ips[0]), two.awaitPeer(third.ips[0])]);
    const [parties, agents] = [[await party(one), await party(two)], [one, two]];
    const three: Party = { name: "three", end: third, ip: third.ips[0] };
    await until("tsnet knows both", 20_000, async () => Object.keys((await third.status()).Peer).length === 2);
    for (const agent of agents) {
      for (const { ip } of [...parties, three]) {
        if (!(await agent.ips()).includes(ip)) await until(`${ip} answers`, 10_000, () => answers(agent, ip));
      }
    }
    await exchange(parties[0], parties[1], { bytes: 10 * MEGABYTE, port: 7001 });
    await exchange(parties[0], three, { bytes: 5 * MEGABYTE, port: 7003, datagrams: 0.5 });
    assert.match((await one.peer(parties[1].ip)).CurAddr, /^(10\.90\.2\.2|\[fd90:2::2\]):/);

    // control/tsp registers as a fourth, reads the map, and is seen.
    const prefix = ["nsenter", `--net=/run/netns/${scene.core.name}`, "--"];
    const args = ["tsp", "-server", coordinator.url, "-authkey", key, "-hostname", "four", "-update", "-count", "1"];
    const lines = await runLab<GoJson>({ path: scene.program, prefix }, args);
    const names = lines.find(({ map }) => map).map.Peers.map(({ Name }: GoJson) => Name.split(".")[0]);
    assert.deepEqual(names.sort(), ["one", "three", "two"]);
    await until("the agents see it", 10_000, async () => {
      const { Peer } = await one.status();
      return Object.values<GoJson>(Peer).some(({ DNSName }) => DNSName === "four.tailnet.internal.");
    });

    const lasting = async () =>
      (await coordinator.nodes()).filter(({ name }) => name !== "four").map(({ lastSeen: _, ...node }) => node);
    const before = await lasting();
    await (await two.traffic()).listen({ kind: "echo", port: 7009 });
    const flow = await (await one.traffic()).flow({ addr: `${parties[1].ip}:7009`, seed: 5, rate: MEGABYTE });
    await coordinator.kill();
    await exchange(parties[1], three, { bytes: 2 * MEGABYTE, port: 7005, datagrams: 0.5 });
    await coordinator.run();
    await until("all are online again", 40_000, async () => {
      return (await lasting()).every(({ online }) => online);
    }, 300);
    assert.deepEqual(await lasting(), before, "nodes, addresses and keys outlive a crash");
    const { longestStallMs } = await flow.state();
    const { received, ms } = await flow.end();
    assert.ok(longestStallMs < 1_500, `a flow stood still for ${longestStallMs} ms`);
    console.log(
      `  ${(received / MEGABYTE).toFixed(1)} MB echoed in ${(ms / 1000).toFixed(1)} s around the crash, ` +
        `longest pause ${Math.round(longestStallMs)} ms`,
    );
  },
);

sceneTest("our coordinator: by its relay alone, killed with it: connections live through it", async (scene) => {
  await scene.dropUdp();
  await using net = await tailnet(scene);
  const { coordinator, one, two } = net;
  const [a, b] = [await party(one), await party(two)];
  await exchange(a, b, { bytes: 2 * MEGABYTE, port: 7001, datagrams: 0 });
  assert.deepEqual([(await one.peer(b.ip)).CurAddr, (await one.peer(b.ip)).Relay], ["", "agent"]);
  await (await two.traffic()).listen({ kind: "echo", port: 7009 });
  const flow = await (await one.traffic()).flow({ addr: `${b.ip}:7009`, seed: 5, rate: MEGABYTE / 4 });
  await coordinator.kill();
  const down = await flow.state();
  await coordinator.run();
  await until(
    "bytes come back again",
    40_000,
    async () => (await flow.state()).received > down.received + 100_000,
    200,
  );
  const { received, ms } = await flow.end();
  console.log(
    `  one TCP connection by the relay: ${received} bytes echoed in ${(ms / 1000).toFixed(1)} s, crash included`,
  );
});

sceneTest("our coordinator: nodes expired, deleted, approved and ephemeral, as agents feel it", async (scene) => {
  await using net = await tailnet(scene);
  const { coordinator, key, one, two } = net;
  const [ip] = await one.ips();
  const peerOf = async () => await two.peer(ip).catch(() => undefined);
  await until("they talk", 10_000, () => answers(two, ip));
  const state = async (agent: AgentNode) => (await agent.status()).BackendState;

  await coordinator.command("nodes", "expire", "one");
  await until("the agent needs a login", 10_000, async () => await state(one) === "NeedsLogin");
  await until("its peer sees it expired", 10_000, async () => (await peerOf())?.Expired === true);
  assert.match((await two.local(`ping?ip=${ip}&type=TSMP`, "POST")).Err, /expired/);
  await one.cli("up", "--auth-key", key);
  assert.deepEqual((await one.ips())[0], ip, "a login anew keeps the address");
  await until("its peer has the new key", 10_000, async () => (await peerOf())?.Expired === undefined);
  await until("they talk again", 10_000, () => answers(two, ip));

  await coordinator.command("nodes", "delete", "one");
  await until("it is gone for its peer", 10_000, async () => await peerOf() === undefined);
  assert.equal(await listed(coordinator, "one"), undefined);
  await until("a deleted node needs a login", 20_000, async () => await state(one) === "NeedsLogin");
  assert.equal(await answers(two, ip), false);

  // A person logs in: the operator approves.
  const up = one.begin("up", "--force-reauth");
  const [, id] = await up.says(/visit:\n\n\thttp:\/\/10\.90\.0\.1:9080\/register\/(\S+)\n/);
  assert.match(await coordinator.command("nodes", "approve", id, "--user", "bob"), /^one is in the tailnet with 100\./);
  const { code, stderr } = await up.end();
  assert.deepEqual([code, /Success\.\n/.test(stderr)], [0, true], stderr);
  assert.equal((await listed(coordinator, "one"))?.user, "bob");
  await acquainted(one, two);

  // Ephemeral by key, gone at logout; ephemeral by `--state mem:`, gone when it ends.
  const passing = await scene.agent("left", "passing", { args: ["--tun", "agent1"] });
  await passing.up(coordinator.url, await coordinator.createKey("--ephemeral"));
  assert.equal((await listed(coordinator, "passing"))?.ephemeral, true);
  await passing.cli("logout");
  assert.equal(await listed(coordinator, "passing"), undefined);
  await passing.stop();
  const memory = await scene.agent("left", "memory", { args: ["--tun", "agent1", "--state", "mem:"] });
  await memory.up(coordinator.url, key);
  assert.equal((await listed(coordinator, "memory"))?.ephemeral, true);
  await memory.stop();
  assert.equal(await listed(coordinator, "memory"), undefined);
  await one.cli("logout");
  assert.equal((await listed(coordinator, "one"))?.expired, true);
});
