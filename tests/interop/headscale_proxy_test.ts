// headscale as most people run it: behind a reverse proxy with TLS, here with a private CA and on an odd port; behind one
// that passes WebSockets alone; nodes that reach it through their company's web proxy.

import assert from "node:assert/strict";
import type { AgentNode } from "./support/agent.ts";
import { headscaleTest, overTls, tsnetBeside } from "./support/headscale.ts";
import type { Scene } from "./support/scene.ts";
import type { TrafficEnd } from "./support/traffic.ts";
import { WebProxy } from "./support/web_proxy.ts";

/** Sends to an echo on port 7000 and compares. */
async function exchange(from: TrafficEnd, to: string, size: number): Promise<void> {
  const sent = await from.dial({ addr: `${to}:7000`, send: size, receive: -1, seed: 9, timeoutMs: 60_000 });
  assert.equal(sent.error, undefined);
  assert.equal(sent.receivedSha256, sent.sentSha256);
}

/** All but web proxies is out of reach. */
async function onlyByProxy(scene: Scene): Promise<void> {
  await scene.core.nft(
    'table inet company { chain in { type filter hook input priority 0; iifname "lo" accept; ' +
      "ct state established accept; tcp dport { 8444, 9080, 80 } reject; meta l4proto udp drop; }; " +
      "chain onward { type filter hook forward priority 0; meta l4proto udp drop; }; }",
  );
}

/** `deno run` asks for newer versions of itself, by the proxy too; a compiled agent does not. */
const BY_PROXY = { DENO_NO_UPDATE_CHECK: "1" };

headscaleTest(
  "headscale behind TLS: a private CA that is not trusted, then is by --ca-file",
  async (scene, program) => {
    const reach = await overTls(scene, program);
    await using headscale = reach.headscale;
    const { url } = headscale;
    const key = await headscale.createKey({ reusable: true });

    // Without the CA nothing is sent to the server, and the line says what to do.
    const stranger = await scene.agent("left", "stranger");
    const refused = await stranger.command("up", "--login-server", url, "--auth-key", key);
    console.log(`  ${refused.stderr.trim()}`);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /10\.90\.0\.1:8444: it shows a certificate for "hs\.example" issued by "Test Root"; .*--ca-file/,
    );
    await stranger.stop();

    const agent = await scene.agent("left", "ours", { args: ["--ca-file", reach.caFile!] });
    await agent.up(url, key);
    await using peer = await tsnetBeside(scene, reach, key);
    const [ours] = await agent.ips();
    await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ours)]);
    assert.equal((await peer.ping(ours)).Err, "");
    const kernel = await agent.traffic();
    await Promise.all([kernel, peer].map((end) => end.listen({ kind: "echo", port: 7000 })));
    await exchange(kernel, peer.ips[0], 2_000_000);
    assert.match((await agent.peer(peer.ips[0])).CurAddr, /^(10\.90\.2\.2|\[fd90:2::2\]):/);
    assert.ok(reach.proxy!.requests.some((request) => request.includes("GET /derp")));
  },
);

headscaleTest(
  "headscale behind a proxy that passes WebSockets alone: control and relay by WebSocket",
  async (scene, program) => {
    const { headscale: server, proxy, agent: options } = await overTls(scene, program, { mode: "websocket" });
    await using headscale = server;
    const key = await headscale.createKey({ reusable: true });
    await scene.dropUdp();
    const join = async (side: "left" | "right", name: string): Promise<AgentNode> => {
      const agent = await scene.agent(side, name, options);
      await agent.up(headscale.url, key);
      return agent;
    };
    const [left, right] = await Promise.all([join("left", "left"), join("right", "right")]);
    const [to] = await right.ips();
    await left.awaitPeer(to);
    await (await right.traffic()).listen({ kind: "echo", port: 7000 });
    await exchange(await left.traffic(), to, 1_000_000);
    assert.match(await left.log(1000), /10\.90\.0\.1:8444 passes no upgrade but WebSocket's, so that is used/);
    const requests = proxy!.requests.map((request) => request.replace(/\?.*/, ""));
    for (const wanted of ["- POST /ts2021 HTTP/1.1", "- GET /ts2021", "- GET /derp HTTP/1.1"]) {
      assert.ok(requests.includes(wanted), `${wanted} in ${requests}`);
    }
    console.log(`  ${requests.length} requests through the reverse proxy`);
  },
);

headscaleTest(
  "headscale through a company's web proxy: HTTPS_PROXY with a login, for control and relay",
  async (scene, program) => {
    const { headscale: server, agent: { env: trusting } } = await overTls(scene, program);
    await using headscale = server;
    const { url } = headscale;
    const key = await headscale.createKey({ reusable: true });
    const forward = await WebProxy.start(scene.core, "forward", "10.90.0.1:3128", "user:p@ss");
    await onlyByProxy(scene);
    const env = { ...BY_PROXY, ...trusting, HTTPS_PROXY: "http://user:p%40ss@10.90.0.1:3128" };
    const left = await scene.agent("left", "left", { env });
    const right = await scene.agent("right", "right", { env: { ...env, NO_PROXY: "example.com" } });
    await Promise.all([left.up(url, key), right.up(url, key)]);
    const [to] = await right.ips();
    await left.awaitPeer(to);
    await (await right.traffic()).listen({ kind: "echo", port: 7000 });
    await exchange(await left.traffic(), to, 1_000_000);
    const targets = new Set(forward.requests);
    assert.deepEqual(targets, new Set([`CONNECT ${new URL(url).host}`]));
    assert.equal((await left.log(1000)).includes("p@ss"), false);

    const locked = await scene.agent("left", "locked", {
      env: { ...env, HTTPS_PROXY: "http://10.90.0.1:3128" },
      args: ["--tun", "agent1"],
    });
    const up = locked.begin("up", "--login-server", url, "--auth-key", key);
    const [line] = await up.says(/.*wants a user and password.*/);
    console.log(`  ${line}`);
    up.kill("SIGKILL");
    await up.end();
  },
);

headscaleTest(
  "headscale by name through a web proxy that speaks TLS, and one of SOCKS5: only the proxies know the name",
  async (scene, program) => {
    const { headscale: server, agent: { env: trusting }, ca } = await overTls(scene, program, { host: "hs.example" });
    await using headscale = server;
    const { url } = headscale;
    const key = await headscale.createKey({ reusable: true });
    const secure = await WebProxy.start(scene.core, "forward", "10.90.0.1:3129", "user:p@ss", ca.certFile, ca.keyFile);
    const socks = await WebProxy.start(scene.core, "socks", "10.90.0.1:1080", "user:p@ss");
    await onlyByProxy(scene);
    const join = async (side: "left" | "right", HTTPS_PROXY: string): Promise<AgentNode> => {
      const agent = await scene.agent(side, side, { env: { ...BY_PROXY, ...trusting, HTTPS_PROXY } });
      await agent.up(url, key);
      return agent;
    };
    const [left, right] = await Promise.all([
      join("left", "https://user:p%40ss@10.90.0.1:3129"),
      join("right", "socks5h://user:p%40ss@10.90.0.1"),
    ]);
    const [to] = await right.ips();
    await left.awaitPeer(to);
    await (await right.traffic()).listen({ kind: "echo", port: 7000 });
    await exchange(await left.traffic(), to, 1_000_000);
    assert.deepEqual(new Set(secure.requests), new Set(["CONNECT hs.example:8444"]));
    assert.deepEqual(new Set(socks.requests), new Set(["SOCKS hs.example:8444"]));
    for (const agent of [left, right]) assert.equal((await agent.log(1000)).includes("p@ss"), false);

    const wrong = await scene.agent("right", "wrong", {
      env: { ...BY_PROXY, ...trusting, HTTPS_PROXY: "socks5://user:guess@10.90.0.1" },
      args: ["--tun", "agent1"],
    });
    const up = wrong.begin("up", "--login-server", url, "--auth-key", key);
    const [line] = await up.says(/.*the proxy 10\.90\.0\.1:1080 does not take the user and password of its URL.*/);
    console.log(`  ${line}`);
    up.kill("SIGKILL");
    await up.end();
  },
);
