/** Two and more magicsocks on a scripted network: which path carries their traffic, and how soon. */
import assert from "node:assert/strict";
import {
  DISCO_PING_INTERVAL_MS,
  HEARTBEAT_INTERVAL_MS,
  RESTUN_MAX_MS,
  SESSION_ACTIVE_TIMEOUT_MS,
  TRUST_UDP_ADDR_MS,
} from "../../../engine/magicsock/constants.ts";
import { parseAddrPort } from "../../../base/ip.ts";
import { introduce, type Nat, Network, type SimNode } from "./network.ts";

/** Traffic from one node to another, 100 packets a second, and what became of it. */
class Transfer {
  readonly #network: Network;
  readonly #from: SimNode;
  readonly #to: SimNode;
  #lastArrival: number;
  /** Longest time without a packet that arrived. */
  worstGap = 0;

  constructor(network: Network, from: SimNode, to: SimNode) {
    this.#network = network;
    this.#from = from;
    this.#to = to;
    this.#lastArrival = network.now;
  }

  tick(): void {
    const { now } = this.#network;
    const { addr, derp } = this.#from.peer(this.#to).pathForSend(now);
    const direct = addr !== 0 && this.#network.reaches(this.#from, this.#from.addrs.text(addr), this.#to);
    if (direct || (derp !== 0 && this.#network.derpAllowed)) this.#lastArrival = now;
    this.worstGap = Math.max(this.worstGap, now - this.#lastArrival);
  }

  /** Whether its node uses a direct path alone. */
  get direct(): boolean {
    return this.#from.peer(this.#to).path.address(this.#network.now) !== "";
  }
}

interface Pair {
  readonly network: Network;
  readonly a: SimNode;
  readonly b: SimNode;
  readonly both: readonly Transfer[];
  readonly tick: () => void;
}

function pair(seed: number, natA: Nat, natB: Nat): Pair {
  const network = new Network(seed);
  const a = network.add({ name: "a", local: "192.168.1.2:41641", nat: natA, publicIp: "192.0.2.1" });
  const b = network.add({ name: "b", local: "192.168.7.3:41641", nat: natB, publicIp: "203.0.113.9" });
  introduce(a, b, network.now);
  const both = [new Transfer(network, a, b), new Transfer(network, b, a)];
  return { network, a, b, both, tick: () => both.forEach((transfer) => transfer.tick()) };
}

/** The pair's traffic, whose packets arrive where they are addressed to. */
function withData(p: Pair): () => void {
  return () => {
    p.tick();
    for (const [node, other] of [[p.a, p.b], [p.b, p.a]] as const) {
      const endpoint = node.peer(other);
      const addr = endpoint.path.address(p.network.now);
      const { ip, port } = parseAddrPort(addr === "" ? "192.0.2.99:9" : addr)!;
      endpoint.noteReceived(node.addrs.intern(ip, port), 0, p.network.now);
    }
  };
}

/** Runs until the condition holds and returns how long that took; Infinity when not within `limit`. */
function until({ network, tick }: Pair, limit: number, condition: () => boolean): number {
  const start = network.now;
  while (!condition()) {
    if (network.now - start >= limit) return Infinity;
    network.run(10, tick);
  }
  return network.now - start;
}

Deno.test("Magicsock goes direct within half a second, without NAT and through easy ones", () => {
  for (const [natA, natB] of [["none", "none"], ["easy", "none"], ["none", "easy"], ["easy", "easy"]] as const) {
    const p = pair(11, natA, natB);
    const took = until(p, 5000, () => p.both.every((transfer) => transfer.direct));
    assert.ok(took <= 500, `${natA} to ${natB} took ${took} ms`);
    assert.ok(p.both.every((transfer) => transfer.worstGap === 0), "DERP carries until then");
  }
});

Deno.test("Magicsock goes direct within half a second although one side alone begins, and the other only answers", () => {
  for (const [natA, natB] of [["easy", "none"], ["none", "easy"], ["easy", "easy"]] as const) {
    const p = pair(21, natA, natB);
    const [there] = p.both;
    const took = until({ ...p, tick: () => there.tick() }, 5000, () => there.direct);
    assert.ok(took <= 500, `${natA} to ${natB} took ${took} ms`);
  }
});

Deno.test("Magicsock goes direct from a hard NAT to a node without one", () => {
  const p = pair(12, "hard", "none");
  const took = until(p, 10_000, () => p.both.every((transfer) => transfer.direct));
  assert.ok(took <= DISCO_PING_INTERVAL_MS + 500, `took ${took} ms`);
  assert.match(p.b.peer(p.a).path.address(p.network.now), /^192\.0\.2\.1:/, "learnt from a's ping");
});

Deno.test("Magicsock stays on DERP between two hard NATs and loses nothing", () => {
  const p = pair(13, "hard", "hard");
  p.network.run(60_000, p.tick);
  assert.ok(p.both.every((transfer) => !transfer.direct && transfer.worstGap === 0));
});

Deno.test("a path goes from direct to DERP and back within 10 s of UDP being dropped and allowed, under load", () => {
  const worst = { toDerp: 0, toDirect: 0, gap: 0 };
  const seed = 0x9a7b5;
  for (const [n, [natA, natB]] of ([["none", "none"], ["easy", "easy"], ["hard", "none"]] as const).entries()) {
    const p = pair(seed + n, natA, natB);
    p.network.run(3000, p.tick);
    for (let round = 0; round < 20; round++) {
      const where = `seed ${seed + n}, ${natA} to ${natB}, round ${round}`;
      // Any phase of heartbeats, pings and STUN, and blocks of up to a minute.
      p.network.run(10 * p.network.random.int(1200), p.tick);
      p.network.udpAllowed = false;
      for (const transfer of p.both) transfer.worstGap = 0;
      const toDerp = until(p, 10_000, () => p.both.every((transfer) => !transfer.direct));
      p.network.run(10 * p.network.random.int(6000), p.tick);
      assert.ok(p.both.every((transfer) => !transfer.direct), where);
      p.network.udpAllowed = true;
      const toDirect = until(p, 10_000, () => p.both.every((transfer) => transfer.direct));
      const gap = Math.max(...p.both.map((transfer) => transfer.worstGap));
      assert.ok(toDerp <= TRUST_UDP_ADDR_MS + 10, `${where}: to DERP in ${toDerp} ms`);
      assert.ok(toDirect < 10_000, `${where}: to direct in ${toDirect} ms`);
      assert.ok(gap <= TRUST_UDP_ADDR_MS + 10, `${where}: nothing arrived for ${gap} ms`);
      worst.toDerp = Math.max(worst.toDerp, toDerp);
      worst.toDirect = Math.max(worst.toDirect, toDirect);
      worst.gap = Math.max(worst.gap, gap);
    }
  }
  console.log(`seed ${seed}: worst of 60 drops, in ms:`, worst);
});

Deno.test("where two NATs forgot their mappings meanwhile, the path comes back with the next STUN round", () => {
  const p = pair(29, "easy", "easy");
  p.network.blockedBehindNat = true;
  p.network.run(3000, p.tick);
  p.network.udpAllowed = false;
  p.network.run(90_000, p.tick);
  p.network.udpAllowed = true;
  const took = until(p, 60_000, () => p.both.every((transfer) => transfer.direct));
  console.log(`direct after ${took} ms`);
  assert.ok(took <= RESTUN_MAX_MS + 2 * DISCO_PING_INTERVAL_MS);
});

Deno.test("a path blocked in one direction only is left too", () => {
  const p = pair(14, "none", "none");
  p.network.run(2000, p.tick);
  p.network.gate = (from) => from === p.a;
  assert.ok(until(p, 10_000, () => p.both.every((transfer) => !transfer.direct)) <= TRUST_UDP_ADDR_MS + 10);
  p.network.run(30_000, p.tick);
  assert.ok(p.both.every((transfer) => !transfer.direct));
  p.network.gate = () => true;
  assert.ok(until(p, 10_000, () => p.both.every((transfer) => transfer.direct)) < 10_000);
});

Deno.test("one lost heartbeat does not move the path, and a lost one more mirrors to DERP", () => {
  const p = pair(15, "none", "none");
  p.network.run(2000, p.tick);
  const changes = p.a.paths.length;
  p.network.gate = () => false;
  p.network.run(HEARTBEAT_INTERVAL_MS - 100, p.tick);
  p.network.gate = () => true;
  p.network.run(20_000, p.tick);
  assert.equal(p.a.paths.length, changes);
  p.network.gate = () => false;
  until(p, 10_000, () => !p.both[0].direct);
  const path = { ...p.a.peer(p.b).pathForSend(p.network.now) };
  assert.ok(path.addr !== 0 && path.derp === 1, "both, while the pings may yet be answered");
  p.network.run(6000, p.tick);
  assert.deepEqual({ ...p.a.peer(p.b).pathForSend(p.network.now) }, { addr: 0, vni: 0, derp: 1 });
});

Deno.test("an idle peer costs nothing: heartbeats end 45 s after the last packet, and begin again with the next", () => {
  const p = pair(16, "easy", "easy");
  p.network.run(2000, p.tick);
  p.network.run(SESSION_ACTIVE_TIMEOUT_MS + 2 * HEARTBEAT_INTERVAL_MS + 26_000);
  assert.equal(p.a.magicsock.nextDeadline(), Infinity);
  const { udpSent, derpSent } = p.a;
  const asked = p.a.wanted.length;
  p.network.run(600_000);
  assert.deepEqual([p.a.udpSent, p.a.derpSent, p.a.wanted.length], [udpSent, derpSent, asked]);
  assert.ok(!p.a.peer(p.b).active(p.network.now));
  const took = until(p, 10_000, () => p.both.every((transfer) => transfer.direct));
  assert.ok(took <= 500, `its NAT had forgotten: ${took} ms`);
});

Deno.test("a peer that was never spoken to has no timers and sends nothing", () => {
  const network = new Network(17);
  const a = network.add({ name: "a", local: "10.0.0.1:1" });
  for (let i = 0; i < 50; i++) introduce(a, network.add({ name: `${i}`, local: `10.0.1.${i}:1` }), network.now);
  network.run(60_000);
  assert.equal(a.magicsock.nextDeadline(), Infinity);
  assert.ok(network.nodes.every((node) => node.udpSent + node.derpSent + node.wanted.length === 0));
});

Deno.test("STUN is repeated every 20 to 26 s while a session is active, and asked for before a stale CallMeMaybe", () => {
  const p = pair(18, "easy", "easy");
  p.network.run(200_000, p.tick);
  assert.ok(p.a.wanted.every((reason) => reason === "periodic" || reason === "refresh-for-peering"));
  assert.ok(p.a.wanted.length >= 8 && p.a.wanted.length <= 12, `${p.a.wanted.length} in 200 s`);
  const quiet = pair(19, "easy", "easy");
  quiet.a.peer(quiet.b).pathForSend(quiet.network.now);
  assert.equal(quiet.a.wanted[0], "refresh-for-peering");
  assert.equal(quiet.a.derpSent, 0, "nothing to tell yet");
  quiet.network.run(300);
  assert.equal(quiet.a.derpSent, 1, "CallMeMaybe after the STUN round");
});

Deno.test("a better path is found within a minute and taken while another works, and one no better is not", () => {
  const network = new Network(20);
  const a = network.add({ name: "a", local: "10.0.0.1:1" });
  const b = network.add({ name: "b", local: "10.0.0.2:2", also: "10.9.9.9:9" });
  introduce(a, b, network.now);
  network.latency = (to) => (to === "10.0.0.2:2" ? 90 : 30);
  const tick = () => a.peer(b).pathForSend(network.now);
  network.run(5000, tick);
  assert.equal(a.peer(b).path.address(network.now), "10.0.0.2:2");
  a.magicsock.upsertPeer(b.config(["10.0.0.2:2", "10.9.9.9:9"]), network.now);
  network.run(62_000, tick);
  assert.equal(a.peer(b).path.address(network.now), "10.9.9.9:9");
  const changes = a.paths.length;
  network.latency = () => 30;
  network.run(130_000, tick);
  assert.equal(a.paths.length, changes, "equally good: no flapping");
});

Deno.test("an address that never answers is tried and not taken", () => {
  const p = pair(28, "none", "none");
  p.network.run(2000, p.tick);
  p.a.magicsock.upsertPeer(p.b.config(["192.168.7.3:41641", "10.9.9.9:9"]), p.network.now);
  p.network.run(70_000, p.tick);
  assert.equal(p.a.peer(p.b).path.address(p.network.now), "192.168.7.3:41641");
});

Deno.test("rebind() forgets trust in all paths and finds them again", () => {
  const p = pair(21, "easy", "easy");
  p.network.run(2000, p.tick);
  p.a.magicsock.rebind(p.network.now);
  assert.equal(p.both[0].direct, false);
  assert.equal(p.a.wanted.at(-1), "rebind");
  assert.ok(until(p, 10_000, () => p.both[0].direct) <= 500);
});

Deno.test("setSelf(undefined) ends all sessions and answers nothing", () => {
  const p = pair(22, "none", "none");
  p.network.run(2000, p.tick);
  const waiting = p.a.ping(p.b);
  p.a.magicsock.setSelf(undefined, 0);
  assert.deepEqual(waiting, { outcome: undefined, done: true });
  assert.equal(p.a.magicsock.nextDeadline(), Infinity);
  const before = p.a.udpSent + p.a.derpSent;
  p.network.run(20_000, () => p.both[1].tick());
  assert.equal(p.a.udpSent + p.a.derpSent, before);
  assert.ok(p.a.drops.length > 0 && p.a.drops.every((drop) => drop === "disco-unknown-sender"));
});

Deno.test("a peer that restarts with a new disco key and port is found again", () => {
  const p = pair(23, "none", "none");
  p.network.run(2000, p.tick);
  const c = p.network.add({ name: "b again", local: "192.168.7.3:5555" });
  p.network.nodes.splice(p.network.nodes.indexOf(p.b), 1);
  const again = { ...c.config(), key: p.b.key.hex };
  p.a.magicsock.upsertPeer(again, p.network.now);
  assert.equal(p.both[0].direct, false, "its old address has to prove itself");
  c.magicsock.setSelf(p.b.key, 1);
  c.magicsock.upsertPeer(p.a.config(), p.network.now);
  p.network.run(1000, () => p.both[0].tick());
  assert.equal(p.a.peer(p.b).path.address(p.network.now), "192.168.7.3:5555");
});

Deno.test("ping() goes direct where that is trusted, and by every way at once where not", () => {
  const p = pair(24, "none", "none");
  p.network.gate = () => false;
  const relayed = p.a.ping(p.b);
  p.network.run(200);
  assert.deepEqual([relayed.outcome?.endpoint, relayed.outcome?.derp], ["", 1]);
  assert.ok(relayed.outcome!.latencyMs >= 40 && relayed.outcome!.latencyMs <= 60);
  p.network.gate = () => true;
  p.network.run(10_000, p.tick);
  const derpBefore = p.a.derpSent;
  const direct = p.a.ping(p.b, 5000, 1200);
  p.network.run(100);
  assert.deepEqual([direct.outcome?.endpoint, direct.outcome?.derp], ["192.168.7.3:41641", 0]);
  assert.equal(p.a.derpSent, derpBefore);
});

Deno.test("ping() ends once, with nothing, when no pong comes, the peer is unknown or the size absurd", () => {
  const p = pair(25, "none", "none");
  p.network.gate = () => false;
  p.network.derpAllowed = false;
  const lost = p.a.ping(p.b, 1000);
  p.network.run(900);
  assert.equal(lost.done, false);
  p.network.run(200);
  assert.deepEqual(lost, { outcome: undefined, done: true });
  assert.deepEqual(p.a.ping(p.b, 1000, 70_000), { outcome: undefined, done: true });
  p.a.magicsock.removePeer(p.b.key.hex);
  assert.deepEqual(p.a.ping(p.b, 1000), { outcome: undefined, done: true });
});

Deno.test("a peer without home region is answered where it was last heard, until the relay says it is gone", () => {
  const p = pair(26, "hard", "hard");
  p.a.magicsock.upsertPeer({ ...p.b.config([]), derp: 0 }, p.network.now);
  assert.deepEqual({ ...p.a.peer(p.b).pathForSend(p.network.now) }, { addr: 0, vni: 0, derp: 0 });
  p.a.magicsock.noteDerp(7, p.b.key.hex);
  assert.deepEqual({ ...p.a.peer(p.b).pathForSend(p.network.now) }, { addr: 0, vni: 0, derp: 7 });
  p.a.magicsock.derpPeerGone(8, p.b.key.hex);
  assert.equal(p.a.peer(p.b).derp, 7);
  p.a.magicsock.derpPeerGone(7, p.b.key.hex);
  assert.equal(p.a.peer(p.b).derp, 0);
});

Deno.test("an address that cannot be reached is left at once", () => {
  const p = pair(27, "none", "none");
  p.network.run(2000, p.tick);
  const { addr } = p.a.peer(p.b).pathForSend(p.network.now);
  p.a.magicsock.noteUnreachable(addr);
  assert.equal(p.a.peer(p.b).path.address(p.network.now), "");
  assert.equal(p.a.peer(p.b).pathForSend(p.network.now).derp, 1);
});

Deno.test("Magicsock with silent-disco sends no heartbeats, and data that comes keeps a direct path trusted", () => {
  const p = pair(31, "easy", "easy");
  until(p, 5_000, () => p.both.every((transfer) => transfer.direct));
  for (const node of [p.a, p.b]) node.magicsock.silentDisco = true;
  const received = withData(p);
  p.network.run(HEARTBEAT_INTERVAL_MS, received);
  const before = [p.a.udpSent, p.b.udpSent];
  p.network.run(20 * HEARTBEAT_INTERVAL_MS, received);
  assert.deepEqual([p.a.udpSent, p.b.udpSent], before, "nothing but data goes by UDP");
  assert.ok(p.both.every((transfer) => transfer.direct));
  // Without data the trust ends, and the next packet looks for paths again.
  p.network.run(TRUST_UDP_ADDR_MS + 100);
  assert.ok(p.both.every((transfer) => !transfer.direct));
  const took = until(p, 5_000, () => p.both.every((transfer) => transfer.direct));
  assert.ok(took <= 500, `direct again after ${took} ms`);
});

Deno.test("STUN is repeated with silent-disco too while there is traffic, and ends with it", () => {
  const p = pair(40, "easy", "none");
  until(p, 5_000, () => p.both.every((transfer) => transfer.direct));
  for (const node of [p.a, p.b]) node.magicsock.silentDisco = true;
  const periodic = () => p.a.wanted.filter((reason) => reason === "periodic").length;
  p.network.run(60_000, withData(p));
  const during = periodic();
  assert.ok(during === 2 || during === 3, `asked ${during} times in a minute of traffic`);
  p.network.run(SESSION_ACTIVE_TIMEOUT_MS + RESTUN_MAX_MS);
  const after = periodic();
  assert.ok(after - during <= 3, "while the session lasts");
  p.network.run(300_000);
  assert.equal(periodic(), after);
  assert.equal(p.a.magicsock.nextDeadline(), Infinity);
});
