import assert from "node:assert/strict";
import { type GoJson, LabControl } from "./support/control.ts";
import { runLab } from "./support/lab.ts";
import { labTest } from "./support/lab_test_case.ts";
import { LabPeer } from "./support/peer.ts";
import { SeededBytes, seededSha256 } from "./support/seeded_bytes.ts";

Deno.test("SeededBytes does not depend on how it is read", () => {
  const whole = new Uint8Array(1003);
  new SeededBytes(42).fill(whole);
  const pieces = new Uint8Array(1003);
  const stream = new SeededBytes(42);
  for (let at = 0, n = 1; at < pieces.length; at += n, n = (n * 5 + 1) % 17) {
    stream.fill(pieces.subarray(at, Math.min(at + n, pieces.length)));
  }
  assert.deepEqual(pieces, whole);
  const first = new Uint8Array(4);
  new SeededBytes(1).fill(first);
  assert.equal(new DataView(first.buffer).getUint32(0, true), 270369); // Marsaglia's
});

labTest("lab: two tsnet nodes under testcontrol ping and move 1 MB both ways with equal hashes", async (path) => {
  const size = 1 << 20;
  await using control = await LabControl.start({ path }, { authkey: "tskey-auth-lab", magicDnsDomain: "lab.ts.net" });
  const join = { control: control.url, authkey: "tskey-auth-lab" };
  const [one, two] = await Promise.all([
    LabPeer.start({ path }, { ...join, hostname: "one" }),
    LabPeer.start({ path }, { ...join, hostname: "two" }),
  ]);
  await using _one = one;
  await using _two = two;
  assert.equal((await control.nodes()).length, 2);
  await Promise.all([one.awaitPeer(two.ips[0]), two.awaitPeer(one.ips[0])]);

  for (const type of ["disco", "TSMP", "ICMP"] as const) {
    const pong = await one.ping(two.ips[0], type);
    assert.equal(pong.Err, "");
    assert.equal(pong.NodeIP || pong.IP, two.ips[0]);
  }

  await two.listen({ kind: "duplex", port: 7001, seed: 2, bytes: size });
  const dialed = await one.dial({ addr: `${two.ips[0]}:7001`, send: size, receive: size, seed: 1 });
  const [served] = await two.transfers("duplex", 1);
  assert.equal(dialed.error, undefined);
  assert.equal(served.error, undefined);
  assert.equal(served.received, size);
  assert.equal(served.receivedSha256, seededSha256(1, size));
  assert.equal(dialed.receivedSha256, seededSha256(2, size));

  await two.listen({ kind: "http", port: 80, body: "hello from two" });
  assert.deepEqual(await one.fetch(`http://${two.ips[0]}/`), { status: 200, body: "hello from two" });

  await two.listen({ kind: "udpecho", port: 7002 });
  const udp = await one.udp({ addr: `[${two.ips[1]}]:7002`, count: 50, size: 1000, intervalMs: 1 });
  assert.equal(udp.damaged, 0);
  assert.ok(udp.received >= 45, `${udp.received} of 50 datagrams came back`);

  const whois = await two.whois(`${one.ips[0]}:1`);
  assert.equal(whois.Node.Key, one.nodeKey);
});

labTest("lab: the relay carries what has no direct path, and can be cut, stopped and started", async (path) => {
  await using control = await LabControl.start({ path }, { derpPin: true });
  const flags = { control: control.url, derpOnly: true };
  const [one, two] = await Promise.all([
    LabPeer.start({ path }, { ...flags, hostname: "one" }),
    LabPeer.start({ path }, { ...flags, hostname: "two" }),
  ]);
  await using _one = one;
  await using _two = two;
  await one.awaitPeer(two.ips[0]);
  await two.listen({ kind: "sink", port: 7001 });
  const transfer = async () => {
    const done = await one.dial({ addr: `${two.ips[0]}:7001`, send: 200_000, receive: -1, seed: 9 });
    assert.equal(done.error, undefined);
  };
  await transfer();
  const before = await control.derpState();
  assert.ok(before.counters.bytes_received > 200_000, `the relay saw ${before.counters.bytes_received} bytes`);

  await control.derp("cut");
  await transfer();
  const stopped = await control.derp("stop");
  assert.deepEqual([stopped.open, stopped.conns], [false, 0]);
  await assert.rejects(one.ping(two.ips[0], "TSMP", 700));
  assert.equal((await control.derp("start")).open, true);
  await transfer();
});

labTest("lab: testcontrol's knobs act on real nodes", async (path) => {
  await using control = await LabControl.start({ path }, { requireAuth: true });
  await control.rateLimitRegister(1, "1", "too many");
  await using node = await LabPeer.start({ path }, { control: control.url, hostname: "node", wait: "0" });
  let url = "";
  for (let i = 0; url === "" && i < 100; i++) {
    url = (await node.status()).AuthURL;
    if (url === "") await new Promise((r) => setTimeout(r, 100));
  }
  assert.match(url, /\/auth\/[0-9a-f]+$/);
  await control.completeAuth(url);
  await node.await("Running");
  await assert.rejects(control.completeAuth(`${control.url}/auth/none`), /no login waits/);

  const { Key } = await control.awaitPolling("node");
  const followup = (await control.registerRequests()).at(-1)!.request;
  assert.deepEqual([followup.Followup, followup.NodeKey], [url, Key]);
  const echo = await control.c2n(Key, { method: "POST", path: "/echo", body: "there and back" });
  assert.deepEqual([echo.status, echo.body], [200, "there and back"]);

  await control.ping("node", { URL: control.pingUrl("a") });
  await control.addFakeNode({ Name: "fake.lab.", Addresses: ["100.64.9.9/32"], AllowedIPs: ["100.64.9.9/32"] });
  await node.awaitPeer("100.64.9.9");
  assert.deepEqual((await control.pings()).map((p) => [p.method, p.path]), [["HEAD", "/lab/ping/a"]]);

  const served = (await control.state()).control.addrs;
  assert.equal((await control.control("stop")).open, false);
  assert.deepEqual((await control.control("start")).addrs, served);
  await control.awaitPolling("node");
  assert.ok((await control.mapRequests()).some((r) => r.request.NodeKey === Key && r.request.Stream));

  await control.expire("node");
  await node.await("NeedsLogin");
});

labTest("lab: client/local walks through a tsnet node's own LocalAPI", async (path) => {
  await using control = await LabControl.start({ path }, { magicDnsDomain: "lab.ts.net" });
  const socket = `${control.process.dir}/local.sock`;
  await using node = await LabPeer.start({ path }, { control: control.url, hostname: "node", localSocket: socket });
  await using other = await LabPeer.start({ path }, { control: control.url, hostname: "other" });
  await node.awaitPeer(other.ips[0]);
  const steps = await runLab<{ step: string; ok: boolean; error?: string }>(
    { path },
    ["local", `--socket=${socket}`, "--logout", "all"],
  );
  assert.deepEqual(steps.filter((s) => !s.ok), []);
  assert.deepEqual(steps.at(-1)?.step, "Logout");
  await assert.rejects(runLab({ path }, ["local", `--socket=${socket}`, "whois", "100.127.0.1"]), /not found/);
});

labTest("lab: control/tsp registers and reads its map", async (path) => {
  await using control = await LabControl.start({ path }, { authkey: "k" });
  const lines = await runLab<GoJson>(
    { path },
    ["tsp", `--server=${control.url}`, "--authkey=k", "--update", "--hostname=one", "--count=1"],
  );
  assert.deepEqual(lines.map((l) => Object.keys(l)[0]), ["serverKey", "keys", "registered", "map", "end"]);
  assert.equal(lines[3].map.Node.Key, lines[1].keys.nodePublic);
  assert.equal((await control.node("one")).Key, lines[1].keys.nodePublic);
  await assert.rejects(runLab({ path }, ["tsp", `--server=${control.url}`, "--authkey=x"]), /invalid authkey/);
});

labTest("lab: DERP, STUN and netcheck probes against a relay on IPv4 and IPv6", async (path) => {
  await using control = await LabControl.start({ path }, { derp6: "[::1]:0", stun6: "[::1]:0" });
  const { derp, derpMap } = control.process.ready;
  for (const [i, pin] of [[0, ""], [1, derp.certSha256]] as const) {
    const [line] = await runLab<GoJson>({ path }, ["derp-client", `--url=https://${derp.addrs[i]}`, `--pin=${pin}`]);
    assert.deepEqual([line.there, line.back, line.peerGone], [100, 100, true]);
    assert.equal(line.serverKey, derp.publicKey);
    const [stun] = await runLab<GoJson>({ path }, ["stun", `--server=${derp.stun[i].addr}`]);
    assert.equal(stun.mapped, stun.local);
  }
  await assert.rejects(
    runLab({ path }, ["derp-client", `--url=https://${derp.addrs[0]}`, `--pin=${"0".repeat(64)}`]),
    /cert hash does not match/,
  );
  const file = `${control.process.dir}/derpmap.json`;
  await Deno.writeTextFile(file, JSON.stringify(derpMap));
  const [report] = await runLab<GoJson>({ path }, ["netcheck", `--derp-map=${file}`]);
  assert.deepEqual([report.UDP, report.IPv4, report.IPv6, report.PreferredDERP], [true, true, true, 1]);
  await control.setStun(false);
  await assert.rejects(runLab({ path }, ["stun", `--server=${derp.stun[0].addr}`, "--timeout=300ms"]), /timeout/);
});
