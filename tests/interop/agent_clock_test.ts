// A machine whose clock is wrong: over http it joins all the same, by control's clock; over TLS the message names the
// clock. libfaketime sets the daemon's clock. testcontrol always says that it is August 2020, so the server is ours.

import assert from "node:assert/strict";
import { until } from "./support/agent.ts";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { AUTH_KEY, sceneTest } from "./support/scene.ts";
import { privateCa, WebProxy } from "./support/web_proxy.ts";

const LIBRARY = [
  "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
  "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
  "/usr/lib/faketime/libfaketime.so.1",
  "/usr/lib64/faketime/libfaketime.so.1",
].find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

const CLOCKS = { "two days behind": "-2d", "two days ahead": "+2d", "in 1970": "@1970-01-01 00:00:10" } as const;

function clockTest(name: string, body: Parameters<typeof sceneTest>[1]): void {
  if (LIBRARY !== undefined) return sceneTest(name, body);
  if (Deno.env.get("CI") === "true") throw new Error("Cannot skip under CI: libfaketime is not installed");
  Deno.test({ name: `${name} [skipped: libfaketime is not installed]`, ignore: true, fn: () => {} });
}

/** For `Scene.agent`: an agent that lives at another time. */
function clock(faketime: string): { env: Record<string, string>; denoArgs: string[] } {
  const env = {
    LD_PRELOAD: LIBRARY!,
    FAKETIME: faketime,
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    DENO_NO_UPDATE_CHECK: "1",
  };
  // In 1970 no dependency is published yet, and the registry is not to be trusted; a compiled agent asks for none.
  return { env, denoArgs: ["--cached-only", "--minimum-dependency-age=0"] };
}

for (const [name, faketime] of Object.entries(CLOCKS)) {
  clockTest(`agent: a clock ${name}: joins over http and reaches tsnet, direct and by relay`, async (scene) => {
    const server = { namespace: scene.core, dir: scene.dir, host: "10.90.0.1" };
    await using coordinator = await CoordinatorProcess.start(server);
    const key = await coordinator.createKey("--reusable", "--user", "alice");
    const [peer, agent] = await Promise.all([
      scene.peer("right", "theirs", { control: coordinator.url, authkey: key }),
      scene.agent("left", "ours", clock(faketime)),
    ]);
    const startedAt = performance.now();
    await agent.up(coordinator.url, key);
    console.log(`  connected after ${Math.round(performance.now() - startedAt)} ms`);
    const [ip] = await agent.ips();
    await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ip)]);
    assert.equal((await peer.ping(ip)).Err, "");
    const ping = () => agent.local(`ping?ip=${peer.ips[0]}&type=TSMP`, "POST");
    assert.equal((await ping()).Err, "");
    // A peer whose key has hours left has not expired, and the day the log has shows that the clock is wrong indeed.
    const { KeyExpiry, Expired } = await agent.peer(peer.ips[0]);
    assert.equal(Expired, undefined, KeyExpiry);
    const today = new Date().toISOString().slice(0, 10);
    assert.doesNotMatch(await agent.log(3), new RegExp(`^${today}`, "m"));

    const undo = await scene.dropUdp();
    await until("the relay carries it", 30_000, async () => (await agent.peer(peer.ips[0])).CurAddr === "", 250);
    assert.equal((await ping()).Err, "");
    await undo();
  });
}

clockTest(
  "agent: W5: killed, and started with a clock two days back, its handshakes are taken at once",
  async (scene) => {
    const server = { namespace: scene.core, dir: scene.dir, host: "10.90.0.1" };
    await using coordinator = await CoordinatorProcess.start(server);
    const key = await coordinator.createKey("--reusable", "--user", "alice");
    // A peer of ours keeps the last timestamp for as long as it runs; tsnet forgets it when a peer restarts.
    const [peer, ahead] = await Promise.all([
      scene.agent("right", "theirs"),
      scene.agent("left", "ours", clock("+1d")),
    ]);
    await Promise.all([peer.up(coordinator.url, key), ahead.up(coordinator.url, key)]);
    const [[ip], [theirs]] = [await ahead.ips(), await peer.ips()];
    await Promise.all([ahead.awaitPeer(theirs), peer.awaitPeer(ip)]);
    const ping = async (agent: typeof ahead) => (await agent.local(`ping?ip=${theirs}&type=TSMP`, "POST")).Err === "";
    await until("the first handshake", 20_000, () => ping(ahead));
    await ahead.kill();

    const behind = await scene.agent("left", "ours", clock("-1d"));
    await behind.awaitPeer(theirs);
    await until("it is connected", 20_000, async () => (await behind.status()).BackendState === "Running");
    const startedAt = performance.now();
    // Refused, it waits until the peer begins one itself, 15 s after something it sent was not answered.
    await until("a handshake of ours is taken", 8_000, () => ping(behind));
    console.log(`  answered after ${Math.round(performance.now() - startedAt)} ms`);
  },
);

clockTest("agent: over TLS a wrong clock is named, with host, subject, issuer and dates", async (scene) => {
  const day = 86_400_000;
  const now = Date.now();
  const { caFile, certFile, keyFile } = await privateCa(scene.dir, ["control.example"], ["10.90.0.1"], {
    from: now - day,
    to: now + day,
  });
  const at = "10.90.0.1:9444";
  await WebProxy.start(scene.core, "reverse", at, "10.90.0.1:8080", certFile, keyFile, "any");
  for (const [name, faketime] of Object.entries(CLOCKS)) {
    const agent = await scene.agent("left", name.replaceAll(" ", "-"), {
      ...clock(faketime),
      args: ["--ca-file", caFile],
    });
    const { code, stderr } = await agent.command("up", "--login-server", `https://${at}`, "--auth-key", AUTH_KEY);
    console.log(`  ${stderr.trim()}`);
    assert.equal(code, 1);
    assert.match(
      stderr,
      faketime === "+2d"
        ? /^backend error: Cannot trust control server 10\.90\.0\.1:9444: it shows a certificate for "control\.example" issued by "Test Root"; it expired .* UTC, and this machine's clock says .* UTC: check the clock; if that is right, /
        : /^backend error: Cannot trust control server 10\.90\.0\.1:9444: it shows a certificate for "control\.example" issued by "Test Root"; (it|its issuer "Test Root") is valid only from .* UTC, and this machine's clock says .* UTC: check the clock/,
    );
    await agent.stop();
  }
  const right = await scene.agent("left", "right-clock", { args: ["--ca-file", caFile] });
  await right.up(`https://${at}`, AUTH_KEY);
});
