// Tailscale's own command line, unchanged, runs our daemon through a day: up, looking around, settings, down, logout.

import assert from "node:assert/strict";
import { type AgentNode, until } from "./support/agent.ts";
import { buildTailscaleCli } from "./support/build.ts";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { AUTH_KEY, DOMAIN, sceneTest } from "./support/scene.ts";

/** The one line a client of another version always prints. */
const VERSIONS = /^Warning: client version ".*" != tailscaled server version ".*"\n/m;

sceneTest("agent: Tailscale's own command line drives the daemon", async (scene) => {
  const built = await buildTailscaleCli();
  // Without Go there is no lab program either, and the test was ignored before.
  if (built.kind === "skip") throw new Error(built.reason);
  const [agent, peer] = await Promise.all([scene.agent("left", "ours"), scene.peer("right", "theirs")]);
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await agent.namespace.run([built.path, "--socket", agent.socket, ...args]);
    return { code, stdout, stderr: stderr.replace(VERSIONS, "") };
  };
  const ok = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stderr], [0, ""], `tailscale ${args.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  };
  const state = async (node: AgentNode) => (await node.status()).BackendState;

  assert.deepEqual(await run("status"), { code: 1, stdout: "Logged out.\n", stderr: "" });
  const login = ["--login-server", scene.control.url, "--auth-key", AUTH_KEY];
  await ok("up", ...login, "--hostname", "ours", "--accept-dns=false");
  assert.equal(await state(agent), "Running");
  await agent.awaitPeer(peer.ips[0]);
  const ips = await agent.ips();
  assert.equal(await ok("ip"), `${ips.join("\n")}\n`);
  assert.equal(await ok("ip", "-4", "theirs"), `${peer.ips[0]}\n`);
  const table = await ok("status");
  assert.match(table, new RegExp(`^${ips[0]} +ours .*\n${peer.ips[0]} +theirs .*\n$`));
  assert.equal(JSON.parse(await ok("status", "--json")).Self.DNSName, `ours.${DOMAIN}.`);
  // Both print the same table but for the traffic that has passed meanwhile.
  const columns = (text: string) => text.split("\n").map((line) => line.split(/ +/).slice(0, 4));
  assert.deepEqual(columns(await agent.cli("status")), columns(table));

  assert.match(await ok("ping", "theirs"), /^pong from theirs \(100\.\S+\) via \S+ in \d+m?s$/m);
  assert.match(await ok("ping", "--tsmp", "theirs"), /^pong from theirs \(100\.\S+\) via TSMP in /);
  assert.match(await ok("ping", "--icmp", "theirs"), /^pong from theirs \(100\.\S+\) via ICMP in /);
  assert.match(await ok("whois", peer.ips[0]), new RegExp(`Name: +theirs\\.${DOMAIN}`));
  assert.match(await ok("metrics"), /^tailscaled_home_derp_region_id 1$/m);
  assert.match(await ok("version", "--daemon"), /\nDaemon: \S+/);
  await ok("wait", "--timeout", "5s");
  const dns = await ok("dns", "status", "--all");
  assert.match(dns, new RegExp(`MagicDNS: enabled tailnet-wide \\(suffix = ${DOMAIN}\\)`));
  assert.match(await ok("dns", "query", `theirs.${DOMAIN}`), new RegExp(`RCodeSuccess[^]*TypeA +${peer.ips[0]}`));
  assert.match(await ok("dns", "query", `nobody.${DOMAIN}`), /Response code: RCodeNameError/);

  assert.match(await ok("whoami"), new RegExp(`Name: +ours\\.${DOMAIN}`));
  assert.equal(await ok("whoami"), await agent.cli("whoami"));
  assert.match(await ok("syspolicy", "list"), /No policy settings/);
  assert.equal(await ok("appc-routes"), "not a connector\n");
  assert.equal(await ok("exit-node", "suggest"), "No exit node suggestion is available.\n");
  // What is not there says so.
  for (
    const [verb, what] of [
      [["cert", "ours.example"], /Certificates are not implemented in this version/],
      [["file", "get", scene.dir], /Taildrop is not implemented/],
      [["drive", "list"], /Taildrive is not implemented/],
      [["serve", "3000"], /serving is not implemented/],
    ] as const
  ) {
    const { code, stderr } = await run(...verb);
    assert.match(stderr, what);
    assert.equal(code, 1);
  }

  await ok("set", "--hostname=renamed", "--shields-up");
  assert.match(await ok("get"), /^hostname +renamed$/m);
  assert.equal(JSON.parse(await ok("debug", "prefs")).ShieldsUp, true);
  assert.equal((await agent.local("prefs")).Hostname, "renamed");
  for (const verb of ["prefs", "netmap"]) {
    assert.equal(await agent.cli("debug", verb), await ok("debug", verb), `debug ${verb}, ours and Tailscale's`);
  }
  // Ours has the fields in control's order, theirs in Go's.
  assert.deepEqual(JSON.parse(await agent.cli("debug", "derp-map")), JSON.parse(await ok("debug", "derp-map")));
  assert.equal(JSON.parse(await ok("debug", "netmap")).Peers[0].Name, `theirs.${DOMAIN}.`);
  assert.equal(JSON.parse(await ok("debug", "derp-map")).Regions["1"].RegionID, 1);
  for (const verb of ["restun", "rebind", "break-derp-conns"]) assert.equal(await ok("debug", verb), "");
  const watched = await run("debug", "watch-ipn", "--initial", "--count=1");
  assert.deepEqual([watched.code, watched.stderr, JSON.parse(watched.stdout).State], [0, "Connected.\n", 6]);
  const unknown = await run("debug", "pick-new-derp");
  assert.match(unknown.stderr, /unknown action "pick-new-derp"/);
  assert.match(await ok("ping", "theirs"), /^pong from theirs /m);
  assert.match(await ok("debug", "peer-relay-sessions"), /^Server port: not configured/);
  await ok("set", "--relay-server-port=40001");
  assert.match(await ok("get", "relay-server-port"), /^40001$/m);
  await until("the relay server runs", 20_000, async () => {
    return /^Server port: 40001\nSessions count: 0$/m.test(await ok("debug", "peer-relay-sessions"));
  });
  await ok("set", "--relay-server-port=");
  await ok("down");
  assert.deepEqual(await run("status"), { code: 1, stdout: "Tailscale is stopped.\n", stderr: "" });
  // What was set has to be named again, or `up` refuses: it reads the daemon's preferences for that.
  const forgetful = await run("up", ...login);
  assert.equal(forgetful.code, 1);
  assert.match(forgetful.stderr, /requires mentioning all\nnon-default flags/);
  await ok("up", ...login, "--hostname=renamed", "--shields-up", "--accept-dns=false");
  assert.equal(await state(agent), "Running");
  assert.deepEqual(await agent.ips(), ips);
  await ok("logout");
  assert.equal(await state(agent), "NeedsLogin");
});

sceneTest(
  "agent: two logins on one machine, added and changed by Tailscale's command line and by ours",
  async (scene) => {
    const built = await buildTailscaleCli();
    if (built.kind === "skip") throw new Error(built.reason);
    await using one = await CoordinatorProcess.start({ namespace: scene.core, dir: scene.dir, host: "10.90.0.1" });
    const dir = `${scene.dir}/two`;
    await Deno.mkdir(dir);
    await using two = await CoordinatorProcess.start({ namespace: scene.core, dir, host: "10.90.1.1" });
    const agent = await scene.agent("left", "ours");
    const stock = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await agent.namespace.run([built.path, "--socket", agent.socket, ...args]);
      assert.deepEqual(
        [code, stderr.replace(VERSIONS, "")],
        [0, ""],
        `tailscale ${args.join(" ")}: ${stderr}${stdout}`,
      );
      return stdout;
    };
    const accounts = async () => {
      const rows = JSON.parse(await stock("switch", "--list", "--json")) as { id: string; selected: boolean }[];
      return { all: rows.map(({ id }) => id), selected: rows.find(({ selected }) => selected)?.id };
    };
    const login = async (coordinator: CoordinatorProcess, user: string) => {
      const key = await coordinator.createKey("--user", user);
      return ["--login-server", coordinator.url, "--auth-key", key, "--accept-dns=false"];
    };
    await stock("up", ...await login(one, "alice"));
    const [first] = (await accounts()).all;
    const node = async () => (await agent.status()).Self.ID;
    const alice = await node();
    await stock("login", ...await login(two, "bob"), "--nickname=second");
    const { all, selected } = await accounts();
    assert.deepEqual([all.length, all[0]], [2, first]);
    assert.notEqual(selected, first);
    assert.notEqual(await node(), alice);
    const table = await stock("switch", "--list");
    assert.match(table, new RegExp(`^ID +Tailnet +Account\n${first} .*alice\\S*\n${selected} .*second\\*\n$`));
    assert.equal(await agent.cli("switch", "--list"), table);
    assert.equal(await stock("switch", first), `Switching to account "${first}"\nSuccess.\n`);
    assert.equal(await node(), alice);
    assert.equal(await agent.cli("switch", "second"), 'Switching to account "second"\nSuccess.\n');
    assert.equal((await accounts()).selected, selected);
    // The same machine at the same server is the same node, and no third login.
    await agent.cli("login", ...await login(one, "carol"));
    assert.deepEqual((await accounts()).all, [first, selected]);
    await stock("switch", "remove", selected!);
    assert.deepEqual(await accounts(), { all: [first], selected: first });
    assert.equal((await agent.status()).BackendState, "Running");
  },
);
