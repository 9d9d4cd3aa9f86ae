// Tailscale's Go `client/local` drives our LocalAPI socket, as frontends and scripts of others do.

import assert from "node:assert/strict";
import { type AgentNode, until } from "./support/agent.ts";
import type { GoJson } from "./support/control.ts";
import { runLab } from "./support/lab.ts";
import { type Scene, sceneTest } from "./support/scene.ts";

/** Runs a verb of `lab local` on the agent's socket. @returns its lines of JSON. */
function local(scene: Scene, agent: AgentNode, ...args: string[]): Promise<GoJson[]> {
  return runLab<GoJson>({ path: scene.program }, ["local", "--socket", agent.socket, ...args]);
}

/** Of Go's ipn.NotifyWatchOpt, and of ipn.State. */
const INITIAL_STATE = 2;
const NEEDS_LOGIN = 2;

/** Of a user who is neither root nor operator. */
const NOBODY = 65534;

/** As `local`, by NOBODY, who may read all files so that it gets as far as the socket. */
function localByNobody(scene: Scene, agent: AgentNode, ...args: string[]): Promise<GoJson[]> {
  const reads = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"];
  const prefix = ["setpriv", "--reuid", String(NOBODY), "--clear-groups", ...reads];
  return runLab<GoJson>({ path: scene.program, prefix }, ["local", "--socket", agent.socket, ...args]);
}

sceneTest("agent: Go's client/local walks through a running node, and logs it out", async (scene) => {
  const [agent, peer] = await Promise.all([scene.joinedAgent("left", "ours"), scene.peer("right", "theirs")]);
  await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer((await agent.ips())[0])]);
  const { stdout } = await scene.left.run([scene.program, "local", "--socket", agent.socket, "--logout", "all"]);
  const steps: GoJson[] = stdout.trim().split("\n").map((line) => JSON.parse(line));
  for (const { step, ok, ms, error } of steps) {
    console.log(`  ${ok ? "ok" : "FAILED"} ${step} (${ms} ms) ${error ?? ""}`);
  }
  assert.deepEqual(steps.filter(({ ok }) => !ok), []);
  const walked = steps.map(({ step }) => step.split(" ")[0]);
  for (
    const verb of [
      ...["Status", "GetPrefs", "EditPrefs", "CheckPrefs", "WatchIPNBus", "CurrentDERPMap", "WhoIs", "Ping"],
      ...["down", "up", "Start", "Logout"],
    ]
  ) assert.ok(walked.includes(verb), `${verb} was not walked through`);
  assert.equal(walked.filter((verb) => verb === "Ping").length, 3);
  const derpMap = steps.find(({ step }) => step === "CurrentDERPMap").saw;
  assert.deepEqual(Object.keys(derpMap.Regions), ["1"]);
  assert.equal((await agent.status()).BackendState, "NeedsLogin");
}, { control: { authkey: "" } });

sceneTest("agent: Go's client/local starts a node and logs it in by a person", async (scene) => {
  const { control } = scene;
  const agent = await scene.agent("left", "ours");
  const [fresh] = await local(scene, agent, "status");
  assert.deepEqual([fresh.BackendState, fresh.AuthURL, fresh.Peer ?? null], ["NeedsLogin", "", null]);
  const [prefs] = await local(scene, agent, "get-prefs");
  assert.deepEqual([prefs.WantRunning, prefs.ControlURL], [false, ""]);
  await assert.rejects(local(scene, agent, "whois", "100.64.0.1"), /no match for IP:port|peer not found|404/);

  const UpdatePrefs = { ...prefs, ControlURL: control.url, WantRunning: true, Hostname: "ours", CorpDNS: false };
  await local(scene, agent, "check-prefs", JSON.stringify(UpdatePrefs));
  await local(scene, agent, "start", JSON.stringify({ UpdatePrefs }));
  await local(scene, agent, "login-interactive");
  const url = await until("a login URL", 10_000, async () => {
    const [{ AuthURL }] = await local(scene, agent, "status-without-peers");
    return AuthURL !== "" && AuthURL as string;
  });
  // A frontend that opens only now is told the state and where to log in by the first notification.
  const [[first]] = await local(scene, agent, "watch", "1", String(INITIAL_STATE));
  assert.deepEqual([first.State, first.BrowseToURL], [NEEDS_LOGIN, url]);
  await control.completeAuth(url);
  await until("Running", 10_000, async () => (await local(scene, agent, "status"))[0].BackendState === "Running");

  const edit = { Hostname: "other", HostnameSet: true, ShieldsUp: true, ShieldsUpSet: true };
  const [edited] = await local(scene, agent, "edit-prefs", JSON.stringify(edit));
  assert.deepEqual([edited.Hostname, edited.ShieldsUp, edited.ControlURL], ["other", true, control.url]);
  await until("control knows the new name", 10_000, async () => {
    const node = await control.node("other").catch(() => undefined);
    return node?.Hostinfo.ShieldsUp === true;
  });
  const [metrics] = await local(scene, agent, "metrics");
  assert.match(metrics, /^tailscaled_[a-z_]+(\{.*\})? \d/m);
  await local(scene, agent, "logout");
  const [out] = await local(scene, agent, "status");
  assert.deepEqual([out.BackendState, out.TailscaleIPs ?? null], ["NeedsLogin", null]);
}, { control: { authkey: "", requireAuth: true } });

sceneTest("agent: the LocalAPI refuses browsers, and writers that are not root or operator", async (scene) => {
  const agent = await scene.joinedAgent("left", "ours");
  const curl = async (method: string, path: string, ...headers: string[]) => {
    using connection = await Deno.connect({ transport: "unix", path: agent.socket });
    const lines = [
      `${method} /localapi/v0/${path} HTTP/1.1`,
      ...headers,
      "Content-Length: 0",
      "Connection: close",
      "",
      "",
    ];
    await connection.write(new TextEncoder().encode(lines.join("\r\n")));
    return Number(/^HTTP\/1\.1 (\d+)/.exec(await new Response(connection.readable).text())?.[1]);
  };
  const host = "Host: local-tailscaled.sock";
  assert.equal(await curl("GET", "status", host), 200);
  for (const header of ["Origin: http://evil.example", "Referer: http://evil.example/"]) {
    assert.equal(await curl("GET", "status", host, header), 403);
  }
  assert.equal(await curl("GET", "status", "Host: localhost"), 403);

  // Everybody may look; what changes the node is for root and the operator.
  const stop = ["edit-prefs", JSON.stringify({ WantRunning: false, WantRunningSet: true })];
  assert.equal((await localByNobody(scene, agent, "status"))[0].BackendState, "Running");
  await assert.rejects(localByNobody(scene, agent, ...stop), /Access denied: prefs write access denied/);
  await assert.rejects(localByNobody(scene, agent, "logout"), /Access denied: logout access denied/);
  assert.equal((await agent.status()).BackendState, "Running");
  const users = (await Deno.readTextFile("/etc/passwd")).split("\n").map((line) => line.split(":"));
  const [name] = users.find(([, , uid]) => uid === String(NOBODY)) ?? [];
  if (name === undefined) return;
  await agent.cli("set", "--operator", name);
  assert.equal((await localByNobody(scene, agent, ...stop))[0].WantRunning, false);
  assert.equal((await agent.status()).BackendState, "Stopped");
});
