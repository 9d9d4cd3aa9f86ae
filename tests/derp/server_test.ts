/** The server against clients played frame by frame, and against hostile ones. */
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { concat, utf8 } from "../../base/bytes.ts";
import { NodePrivate } from "../../base/keys.ts";
import { encodeFrame, FrameReader, FrameType } from "../../derp/frame.ts";
import { encodeClientInfo } from "../../derp/messages.ts";
import { DerpServer } from "../../derp/server.ts";
import { duplexPair } from "../support/duplex_pair.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";
import { SeededRandom } from "../support/random.ts";

const NOTHING = new Uint8Array(0);
const DISCO = concat(Uint8Array.fromHex("5453f09f92ac"), new Uint8Array(60));

class Bench {
  readonly scheduler = new FakeScheduler();
  readonly random = new SeededRandom(13);
  readonly logs: string[] = [];
  readonly server: DerpServer;

  constructor(verifyClient?: () => boolean | Promise<boolean>) {
    this.server = new DerpServer({
      privateKey: NodePrivate.generate(this.random.bytes),
      scheduler: this.scheduler,
      random: this.random.bytes,
      log: (line) => this.logs.push(line),
      verifyClient,
      maxConnections: 1000,
    });
  }

  connect(key = NodePrivate.generate(this.random.bytes), reads = true): TestClient {
    return new TestClient(this, key, reads);
  }

  async connected(key?: NodePrivate, reads = true): Promise<TestClient> {
    const client = this.connect(key, reads);
    await client.login();
    return client;
  }

  async end(): Promise<void> {
    const closing = this.server.close();
    await this.scheduler.advance(2000);
    await closing;
    assert.equal(this.scheduler.pending, 0, "no timer is left");
  }
}

class TestClient {
  readonly stream: Duplex;
  readonly key: NodePrivate;
  readonly frames: [number, string][] = [];
  closed = false;
  readonly #bench: Bench;
  readonly #reader = new FrameReader();

  constructor(bench: Bench, key: NodePrivate, reads: boolean) {
    this.#bench = bench;
    this.key = key;
    const [theirs, ours] = duplexPair();
    this.stream = ours;
    ours.on("error", () => {});
    ours.on("close", () => this.closed = true);
    if (reads) {
      ours.on("data", (chunk: Uint8Array) => {
        this.#reader.push(chunk);
        for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
          this.frames.push([frame.type, frame.body.toHex()]);
        }
      });
    }
    bench.server.accept(theirs, "192.0.2.1", NOTHING, NOTHING);
  }

  get hex(): string {
    return this.key.public.hex;
  }

  /** Frames since the login, without keep-alives. */
  get heard(): [number, string][] {
    return this.frames.filter(([type]) =>
      ![FrameType.serverKey, FrameType.serverInfo, FrameType.keepAlive].includes(type as 1)
    );
  }

  loginFrame(): Uint8Array {
    const info = { version: 2, canAckPings: true, isProber: false };
    return encodeClientInfo(this.key, this.#bench.server.publicKey, this.#bench.random.bytes(24), info)!;
  }

  login(): Promise<void> {
    return this.write(this.loginFrame());
  }

  write(...parts: Uint8Array[]): Promise<void> {
    for (const part of parts) this.stream.write(part);
    return this.#bench.scheduler.settle();
  }

  send(to: TestClient, payload: Uint8Array): Promise<void> {
    return this.write(encodeFrame(FrameType.sendPacket, to.key.public.bytes, payload));
  }
}

Deno.test("DerpServer greets, answers the login, relays, and pongs", async () => {
  const bench = new Bench();
  const alice = await bench.connected();
  const bob = await bench.connected();
  assert.deepEqual(alice.frames.map(([type]) => type), [FrameType.serverKey, FrameType.serverInfo]);
  await alice.send(bob, Uint8Array.of(1, 2));
  assert.deepEqual(bob.heard, [[FrameType.recvPacket, alice.hex + "0102"]]);
  await alice.write(encodeFrame(FrameType.ping, Uint8Array.fromHex("010203040506070899")));
  assert.deepEqual(alice.heard, [[FrameType.pong, "0102030405060708"]]);
  const { clients, connections, packetsIn, packetsOut, bytesIn, bytesOut, pings } = bench.server.counters();
  assert.deepEqual([clients, connections, packetsIn, packetsOut, bytesIn, bytesOut, pings], [2, 2, 1, 1, 2, 2, 1]);
  await bench.end();
});

Deno.test("DerpServer keeps packets that came with the login until the client is verified", async () => {
  let admit: (yes: boolean) => void = () => {};
  const bench = new Bench(() => new Promise((resolve) => admit = resolve));
  const bob = await bench.connected();
  admit(true);
  await bench.scheduler.settle();
  const alice = bench.connect();
  await alice.write(
    concat(alice.loginFrame(), encodeFrame(FrameType.sendPacket, bob.key.public.bytes, Uint8Array.of(7))),
  );
  assert.equal(bob.heard.length, 0);
  admit(true);
  await bench.scheduler.settle();
  assert.deepEqual(bob.heard, [[FrameType.recvPacket, alice.hex + "07"]]);
  const eve = await bench.connected();
  admit(false);
  await bench.scheduler.settle();
  assert.equal(eve.closed, true);
  assert.equal(bench.server.counters().refused, 1);
  await bench.end();
});

Deno.test("DerpServer says which peer left, to those who heard from it, also when it was cloned", async () => {
  const bench = new Bench();
  const [alice, bob, carol] = [await bench.connected(), await bench.connected(), await bench.connected()];
  const clone = await bench.connected(bob.key);
  await clone.send(alice, Uint8Array.of(1));
  clone.stream.destroy();
  await bench.scheduler.settle();
  assert.deepEqual(alice.heard, [[FrameType.recvPacket, bob.hex + "01"]], "bob is still here");
  bob.stream.destroy();
  await bench.scheduler.settle();
  assert.deepEqual(alice.heard.slice(1), [[FrameType.peerGone, bob.hex + "00"]]);
  assert.deepEqual(carol.heard, []);
  await bench.end();
});

Deno.test("DerpServer keeps connections alive every minute or a little more, and clients that say nothing", async () => {
  const bench = new Bench();
  const alice = await bench.connected();
  await bench.scheduler.advance(59_000);
  const before = alice.frames.length;
  await bench.scheduler.advance(7_000);
  assert.deepEqual(alice.frames.slice(before), [[FrameType.keepAlive, ""]]);
  await bench.scheduler.advance(600_000);
  assert.equal(alice.closed, false);
  await bench.end();
});

Deno.test("DerpServer that closes tells clients when to come back, spread over the time", async () => {
  const bench = new Bench();
  const clients = await Promise.all(Array.from({ length: 4 }, () => bench.connected()));
  const closing = bench.server.close(4000);
  await bench.scheduler.advance(2000);
  await closing;
  const waits = clients.map(({ heard }) =>
    parseInt(heard.find(([type]) => type === FrameType.restarting)![1].slice(0, 8), 16)
  );
  assert.deepEqual(waits.sort(), [1000, 2000, 3000, 4000]);
  assert.equal(clients.every(({ closed }) => closed), true);
});

Deno.test("DerpServer takes upgrades of /derp only, and refuses others politely", () => {
  const bench = new Bench();
  const ask = (url: string, upgrade: string): [boolean, string] => {
    const [theirs, ours] = duplexPair();
    const request = { url, headers: { upgrade }, socket: { remoteAddress: "192.0.2.1" } } as unknown as IncomingMessage;
    const taken = bench.server.handleUpgrade(request, theirs, NOTHING);
    const answer = String(ours.read() ?? "");
    theirs.destroy();
    return [taken, answer.split("\r\n")[0]];
  };
  assert.deepEqual(ask("/ts2021", "tailscale-control-protocol"), [false, ""]);
  assert.deepEqual(ask("/derp", "websocket"), [true, "HTTP/1.1 426 Upgrade Required"]);
  assert.deepEqual(ask("/derp?x=1", "DERP"), [true, "HTTP/1.1 101 Switching Protocols"]);
});

Deno.test("W10: the server refuses a first frame that is no login, and one that is too long", async () => {
  const bench = new Bench();
  const wrong = bench.connect();
  await wrong.write(encodeFrame(FrameType.sendPacket, new Uint8Array(60)));
  const long = bench.connect();
  await long.write(Uint8Array.fromHex("0200004001"));
  const unsealed = bench.connect();
  await unsealed.write(encodeFrame(FrameType.clientInfo, bench.random.bytes(120)));
  const other = bench.connect();
  const forged = other.loginFrame();
  forged[10] ^= 1;
  await other.write(forged);
  assert.deepEqual([wrong, long, unsealed, other].map(({ closed }) => closed), [true, true, true, true]);
  assert.equal(bench.server.counters().protocolErrors, 4);
  const silent = bench.connect();
  await bench.scheduler.advance(10_001);
  assert.equal(silent.closed, true);
  assert.equal(bench.server.counters().connections, 0);
  await bench.end();
});

Deno.test("W10: the server ends connections that send frames over the limit, mesh frames, or a second login", async () => {
  const bench = new Bench();
  const hostile: [string, Uint8Array][] = [
    ["a frame over the limit", Uint8Array.fromHex("0400010041")],
    ["a packet over 64 KiB", encodeFrame(FrameType.sendPacket, new Uint8Array(32 + 65_537))],
    ["a packet without a key", encodeFrame(FrameType.sendPacket, new Uint8Array(31))],
    ["WatchConns", encodeFrame(FrameType.watchConns)],
    ["ClosePeer", encodeFrame(FrameType.closePeer, new Uint8Array(32))],
    ["ForwardPacket", encodeFrame(FrameType.forwardPacket, new Uint8Array(80))],
    ["a short ping", encodeFrame(FrameType.ping, new Uint8Array(7))],
    ["a long ping", encodeFrame(FrameType.ping, new Uint8Array(1001))],
    ["a long NotePreferred", encodeFrame(FrameType.notePreferred, new Uint8Array(2))],
  ];
  for (const [what, bytes] of hostile) {
    const client = await bench.connected();
    await client.write(bytes);
    assert.equal(client.closed, true, what);
  }
  const twice = await bench.connected();
  await twice.login();
  assert.equal(twice.closed, true, "a second login");
  const fine = await bench.connected();
  await fine.write(
    encodeFrame(0x7e, new Uint8Array(10)),
    encodeFrame(FrameType.serverKey),
    encodeFrame(FrameType.pong),
  );
  assert.equal(fine.closed, false, "unknown types are for later versions");
  assert.equal(bench.server.counters().unknownFrames, 3);
  await bench.end();
});

Deno.test("W10: a client that sends without end before it is admitted is closed", async () => {
  const bench = new Bench(() => new Promise(() => {}));
  const flood = await bench.connected();
  for (let i = 0; i < 10; i++) await flood.write(encodeFrame(FrameType.sendPacket, new Uint8Array(60_000)));
  assert.equal(flood.closed, true);
  assert.match(bench.logs.join("\n"), /over 262144 bytes before it was admitted/);
  await bench.end();
});

Deno.test("W10: a client that does not read costs a bounded queue, drops the oldest, and is closed in time", async () => {
  const bench = new Bench();
  const alice = await bench.connected();
  const stuck = await bench.connected(undefined, false);
  const packet = new Uint8Array(60_000);
  for (let i = 0; i < 60; i++) {
    packet[0] = i;
    await alice.send(stuck, packet);
  }
  const { droppedQueue, packetsIn } = bench.server.counters();
  assert.equal(packetsIn, 60);
  assert.ok(droppedQueue >= 35 && droppedQueue <= 45, `${droppedQueue} of 60 packets of 60 kB were dropped`);
  for (let i = 0; i < 700; i++) await alice.write(encodeFrame(FrameType.sendPacket, stuck.key.public.bytes, DISCO));
  assert.equal(alice.closed, false, "the sender is not to blame");
  await bench.scheduler.advance(70_000);
  assert.equal(bench.server.counters().connections, 1, "only the sender is left");
  assert.match(bench.logs.join("\n"), /the client takes nothing/);
  stuck.stream.destroy();
  await bench.end();
});

Deno.test("W10: pings without end get few pongs and no queue", async () => {
  const bench = new Bench();
  const alice = await bench.connected(undefined, false);
  const pings = concat(...Array.from({ length: 5000 }, () => encodeFrame(FrameType.ping, bench.random.bytes(8))));
  for (let i = 0; i < 10; i++) await alice.write(pings);
  assert.equal(bench.server.counters().pings, 50_000);
  assert.ok(alice.stream.readableLength < 100_000, `${alice.stream.readableLength} bytes of pongs`);
  await bench.end();
});

Deno.test("W10: a peer that comes and goes tells each receiver once a visit, and only receivers", async () => {
  const bench = new Bench();
  const alice = await bench.connected();
  const carol = await bench.connected();
  const key = NodePrivate.generate(bench.random.bytes);
  for (let i = 0; i < 50; i++) {
    const flapping = await bench.connected(key);
    for (let n = 0; n < 10; n++) await flapping.send(alice, Uint8Array.of(n));
    flapping.stream.destroy();
    await bench.scheduler.settle();
  }
  assert.equal(alice.heard.filter(([type]) => type === FrameType.peerGone).length, 50);
  assert.equal(carol.heard.length, 0);
  await bench.end();
});

Deno.test("W10: keys cannot be listed by sending to them: data is never answered, disco once a second", async () => {
  const bench = new Bench();
  const alice = await bench.connected();
  for (let i = 0; i < 200; i++) {
    await alice.write(encodeFrame(FrameType.sendPacket, bench.random.bytes(32), utf8("hello")));
    await alice.write(encodeFrame(FrameType.sendPacket, bench.random.bytes(32), DISCO));
  }
  assert.equal(alice.heard.length, 3);
  assert.equal(bench.server.counters().droppedUnknownDestination, 400);
  await bench.scheduler.advance(1000);
  await alice.write(encodeFrame(FrameType.sendPacket, bench.random.bytes(32), DISCO));
  assert.equal(alice.heard.length, 4);
  await bench.end();
});

Deno.test("W10: connections beyond the limit are refused with 503", () => {
  const bench = new Bench();
  const request = { url: "/derp", headers: { upgrade: "DERP" }, socket: {} } as unknown as IncomingMessage;
  const streams: Duplex[] = [];
  for (let i = 0; i < 1000; i++) {
    const [theirs, ours] = duplexPair();
    streams.push(theirs, ours);
    bench.server.handleUpgrade(request, theirs, NOTHING);
  }
  const [theirs, ours] = duplexPair();
  bench.server.handleUpgrade(request, theirs, NOTHING);
  assert.match(String(ours.read()), /^HTTP\/1\.1 503 /);
  for (const stream of [...streams, theirs]) stream.destroy();
  assert.equal(bench.server.counters().refused, 1);
});
