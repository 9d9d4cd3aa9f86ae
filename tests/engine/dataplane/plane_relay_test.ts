/** Two data planes that no direct path joins, and a peer relay server between them, in one thread on a fake clock. */
import assert from "node:assert/strict";
import { equalBytes } from "../../../base/bytes.ts";
import { parseAddrPort, parseIp } from "../../../base/ip.ts";
import { DiscoPrivate } from "../../../base/keys.ts";
import { relaySessionConfig } from "../../../engine/dataplane/relay_records.ts";
import { GSO_TCPV4, NEEDS_CSUM, VIRTIO_LENGTH } from "../../../engine/dataplane/virtio.ts";
import { GENEVE_LENGTH, GENEVE_WIREGUARD, readGeneve, vniAt } from "../../../engine/geneve.ts";
import { RelaySessions } from "../../../engine/peer_relay/sessions.ts";
import { MemoryAddrs } from "../../support/memory_ports.ts";
import { tcpPacket } from "../../support/packets.ts";
import { PlaneNode, PlanePair } from "../../support/plane_pair.ts";
import { mutate, SeededRandom } from "../../support/random.ts";

const RELAY = "192.0.2.9:7777";

/** The pair, and the relay server of node a. */
class RelayedPair {
  readonly random: SeededRandom;
  readonly pair: PlanePair;
  readonly sessions: RelaySessions;
  readonly #addrs = new MemoryAddrs();
  /** Data that went through, header and all. */
  readonly forwarded: Uint8Array[] = [];
  alive = true;
  #now = 0;

  constructor(seed: number) {
    const random = this.random = new SeededRandom(seed);
    const pair = this.pair = new PlanePair(random);
    this.sessions = new RelaySessions({
      disco: DiscoPrivate.generate(random.bytes),
      random: random.bytes,
      addrs: this.#addrs,
    });
    pair.relay = true;
    pair.network.pass = ({ from, to }) => this.alive && (from === RELAY || to === RELAY);
    pair.network.attach(RELAY, { arrive: ({ from, payload }) => this.#arrive(from, payload) });
    const relay = { client: true, self: true };
    pair.a.configure([pair.b.asPeer({ derp: 1, cap: 121 })], { homeDerp: 1, relay });
    pair.b.configure([pair.a.asPeer({ derp: 1, cap: 121 })], { homeDerp: 1 });
    this.settle();
  }

  #arrive(from: string, payload: Uint8Array): void {
    const header = readGeneve(payload, 0, payload.length);
    if (header === undefined) return;
    const { ip, port } = parseAddrPort(from)!;
    const source = this.#addrs.intern(ip, port);
    if (header.control) {
      const reply = this.sessions.handleControl(header.vni, source, payload.subarray(GENEVE_LENGTH), this.#now);
      if (reply instanceof Uint8Array) this.pair.network.send({ from: RELAY, to: from, payload: reply });
      return;
    }
    const to = this.sessions.forward(header.vni, source, 1, payload.length, this.#now);
    if (to === 0) return;
    if (header.protocol === GENEVE_WIREGUARD) this.forwarded.push(payload);
    this.pair.network.send({ from: RELAY, to: this.#addrs.text(to), payload });
  }

  /** Runs turns, and answers node a's requests for sessions. */
  settle(): void {
    const { a } = this.pair;
    do {
      this.pair.settle();
      for (const event of a.events.splice(0)) {
        if (event.kind !== "relay-request") continue;
        const { request } = event;
        const [one, two] = request.clients.map((hex) => Uint8Array.fromHex(hex));
        const session = this.sessions.allocate(request.disco, one, two, this.#now)!;
        const addrs = [parseAddrPort(RELAY)!];
        a.command({ kind: "relay-session", request, session: relaySessionConfig({ ...session, addrs }) });
      }
    } while (a.busy || this.pair.b.busy);
  }

  /** Lets time pass while both send. */
  talk(ms: number): void {
    const { a, b } = this.pair;
    for (let left = ms; left > 0; left -= 100) {
      a.tun.toRead.push(superPacket(a, b, this.random.bytes(3 * 1000 + 200)));
      b.tun.toRead.push(superPacket(b, a, this.random.bytes(100)));
      this.#now += 100;
      this.settle();
      this.pair.advance(100);
      this.settle();
    }
  }
}

/** One TCP super-packet of segments of 1,000 bytes, as the kernel hands it over. */
function superPacket(from: PlaneNode, to: PlaneNode, payload: Uint8Array): Uint8Array {
  const packet = tcpPacket({
    source: parseIp(from.address)!,
    destination: parseIp(to.address)!,
    sourcePort: 1,
    destinationPort: 2,
    payload,
  });
  const whole = new Uint8Array(VIRTIO_LENGTH + packet.length);
  const view = new DataView(whole.buffer);
  if (payload.length > 1000) {
    whole[0] = NEEDS_CSUM;
    whole[1] = GSO_TCPV4;
    view.setUint16(2, 40, true);
    view.setUint16(4, 1000, true);
    view.setUint16(6, 20, true);
    view.setUint16(8, 16, true);
  }
  whole.set(packet, VIRTIO_LENGTH);
  return whole;
}

/** Payload bytes written to the TUN. */
function received(node: PlaneNode): number {
  return node.tun.written.reduce((sum, written) => sum + written.length - VIRTIO_LENGTH - 40, 0);
}

function status(node: PlaneNode) {
  node.events.splice(0);
  node.command({ kind: "status", id: 1 });
  node.turn();
  const peers = node.events.flatMap((event) => event.kind === "status-peers" ? event.peers : []);
  const totals = node.events.flatMap((event) => event.kind === "status" ? [event.totals] : []);
  return { peer: peers[0], paths: totals[0].paths, drops: totals[0].drops };
}

Deno.test("two planes go from DERP to a peer relay: every byte arrives, counted by its path", () => {
  const world = new RelayedPair(1);
  const { a, b } = world.pair;
  world.talk(5_000);
  assert.equal(received(b), 50 * 3200);
  assert.equal(received(a), 50 * 100);
  const [ofA, ofB] = [status(a), status(b)];
  assert.match(ofA.peer.peerRelay!, /^192\.0\.2\.9:7777:vni:\d+$/);
  assert.equal(ofB.peer.peerRelay, ofA.peer.peerRelay);
  assert.equal(ofA.peer.currentAddress, "");
  assert.ok(ofA.paths.peer_relay_ipv4.txPackets > 150, JSON.stringify(ofA.paths));
  assert.ok(ofB.paths.peer_relay_ipv4.rxPackets > 150);
  assert.equal(ofA.paths.peer_relay_ipv4.txBytes > ofB.paths.peer_relay_ipv4.txBytes, true);
  assert.equal(ofB.drops["decrypt"] ?? 0, 0);
});

Deno.test("each sealed packet has the session's header in front, also those of a super-packet, and one size", () => {
  const world = new RelayedPair(2);
  world.talk(3_000);
  world.forwarded.splice(0);
  world.pair.a.tun.toRead.push(superPacket(world.pair.a, world.pair.b, world.random.bytes(4_000)));
  world.settle();
  const data = world.forwarded.filter((packet) => packet.length > 1_000);
  assert.equal(data.length, 4);
  assert.equal(new Set(data.map(({ length }) => length)).size, 1);
  assert.deepEqual([...new Set(data.map((packet) => vniAt(packet, 0)))].length, 1);
});

Deno.test("while the relay is in doubt packets go by DERP too, without the header, and by DERP alone once it is dead", () => {
  const world = new RelayedPair(3);
  const { a, b } = world.pair;
  world.talk(3_000);
  world.alive = false;
  world.talk(7_000);
  const before = received(b);
  world.talk(5_000);
  assert.equal(received(b) - before, 50 * 3200, "all by DERP now");
  assert.equal(status(a).peer.peerRelay, undefined);
  assert.deepEqual([status(b).drops["decrypt"], status(b).drops["unknown-type"]], [undefined, undefined]);
  world.alive = true;
  world.talk(35_000);
  assert.notEqual(status(a).peer.peerRelay, undefined, "used again");
});

Deno.test("what comes through a relay is dropped by reason when it is damaged, and never throws", () => {
  const seed = 4;
  const world = new RelayedPair(seed);
  const { a, b } = world.pair;
  world.talk(3_000);
  const bases = world.forwarded.slice(-50);
  const address = [...new Set(world.pair.network.log.filter(({ from }) => from === RELAY).map(({ to }) => to))];
  const before = received(b) + received(a);
  for (let i = 0; i < 5_000; i++) {
    const payload = mutate(world.random, world.random.pick(bases));
    if (bases.some((base) => equalBytes(base, payload))) continue;
    world.pair.network.send({ from: RELAY, to: world.random.pick(address), payload });
    if (i % 100 === 0) world.settle();
  }
  world.settle();
  assert.equal(received(b) + received(a), before, `seed ${seed}`);
  const { drops } = status(b);
  for (const reason of ["decrypt", "unknown-type"]) assert.ok((drops[reason] ?? 0) > 0, JSON.stringify(drops));
});
