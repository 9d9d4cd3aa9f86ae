/** Pool and server against each other over real sockets and TLS on the loopback. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { DropCounters } from "../../base/drops.ts";
import { NodePrivate } from "../../base/keys.ts";
import { DerpClient } from "../../derp/client.ts";
import { createDerpDial } from "../../derp/dial.ts";
import { DerpPool } from "../../derp/pool.ts";
import { DerpServer } from "../../derp/server.ts";
import { Relay, trueRandom, until } from "../support/derp_relay.ts";
import { realScheduler } from "../support/real_scheduler.ts";

const REGION = 900;

/** A node as far as DERP sees it: a key, a pool, and what came in. */
class Peer {
  key = NodePrivate.generate(trueRandom);
  readonly received: { from: string; payload: Uint8Array }[] = [];
  readonly gone: string[] = [];
  readonly states: string[] = [];
  readonly healths: string[] = [];
  readonly logs: string[] = [];
  readonly drops = new DropCounters();
  readonly pool: DerpPool;
  onPacket: ((from: string, payload: Uint8Array) => void) | undefined;

  constructor(relay: Relay, key?: NodePrivate) {
    if (key !== undefined) this.key = key;
    this.pool = new DerpPool({
      privateKey: () => this.key,
      scheduler: realScheduler,
      random: trueRandom,
      dial: createDerpDial({ scheduler: realScheduler }),
      drops: this.drops,
      log: (line) => this.logs.push(line),
      events: {
        received: (_region, from, payload) => {
          if (this.onPacket) this.onPacket(from, payload);
          else this.received.push({ from, payload });
        },
        peerGone: (_region, peer) => this.gone.push(peer),
        stateChanged: (_region, state) => this.states.push(state.error ? `${state.kind}: ${state.error}` : state.kind),
        health: (_region, text) => this.healths.push(text),
      },
    });
    this.pool.setMap(relay.map);
  }

  get hex(): string {
    return this.key.public.hex;
  }

  home(): Promise<void> {
    this.pool.setHome(REGION);
    return until(() => this.states.at(-1) === "connected", `a connection; saw ${this.states}`);
  }
}

Deno.test("two pools talk through a relay with a pinned certificate", async () => {
  const relay = await Relay.start();
  const alice = new Peer(relay);
  const bob = new Peer(relay);
  await Promise.all([alice.home(), bob.home()]);
  assert.equal(alice.pool.send(REGION, bob.hex, Uint8Array.of(1, 2, 3)), true);
  await until(() => bob.received.length === 1, "the packet");
  assert.deepEqual(bob.received, [{ from: alice.hex, payload: Uint8Array.of(1, 2, 3) }]);
  await until(() => relay.server.counters().homeClients === 2, "NotePreferred");
  assert.ok((await alice.pool.ping(REGION))! < 1000);
  const [status] = alice.pool.status();
  assert.equal(status.kind, "connected");
  assert.equal(status.home, true);
  assert.equal(status.node, "900a");
  assert.deepEqual([status.txPackets, status.txBytes], [1, 3]);
  assert.ok(Math.abs(status.lastFrame - Date.now()) < 2000);
  bob.pool.close();
  await until(() => alice.gone.length === 0 && !relay.server.has(bob.key.public), "bob to leave");
  alice.pool.close();
  await relay.stop();
});

Deno.test("a region connects on demand and delivers what was sent meanwhile, in order", async () => {
  const relay = await Relay.start({ meta: true });
  const alice = new Peer(relay);
  const bob = new Peer(relay);
  await bob.home();
  for (let i = 0; i < 64; i++) assert.equal(alice.pool.send(REGION, bob.hex, Uint8Array.of(i)), true);
  assert.equal(alice.pool.send(REGION, bob.hex, Uint8Array.of(64)), false, "64 packets wait at most");
  assert.equal(alice.drops.get("derp-queue"), 1);
  await until(() => bob.received.length === 64, "64 packets");
  assert.deepEqual(bob.received.map(({ payload }) => payload[0]), Array.from({ length: 64 }, (_, i) => i));
  assert.equal(alice.pool.send(901, bob.hex, Uint8Array.of(1)), false, "no such region");
  assert.equal(alice.drops.get("no-path"), 1);
  alice.pool.close();
  bob.pool.close();
  await relay.stop();
});

Deno.test("20 MB each way at once arrive whole and in order", async () => {
  const relay = await Relay.start();
  const peers = [new Peer(relay), new Peer(relay)];
  await Promise.all(peers.map((peer) => peer.home()));
  const size = 1280;
  const count = Math.ceil(20e6 / size);
  const window = 256; // packets in flight, as a TCP inside WireGuard would have
  const transfers = peers.map((from, i) => {
    const to = peers[1 - i];
    const sent = createHash("sha256");
    const got = createHash("sha256");
    let sentCount = 0;
    let gotCount = 0;
    return new Promise<[string, string]>((resolve) => {
      const pump = () => {
        while (sentCount < count && sentCount - gotCount < window) {
          const packet = new Uint8Array(size).fill(sentCount & 0xff);
          new DataView(packet.buffer).setUint32(0, sentCount++);
          sent.update(packet);
          assert.equal(from.pool.send(REGION, to.hex, packet), true);
        }
      };
      to.onPacket = (source, payload) => {
        assert.equal(source, from.hex);
        assert.equal(new DataView(payload.buffer).getUint32(0), gotCount++, "order");
        got.update(payload);
        if (gotCount === count) resolve([sent.digest("hex"), got.digest("hex")]);
        else pump();
      };
      pump();
    });
  });
  const started = performance.now();
  for (const [sent, got] of await Promise.all(transfers)) assert.equal(got, sent);
  const megabits = (2 * count * size * 8) / 1e3 / (performance.now() - started);
  console.log(`relayed ${megabits.toFixed(0)} Mbit/s, client, server and client in one thread`);
  assert.equal(relay.server.counters().droppedQueue, 0);
  for (const peer of peers) peer.pool.close();
  await relay.stop();
});

Deno.test("W10: a client whose TCP takes nothing makes the relay drop, not buffer", async () => {
  // Plain HTTP, because Deno reads a paused TLS socket all the same and the client would not be stuck.
  const server = new DerpServer({
    privateKey: NodePrivate.generate(trueRandom),
    scheduler: realScheduler,
    random: trueRandom,
    log: () => {},
  });
  const http = createServer();
  http.on("upgrade", (request, socket, head) => server.handleUpgrade(request, socket, head));
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", () => resolve()));
  const node = { Name: "1a", RegionID: 1, HostName: "127.0.0.1", DERPPort: (http.address() as AddressInfo).port };
  const dial = createDerpDial({ scheduler: realScheduler, plainHttp: true });
  const connect = async (key: NodePrivate, stuck: boolean) => {
    const { duplex, host } = await dial(node, new AbortController().signal);
    const ignore = () => {};
    const client = new DerpClient({
      duplex,
      host,
      privateKey: key,
      scheduler: realScheduler,
      random: trueRandom,
      events: {
        ready: () => stuck && duplex.pause(),
        packet: ignore,
        peerGone: ignore,
        health: ignore,
        restarting: ignore,
        closed: ignore,
        dropped: ignore,
      },
    });
    client.start();
    await until(() => server.has(key.public), "the login");
    return client;
  };
  const stuckKey = NodePrivate.generate(trueRandom);
  const stuck = await connect(stuckKey, true);
  const sender = await connect(NodePrivate.generate(trueRandom), false);
  const total = 50_000;
  for (let sent = 0; sent < total;) {
    for (let i = 0; i < 500; i++, sent++) assert.equal(sender.send(stuckKey.public.hex, new Uint8Array(1280)), true);
    await until(() => server.counters().packetsIn === sent, "the packets at the relay");
  }
  const { droppedQueue } = server.counters();
  console.log(`the relay kept ${((total - droppedQueue) * 1280 / 1e6).toFixed(1)} of ${total * 1280 / 1e6} MB`);
  assert.ok((total - droppedQueue) * 1280 < 16e6, "its own queue and what the kernel takes");
  stuck.close("end");
  sender.close("end");
  const closed = new Promise<void>((resolve) => http.close(() => resolve()));
  await server.close();
  await closed;
});

Deno.test("clients come back after a relay restarts, and notice its new key (W10: server key changed under us)", async () => {
  const first = await Relay.start();
  const alice = new Peer(first);
  const bob = new Peer(first);
  await Promise.all([alice.home(), bob.home()]);
  await first.stop();
  await until(() => alice.states.at(-1)!.startsWith("failed"), "the loss");
  const second = await Relay.start({ port: first.port, certificate: first.certificate });
  await until(() => alice.states.at(-1) === "connected" && bob.states.at(-1) === "connected", "both back", 15_000);
  assert.equal(alice.logs.some((line) => line.includes("has a new key")), true, alice.logs.join("\n"));
  assert.equal(alice.pool.send(REGION, bob.hex, Uint8Array.of(9)), true);
  await until(() => bob.received.length === 1, "a packet by the new relay");
  alice.pool.close();
  bob.pool.close();
  await second.stop();
});

Deno.test("the relay tells who was heard when a peer leaves, once", async () => {
  const relay = await Relay.start();
  const alice = new Peer(relay);
  const bob = new Peer(relay);
  await Promise.all([alice.home(), bob.home()]);
  bob.pool.send(REGION, alice.hex, Uint8Array.of(1));
  await until(() => alice.received.length === 1, "a packet");
  bob.pool.close();
  await until(() => alice.gone.length === 1, "PeerGone");
  assert.deepEqual(alice.gone, [bob.hex]);
  assert.equal(relay.server.counters().peerGoneDisconnected, 1);
  alice.pool.close();
  await relay.stop();
});

Deno.test("a disco packet to a key that is not there is answered, data is not", async () => {
  const relay = await Relay.start();
  const alice = new Peer(relay);
  await alice.home();
  const absent = NodePrivate.generate(trueRandom).public.hex;
  const disco = new Uint8Array(100);
  disco.set(Uint8Array.fromHex("5453f09f92ac"));
  alice.pool.send(REGION, absent, Uint8Array.of(1, 2, 3));
  alice.pool.send(REGION, absent, disco);
  await until(() => alice.gone.length === 1, "PeerGone");
  for (let i = 0; i < 20; i++) alice.pool.send(REGION, absent, disco.slice());
  await until(() => relay.server.counters().packetsIn === 22, "the packets");
  const answers = relay.server.counters().peerGoneNotHere;
  assert.ok(answers >= 1 && answers <= 4, `${answers} answers to 21 packets`);
  alice.pool.close();
  await relay.stop();
});

Deno.test("a cloned key: the newest connection is served, and both are told when the older speaks", async () => {
  const relay = await Relay.start();
  const alice = new Peer(relay);
  const bob = new Peer(relay);
  await Promise.all([alice.home(), bob.home()]);
  const clone = new Peer(relay, bob.key);
  await clone.home();
  alice.pool.send(REGION, bob.hex, Uint8Array.of(1));
  await until(() => clone.received.length === 1, "the packet at the newest");
  assert.deepEqual(bob.healths, [], "a reconnecting client must not be warned");
  bob.pool.send(REGION, alice.hex, Uint8Array.of(2));
  await until(() => bob.healths.length === 1 && clone.healths.length === 1, "the warning");
  assert.match(bob.healths[0], /more than one place/);
  alice.pool.send(REGION, bob.hex, Uint8Array.of(3));
  await until(() => bob.received.length === 1, "the packet at who spoke last");
  clone.pool.close();
  await until(() => bob.healths.at(-1) === "", "the all-clear");
  assert.equal(alice.gone.length, 0, "the key is still there");
  alice.pool.close();
  bob.pool.close();
  await relay.stop();
});

Deno.test("a new node key reconnects under that key; verifyClient decides who may", async () => {
  const admitted = new Set<string>();
  const relay = await Relay.start({ verifyClient: (key) => Promise.resolve(admitted.has(key.hex)) });
  const alice = new Peer(relay);
  admitted.add(alice.hex);
  await alice.home();
  const old = alice.key.public;
  alice.key = NodePrivate.generate(trueRandom);
  alice.pool.privateKeyChanged();
  await until(() => alice.states.at(-1)!.startsWith("failed"), "the refusal");
  assert.equal(relay.server.has(old), false);
  admitted.add(alice.hex);
  await until(() => relay.server.has(alice.key.public), "the new key");
  assert.ok(relay.server.counters().refused >= 1);
  alice.pool.close();
  await relay.stop();
});

Deno.test("the relay's plain paths answer", async () => {
  const relay = await Relay.start();
  const client = Deno.createHttpClient({ caCerts: [relay.certificate.certPem] });
  const get = (path: string, init: RequestInit = {}) =>
    fetch(`https://127.0.0.1:${relay.port}${path}`, { ...init, client } as RequestInit);
  for (
    const [path, status] of [["/derp/probe", 200], ["/derp/latency-check", 200], ["/derp", 426], ["/x", 404]] as const
  ) {
    const response = await get(path);
    assert.equal(response.status, status, path);
    await response.body?.cancel();
  }
  const challenged = await get("/generate_204", { headers: { "X-Tailscale-Challenge": "ts_a.b:1" } });
  assert.equal(challenged.status, 204);
  assert.equal(challenged.headers.get("x-tailscale-response"), "response ts_a.b:1");
  const sly = await get("/generate_204", { headers: { "X-Tailscale-Challenge": "a b" } });
  assert.equal(sly.headers.get("x-tailscale-response"), null);
  client.close();
  await relay.stop();
});
