import assert from "node:assert/strict";
import { concat, utf8 } from "../../base/bytes.ts";
import { NodePrivate } from "../../base/keys.ts";
import { encodeFrame, FrameType } from "../../derp/frame.ts";
import { encodeServerInfo, encodeServerKey, parseClientInfo } from "../../derp/messages.ts";
import { BoxKey } from "../../base/box.ts";
import { ScriptedServer, SWITCHING } from "./scripted_server.ts";

const PEER = "ab".repeat(32);
const PEER_KEY = Uint8Array.fromHex(PEER);

Deno.test("DerpClient asks for the upgrade, proves its key and is ready with ServerInfo", async () => {
  const server = new ScriptedServer();
  await server.scheduler.settle();
  assert.equal(
    server.request,
    "GET /derp HTTP/1.1\r\nHost: derp.example\r\nConnection: Upgrade\r\nUpgrade: DERP\r\nUser-Agent: agent\r\n\r\n",
  );
  assert.equal(server.frames.length, 0);
  await server.write(SWITCHING.subarray(0, 20));
  await server.write(SWITCHING.subarray(20), encodeServerKey(server.key.public));
  const [type, body] = server.frames[0];
  assert.equal(
    parseClientInfo(server.key, { type, body: Uint8Array.fromHex(body) })!.key.hex,
    server.clientKey.public.hex,
  );
  assert.equal(server.events.length, 0);
  await server.write(encodeServerInfo(server.key, server.clientKey.public, server.random.bytes(24))!);
  assert.deepEqual(server.events, ["ready"]);
  await server.end();
});

Deno.test("DerpClient makes a fast start when TLS told the server's key", async () => {
  const random = new ScriptedServer().random;
  const key = NodePrivate.generate(random.bytes);
  const server = new ScriptedServer(key.public);
  await server.scheduler.settle();
  assert.match(server.request, /\r\nDerp-Fast-Start: 1\r\n/);
  const [type, body] = server.frames[0];
  assert.notEqual(parseClientInfo(key, { type, body: Uint8Array.fromHex(body) }), undefined);
  await server.write(encodeServerKey(key.public));
  await server.write(encodeServerInfo(key, server.clientKey.public, random.bytes(24))!);
  assert.deepEqual(server.events, ["ready"]);
  await server.end();
});

Deno.test("DerpClient passes on packets, gone peers, health and restarts, and answers pings", async () => {
  const server = new ScriptedServer();
  await server.login();
  await server.frame(FrameType.recvPacket, PEER_KEY, new Uint8Array(5));
  await server.frame(FrameType.peerGone, PEER_KEY, Uint8Array.of(1));
  await server.frame(FrameType.health, utf8("clone"));
  await server.frame(FrameType.restarting, Uint8Array.fromHex("000003e800001388"));
  await server.frame(FrameType.keepAlive);
  assert.deepEqual(server.events, ["ready", "packet abab 5", "gone abab 1", "health clone", "restarting 1000 5000"]);
  await server.frame(FrameType.ping, Uint8Array.fromHex("0102030405060708"));
  assert.deepEqual(server.frames.at(-1), [FrameType.pong, "0102030405060708"]);
  const ping = server.client.ping();
  await server.scheduler.settle();
  const [type, data] = server.frames.at(-1)!;
  assert.equal(type, FrameType.ping);
  await server.scheduler.advance(20);
  await server.frame(FrameType.pong, Uint8Array.fromHex(data));
  assert.equal(await ping, 20);
  const lost = server.client.ping();
  await server.scheduler.advance(5000);
  assert.equal(await lost, undefined);
  await server.end();
});

Deno.test("DerpClient sends packets in the frame of the peer's key, and NotePreferred", async () => {
  const server = new ScriptedServer();
  assert.equal(server.client.send(PEER, Uint8Array.of(1)), false, "before the server is known");
  await server.login();
  assert.equal(server.client.send(PEER, Uint8Array.of(1, 2)), true);
  server.client.notePreferred(true);
  await server.scheduler.settle();
  assert.deepEqual(server.frames.slice(1), [[FrameType.sendPacket, PEER + "0102"], [FrameType.notePreferred, "01"]]);
  assert.equal(server.client.send(PEER, new Uint8Array(65_537)), false);
  assert.equal(server.drops.get("derp-too-large"), 1);
  assert.throws(() => server.client.send("abcd", new Uint8Array(1)), TypeError);
  await server.end();
});

Deno.test("DerpClient closes on a refused or endless answer to the upgrade", async () => {
  for (
    const [answer, reason] of [
      ["HTTP/1.1 403 Forbidden\r\n\r\n", /answered the upgrade with 403 Forbidden/],
      ["HTTP/1.1 1010 X\r\n\r\n", /1010/],
      ["x".repeat(20), /something else: it begins "x+", want HTTP\/1.1/],
      [`HTTP/1.1 101 OK\r\nX: ${"x".repeat(16 << 10)}`, /its headers are longer than 16384 bytes/],
    ] as const
  ) {
    const server = new ScriptedServer();
    await server.write(utf8(answer));
    assert.match(server.last!, reason);
    await server.end();
  }
});

Deno.test("DerpClient gives a login ten seconds, a silent server 120, and keep-alives more", async () => {
  const stuck = new ScriptedServer();
  await stuck.write(SWITCHING);
  await stuck.scheduler.advance(9_000);
  assert.equal(stuck.events.length, 0);
  await stuck.scheduler.advance(2_000);
  assert.match(stuck.last!, /the login took over 10 s/);
  const server = new ScriptedServer();
  await server.login();
  for (let i = 0; i < 3; i++) {
    await server.scheduler.advance(110_000);
    await server.frame(FrameType.keepAlive);
  }
  assert.deepEqual(server.events, ["ready"]);
  await server.scheduler.advance(125_000);
  assert.match(server.last!, /nothing came from the server for 120 s/);
  assert.equal(server.scheduler.pending, 0);
});

Deno.test("DerpClient drops the newest when the stream takes nothing, lets disco through first, then gives up", async () => {
  const server = new ScriptedServer(undefined, false);
  await server.login();
  const packet = new Uint8Array(60_000);
  let sent = 0;
  while (server.client.send(PEER, packet)) sent++;
  assert.ok(sent >= 17 && sent <= 24, `${sent} packets of 60 kB were taken`);
  assert.ok(server.drops.get("derp-queue") >= 1);
  assert.equal(server.client.send(PEER, packet), false);
  const disco = concat(Uint8Array.fromHex("5453f09f92ac"), new Uint8Array(60));
  assert.equal(server.client.send(PEER, disco), true, "disco has room of its own");
  assert.ok(server.client.queuedBytes <= 1_200_000);
  for (let i = 0; i < 3; i++) {
    await server.scheduler.advance(6_000);
    if (server.last!.startsWith("closed")) break;
    await server.frame(FrameType.keepAlive);
  }
  assert.match(server.last!, /the server took nothing for 15 s/);
  assert.equal(server.client.send(PEER, packet), false);
  await server.end();
});

Deno.test("DerpClient keeps to the rate a server announces", async () => {
  const server = new ScriptedServer();
  await server.write(SWITCHING, encodeServerKey(server.key.public));
  const box = new BoxKey(server.key.sharedSecret(server.clientKey.public.bytes)!);
  const nonce = server.random.bytes(24);
  const json = utf8('{"version":2,"TokenBucketBytesPerSecond":100000,"TokenBucketBytesBurst":1}');
  await server.frame(FrameType.serverInfo, nonce, box.seal(nonce, json));
  assert.deepEqual(server.events, ["ready"]);
  let sent = 0;
  while (server.client.send(PEER, new Uint8Array(963))) sent++;
  assert.equal(sent, 65, "a burst of one largest packet at least");
  assert.equal(server.drops.get("rate-limited"), 1);
  await server.scheduler.advance(100);
  sent = 0;
  while (server.client.send(PEER, new Uint8Array(963))) sent++;
  assert.ok(sent === 10 || sent === 11, `${sent} packets in 100 ms at 100 kB/s`);
  await server.end();
});

Deno.test("W10: a frame over 64 KiB ends the connection", async () => {
  const server = new ScriptedServer();
  await server.login();
  await server.write(Uint8Array.fromHex("0500010041"));
  assert.match(server.last!, /closed: the server broke the protocol: a frame of type 0x5 claims 65601 bytes/);
  assert.equal(server.drops.get("derp-frame"), 1);
  await server.end();
});

Deno.test("W10: a length that lies leaves the client waiting, not reading past it", async () => {
  const server = new ScriptedServer();
  await server.login();
  await server.write(Uint8Array.fromHex("050000fff0"), PEER_KEY, new Uint8Array(10));
  await server.frame(FrameType.keepAlive);
  assert.deepEqual(server.events, ["ready"], "the keep-alive is part of the frame that was promised");
  await server.scheduler.advance(125_000);
  assert.match(server.last!, /nothing came/);
});

Deno.test("W10: unknown and malformed frames are skipped", async () => {
  const server = new ScriptedServer();
  await server.login();
  for (const type of [0x00, 0x09, 0x0a, 0x10, 0x11, 0x16, 0x7e, 0xff]) await server.frame(type, new Uint8Array(40));
  for (const type of [FrameType.recvPacket, FrameType.peerGone, FrameType.ping, FrameType.restarting]) {
    await server.frame(type, new Uint8Array(7));
  }
  await server.frame(FrameType.recvPacket, PEER_KEY);
  assert.deepEqual(server.events, ["ready", "packet abab 0"]);
  assert.equal(server.drops.get("derp-frame"), 4);
  await server.end();
});

Deno.test("W10: a server key that changes under us ends the connection", async () => {
  const other = NodePrivate.generate(new ScriptedServer().random.bytes);
  const during = new ScriptedServer();
  await during.login();
  await during.write(encodeServerKey(other.public));
  assert.match(during.last!, /a second login frame 0x1/);
  const unproven = new ScriptedServer();
  await unproven.write(SWITCHING, encodeServerKey(unproven.key.public));
  await unproven.write(encodeServerInfo(other, unproven.clientKey.public, unproven.random.bytes(24))!);
  assert.match(unproven.last!, /cannot prove the key it announced/);
  const otherThanCertificate = new ScriptedServer(other.public);
  await otherThanCertificate.write(encodeServerKey(otherThanCertificate.key.public));
  assert.match(otherThanCertificate.last!, /another key than its certificate/);
  const zero = new ScriptedServer();
  await zero.write(
    SWITCHING,
    encodeFrame(FrameType.serverKey, Uint8Array.fromHex("44455250f09f9491"), new Uint8Array(32)),
  );
  assert.match(zero.last!, /greeting is not DERP's/);
  for (const server of [during, unproven, otherThanCertificate, zero]) await server.end();
});

Deno.test("W10: a storm of PeerGone tells the owner once for each peer we talked to", async () => {
  const server = new ScriptedServer();
  await server.login();
  server.client.send(PEER, Uint8Array.of(1));
  const storm = concat(
    ...Array.from({ length: 1000 }, () => encodeFrame(FrameType.peerGone, PEER_KEY, Uint8Array.of(0))),
  );
  for (let i = 0; i < 20; i++) await server.write(storm);
  for (let i = 0; i < 1000; i++) {
    server.stream.write(encodeFrame(FrameType.peerGone, server.random.bytes(32), Uint8Array.of(0)));
  }
  await server.scheduler.settle();
  assert.deepEqual(server.events, ["ready", "gone abab 0"]);
  await server.end();
});

Deno.test("W10: a server that pings without reading the pongs is left", async () => {
  const server = new ScriptedServer(undefined, false);
  await server.login();
  for (let i = 0; i < 2; i++) server.client.send(PEER, new Uint8Array(60_000));
  for (let i = 0; i < 100; i++) await server.frame(FrameType.ping, server.random.bytes(8));
  assert.match(server.last!, /pings without end/);
  await server.end();
});
