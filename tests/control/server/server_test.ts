/** The whole coordinator over the loopback, with our own control client and relay client as its nodes. */
import assert from "node:assert/strict";
import { connect as connectTcp } from "node:net";
import http from "node:http";
import { join } from "node:path";
import { MachinePrivate, NodePrivate } from "../../../base/keys.ts";
import { startCoordinator } from "../../../control/server/server.ts";
import { ClientHandshake } from "../../../control/wire/handshake.ts";
import { DerpClient } from "../../../derp/client.ts";
import { createDerpDial } from "../../../derp/dial.ts";
import { makeSelfSigned } from "../../../derp/self_signed.ts";
import { ControlNode } from "../../support/control_node.ts";
import { realScheduler } from "../../support/real_scheduler.ts";
import { RunningCoordinator, until } from "../../support/running_coordinator.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

Deno.test("coordinator: two nodes join, see each other, and hear of each other's moves", async () => {
  await using running = await RunningCoordinator.start();
  const { url, coordinator } = running;
  const { key } = await coordinator.createKey({ reusable: true });
  await using one = new ControlNode({ url, hostname: "one" });
  await using two = new ControlNode({ url, hostname: "two" });
  for (const node of [one, two]) {
    const outcome = await node.register(key);
    assert.ok(outcome.kind === "registered" && outcome.machineAuthorized);
    node.poll();
  }
  await until(() => one.peer("two")?.Online === true && two.peer("one")?.Online === true, "both to be online");
  assert.equal(one.netmap!.self.Name, "one.tailnet.internal.");
  assert.equal(one.netmap!.domain, "tailnet.internal");
  assert.equal(one.netmap!.dns.Proxied, true);
  assert.equal(one.netmap!.packetFilter.length, 1);
  assert.deepEqual(one.netmap!.derpMap, coordinator.derpMap);

  two.move("192.0.2.1:41641", 900);
  await until(() => one.peer("two")?.HomeDERP === 900, "the home region");
  assert.deepEqual(one.peer("two")!.Endpoints, ["192.0.2.1:41641"]);
  assert.equal(one.peer("two")!.DiscoKey, two.discoKey.toString());
  assert.equal(one.fullMaps, 1, "everything after the first map came as deltas");

  await coordinator.admin.deleteNode("two");
  await until(() => one.peer("two") === undefined, "the removal");
  await until(() => two.netmap!.self.Expired === true, "the farewell");
  assert.equal((await two.ended!).kind, "node-unknown");
});

Deno.test("coordinator: a restart loses nothing, and nodes come back by themselves", async () => {
  await using running = await RunningCoordinator.start();
  const { url } = running;
  const { key, id } = await running.coordinator.createKey({ user: "alice" });
  await using node = new ControlNode({ url, hostname: "one" });
  await node.register(key);
  node.poll();
  await until(() => node.netmap !== undefined, "the first map");
  node.move("192.0.2.1:41641", 900);
  await until(() => running.coordinator.tailnet.nodes.get(1)!.record.homeDerp === 900, "the update");
  const before = running.coordinator.tailnet.nodes.get(1)!.record;
  const { publicKey, derpMap } = running.coordinator;

  await running.restart();
  assert.equal(running.coordinator.publicKey, publicKey);
  assert.deepEqual(running.coordinator.derpMap, derpMap);
  assert.deepEqual(running.coordinator.tailnet.nodes.get(1)!.record, before);
  assert.equal((await running.coordinator.admin.listKeys())[0].id, id);
  await until(() => running.coordinator.tailnet.nodes.get(1)!.online, "the node to be online again");
  assert.equal(node.serverKeys.size, 1);
});

Deno.test("coordinator: interactive login over the wire", async () => {
  await using running = await RunningCoordinator.start();
  const { url, coordinator } = running;
  await using node = new ControlNode({ url, hostname: "laptop" });
  const first = await node.register();
  assert.ok(first.kind === "auth-url" && first.url.startsWith(`${url}/register/`));
  const page = await fetch(first.url);
  assert.match(await page.text(), new RegExp(`agent coordinator nodes approve ${first.url.split("/").at(-1)}`));
  assert.match(page.headers.get("content-security-policy")!, /default-src 'none'/);
  const waiting = node.register(undefined, { followup: first.url });
  await coordinator.admin.approveLogin({ id: first.url });
  assert.equal((await waiting).kind, "registered");
});

Deno.test("coordinator: a login still waits after a restart", async () => {
  await using running = await RunningCoordinator.start();
  await using node = new ControlNode({ url: running.url, hostname: "laptop" });
  const first = await node.register();
  assert.ok(first.kind === "auth-url");
  await running.restart();
  const waiting = node.register(undefined, { followup: first.url });
  await running.coordinator.admin.approveLogin({ id: first.url });
  assert.equal((await waiting).kind, "registered");
});

Deno.test("coordinator: nodes refuse a coordinator whose Noise key was swapped (W12)", async () => {
  await using running = await RunningCoordinator.start();
  const { key } = await running.coordinator.createKey({ reusable: true });
  await using node = new ControlNode({ url: running.url, hostname: "one" });
  assert.equal((await node.register(key)).kind, "registered");
  await Deno.remove(join(running.stateDir, "noise.key"));
  await running.restart();
  await assert.rejects(node.register(key), /--accept-new-server-key/);
});

Deno.test("coordinator with TLS: control, relay and health on one listener", async () => {
  const pair = await makeSelfSigned(["127.0.0.1"], Date.now(), random);
  await using running = await RunningCoordinator.start({ tlsCert: pair.certPem, tlsKey: pair.keyPem });
  const { url, coordinator } = running;
  assert.match(url, /^https:/);
  const [relay] = coordinator.derpMap.Regions!["900"].Nodes!;
  assert.deepEqual([relay.DERPPort, relay.CertName], [Number(new URL(url).port), undefined]);
  await using node = new ControlNode({ url, hostname: "one", ca: [pair.certPem] });
  const outcome = await node.register((await coordinator.createKey()).key);
  assert.equal(outcome.kind, "registered");
  node.poll();
  await until(() => node.netmap !== undefined, "a map");
  assert.equal(await derpAnswers(coordinator.derpMap.Regions!["900"].Nodes![0], node.nodeKey, [pair.certPem]), "ready");
});

Deno.test("coordinator: the relay serves nodes of the tailnet over its pinned certificate, and no one else", async () => {
  await using running = await RunningCoordinator.start({ keyExpiryMs: 24 * 3600_000 });
  const { url, coordinator } = running;
  const [relay] = coordinator.derpMap.Regions!["900"].Nodes!;
  assert.match(relay.CertName!, /^sha256-raw:[0-9a-f]{64}$/);
  await using node = new ControlNode({ url, hostname: "one" });
  assert.notEqual(await derpAnswers(relay, node.nodeKey), "ready");
  await node.register((await coordinator.createKey()).key);
  assert.equal(await derpAnswers(relay, node.nodeKey), "ready");
  await coordinator.admin.expireNode("one");
  assert.notEqual(await derpAnswers(relay, node.nodeKey), "ready");
});

/** "ready", or why the relay closed the connection. */
async function derpAnswers(
  node: Parameters<ReturnType<typeof createDerpDial>>[0],
  privateKey: NodePrivate,
  ca?: readonly string[],
): Promise<string> {
  const dial = createDerpDial({ scheduler: realScheduler, ...(ca && { ca }) });
  const { duplex, host } = await dial(node, new AbortController().signal);
  const gone = new Promise((resolve) => duplex.once("close", resolve));
  const answer = await new Promise<string>((resolve) => {
    const client = new DerpClient({
      duplex,
      host,
      privateKey,
      scheduler: realScheduler,
      random,
      events: {
        ready: () => {
          resolve("ready");
          client.close("done");
        },
        packet: () => {},
        peerGone: () => {},
        health: () => {},
        restarting: () => {},
        closed: (reason) => resolve(reason),
        dropped: () => {},
      },
    });
    client.start();
  });
  await gone;
  return answer;
}

Deno.test("coordinator: what is outside Noise", async () => {
  await using running = await RunningCoordinator.start();
  const { url, coordinator } = running;
  const get = async (path: string, init?: RequestInit) => {
    const response = await fetch(url + path, init);
    return [response.status, (await response.text()).trim()] as const;
  };
  const [status, body] = await get("/key?v=145");
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(body), { legacyPublicKey: `mkey:${"0".repeat(64)}`, publicKey: coordinator.publicKey });
  assert.equal((await get("/key"))[0], 400);
  assert.deepEqual(await get("/health"), [200, "ok"]);
  assert.equal((await get("/register/<script>"))[0], 404);
  assert.equal((await get("/machine/map", { method: "POST", body: "{}" }))[0], 405);
  assert.equal((await get("/nothing"))[0], 404);
});

Deno.test("coordinator: a node finds out whether a captive portal answers in its place, and where it may ask", async () => {
  const asked = async (url: string, challenge: string, init?: RequestInit) => {
    const response = await fetch(`${url}/generate_204?t=1`, {
      headers: { "X-Tailscale-Challenge": challenge },
      ...init,
    });
    await response.body?.cancel();
    return [response.status, response.headers.get("x-tailscale-response"), response.headers.get("cache-control")];
  };
  const never = "no-cache, no-store, must-revalidate, no-transform, max-age=0";
  await using plain = await RunningCoordinator.start();
  assert.deepEqual(await asked(plain.url, "ts_192.0.2.1"), [204, "response ts_192.0.2.1", never]);
  assert.deepEqual(await asked(plain.url, "<script>"), [204, null, never]);
  assert.deepEqual(await asked(plain.url, "x".repeat(65)), [204, null, never]);
  const canPort80 = ({ coordinator }: RunningCoordinator) => coordinator.derpMap.Regions!["900"].Nodes![0].CanPort80;
  assert.equal(canPort80(plain), undefined, "it listens elsewhere");
  await using at80 = await RunningCoordinator.start({ serverUrl: "http://127.0.0.1" });
  assert.equal(canPort80(at80), true);
  await using secret = await RunningCoordinator.start({ serverUrl: "https://127.0.0.1:80" });
  assert.equal(canPort80(secret), undefined);
});

/** Sends bytes and gives what comes back until the server closes. */
function talk(url: string, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(Number(new URL(url).port), "127.0.0.1", () => socket.write(request));
    let got = "";
    socket.on("data", (chunk: Uint8Array) => got += new TextDecoder().decode(chunk));
    socket.once("close", () => resolve(got));
    socket.once("error", reject);
  });
}

Deno.test("coordinator: a bad upgrade is refused with a reason and the connection closed", async () => {
  await using running = await RunningCoordinator.start();
  const upgrade = (method: string, handshake: string, path = "/ts2021") =>
    talk(
      running.url,
      `${method} ${path} HTTP/1.1\r\nHost: x\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n` +
        `X-Tailscale-Handshake: ${handshake}\r\n\r\n`,
    );
  assert.match(await upgrade("GET", ""), /^HTTP\/1.1 400 [^]*want POST/);
  assert.match(await upgrade("POST", "!!"), /^HTTP\/1.1 400 [^]*invalid tailscale handshake header/);
  assert.match(await upgrade("POST", "AAAA"), /^HTTP\/1.1 101 [^]*wrong handshake initiation size/);
  const stranger = MachinePrivate.generate(random);
  const wrong = new ClientHandshake(
    MachinePrivate.generate(random),
    stranger.public,
    113,
    MachinePrivate.generate(random),
  );
  assert.match(
    await upgrade("POST", wrong.initiation.toBase64()),
    /^HTTP\/1.1 101 [^]*not sealed for this server's key/,
  );
  assert.equal(await upgrade("POST", "", "/elsewhere"), "");
});

Deno.test("coordinator: inside Noise the machine key is the only identity, and bad requests get a reason", async () => {
  await using running = await RunningCoordinator.start();
  const { url, coordinator } = running;
  const { key } = await coordinator.createKey({ reusable: true });
  await using one = new ControlNode({ url, hostname: "one" });
  await using two = new ControlNode({ url, hostname: "two" });
  await one.register(key);
  await two.register(key);
  const map = { Version: 113, NodeKey: one.nodeKey.public.toString(), DiscoKey: one.discoKey.toString() };
  const post = (node: ControlNode, path: string, body: unknown) => node.client.request({ method: "POST", path, body });
  await assert.rejects(post(two, "/machine/map", map), /404[^]*node not found/);
  await assert.rejects(post(one, "/machine/map", { ...map, Version: 60 }), /400[^]*capability version 68/);
  await assert.rejects(post(one, "/machine/map", { Version: 113 }), /400/);
  await assert.rejects(post(one, "/machine/map", { ...map, x: "x".repeat(1 << 20) }), /413/);
  await assert.rejects(post(one, "/machine/nothing", {}), /404/);
  await assert.rejects(one.client.request({ method: "GET", path: "/machine/map", body: map }), /404/);
  assert.equal(coordinator.tailnet.nodes.get(1)!.record.discoKey, "");
});

Deno.test("coordinator: the second on a state directory ends with one line and changes nothing", async () => {
  await using running = await RunningCoordinator.start();
  const { stateDir } = running;
  const before = await Deno.readTextFile(join(stateDir, "noise.key"));
  const second = startCoordinator({ stateDir, listen: "127.0.0.1:0", derpListen: "127.0.0.1:0", stunListen: "off" });
  await assert.rejects(second, /coordinator\.sqlite: database is locked; another process has it/);
  assert.equal(await Deno.readTextFile(join(stateDir, "noise.key")), before);
  assert.equal((await fetch(`${running.url}/health`)).status, 200);
});

Deno.test("coordinator: a busy port is named, and everything begun is undone", async () => {
  await using running = await RunningCoordinator.start();
  const stateDir = await Deno.makeTempDir();
  const busy = { stateDir, listen: "127.0.0.1:0", stunListen: "off", derpListen: new URL(running.url).host };
  await assert.rejects(startCoordinator(busy), /Cannot listen on --derp-listen 127\.0\.0\.1:\d+: the port is in use/);
  const again = await startCoordinator({ ...busy, derpListen: "127.0.0.1:0" });
  await again.close();
  await Deno.remove(stateDir, { recursive: true });
});

/** One request on the operator's socket. */
function ask(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const host = { host: "local-coordinator.sock" };
    const request = http.request({ socketPath, method, path, headers: { ...host, ...headers } }, (response) => {
      let text = "";
      response.on("data", (chunk: Uint8Array) => text += new TextDecoder().decode(chunk));
      response.once("end", () => resolve({ status: response.statusCode!, body: JSON.parse(text) }));
    });
    request.once("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

Deno.test("the operator's socket: mode 0600, JSON in and out, no browsers, no strangers (TS-2022-004)", async () => {
  let uid: number | undefined = 0;
  await using running = await RunningCoordinator.start({ peerUid: () => uid });
  const { socket } = running.coordinator;
  assert.equal((await Deno.lstat(socket)).mode! & 0o777, 0o600);
  const created = await ask(socket, "POST", "/keys", { user: "alice", tags: ["tag:web"], expiryMs: 60_000 });
  assert.equal(created.status, 200);
  assert.match((created.body as { key: string }).key, /^tskey-auth-/);
  const { id } = created.body as { id: string };
  const expired = await ask(socket, "POST", "/keys/expire", { id });
  assert.equal((expired.body as { state: string }).state, "expired");
  assert.deepEqual((await ask(socket, "GET", "/nodes")).body, []);
  assert.deepEqual((await ask(socket, "POST", "/nodes/delete", { node: "x" })).status, 400);
  assert.equal((await ask(socket, "POST", "/keys", { tags: ["web"] })).status, 400);
  assert.equal((await ask(socket, "POST", "/keys", [])).status, 400);
  assert.equal((await ask(socket, "GET", "/nothing")).status, 404);

  for (const [name, value] of [["origin", "http://x"], ["referer", "http://x"], ["host", "evil.example"]]) {
    assert.equal((await ask(socket, "GET", "/keys", undefined, { [name]: value })).status, 403);
  }
  for (uid of [1000, undefined]) assert.equal((await ask(socket, "GET", "/keys")).status, 403);
});

Deno.test("the operator's socket: what a crash left is replaced, anything else in the way is not", async () => {
  const dir = await Deno.makeTempDir();
  const path = join(dir, "sock");
  const script = `Deno.listen({ transport: "unix", path: ${JSON.stringify(path)} }); Deno.kill(Deno.pid, "SIGKILL");`;
  await new Deno.Command(Deno.execPath(), { args: ["eval", script] }).output();
  assert.ok((await Deno.lstat(path)).isSocket);
  await using running = await RunningCoordinator.start({ socket: path });
  assert.equal((await ask(path, "GET", "/nodes")).status, 200);
  await assert.rejects(RunningCoordinator.start({ socket: path }), /another coordinator answers there/);
  await Deno.writeTextFile(join(dir, "file"), "keep");
  await assert.rejects(RunningCoordinator.start({ socket: join(dir, "file") }), /something that is no socket is there/);
  assert.equal(await Deno.readTextFile(join(dir, "file")), "keep");
  await running.coordinator.close();
  await Deno.remove(dir, { recursive: true });
});

Deno.test("coordinator: no secret is ever logged (TS-2025-005, TS-2026-003)", async () => {
  await using running = await RunningCoordinator.start();
  const { key } = await running.coordinator.createKey();
  await using node = new ControlNode({ url: running.url, hostname: "one" });
  await node.register(key);
  await node.register(`${key}x`, { nodeKey: NodePrivate.generate(random).public });
  await running.restart();
  const said = [...running.log, ...node.log].join("\n");
  assert.ok(said.length > 0);
  assert.ok(!/tskey-auth-|privkey:/.test(said), said);
});
