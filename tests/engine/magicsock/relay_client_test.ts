/** Magicsocks that reach each other through peer relays, on a scripted network and a fake clock. */
import assert from "node:assert/strict";
import {
  ALLOCATE_RETRY_MS,
  ALLOCATE_TIMEOUT_MS,
  CALL_ME_MAYBE_BURST,
  DISCOVER_RELAY_INTERVAL_MS,
  TRUST_UDP_ADDR_MS,
  UPGRADE_RELAY_INTERVAL_MS,
} from "../../../engine/magicsock/constants.ts";
import { sealDisco } from "../../../engine/magicsock/disco.ts";
import { BoxKey } from "../../../base/box.ts";
import { parseAddrPort } from "../../../base/ip.ts";
import {
  encodeAllocateRequest,
  encodeAllocateResponse,
  encodeBind,
  encodeCallMeMaybeVia,
  type RelaySession,
  sortedPair,
} from "../../../engine/magicsock/disco_relay.ts";
import type { PeerRelayGrants } from "../../../engine/config.ts";
import { type Nat, Network, SimNode, SimRelay } from "./network.ts";

const RELAY = "198.51.100.50:7777";

/** Two nodes behind NATs and a third whose relay server both may ask, unless told otherwise. */
class World {
  readonly network: Network;
  readonly a: SimNode;
  readonly b: SimNode;
  readonly r: SimNode;
  readonly relay: SimRelay;
  /** Longest time without a packet that would have arrived, each way. */
  worstGap = 0;
  #arrived: [number, number];

  constructor(
    seed: number,
    { natA = "hard", natB = "hard", aAsks = true, bAsks = true, cap = 121, aMayAsk = true }: {
      natA?: Nat;
      natB?: Nat;
      aAsks?: boolean;
      bAsks?: boolean;
      cap?: number;
      aMayAsk?: boolean;
    } = {},
  ) {
    const network = this.network = new Network(seed);
    this.a = network.add({ name: "a", local: "192.168.1.2:41641", nat: natA, publicIp: "192.0.2.1" });
    this.b = network.add({ name: "b", local: "192.168.7.3:41641", nat: natB, publicIp: "203.0.113.9" });
    this.r = network.add({ name: "r", local: "198.51.100.50:41641" });
    this.relay = this.r.relay = new SimRelay(network, RELAY);
    const tell = (node: SimNode, peer: SimNode, relay?: PeerRelayGrants) =>
      node.magicsock.upsertPeer({ ...peer.config(), cap, ...(relay && { relay }) }, network.now);
    tell(this.a, this.b);
    tell(this.b, this.a);
    tell(this.a, this.r, { serves: aAsks, mayAsk: false });
    tell(this.b, this.r, { serves: bAsks, mayAsk: false });
    tell(this.r, this.a, { serves: false, mayAsk: aMayAsk });
    tell(this.r, this.b, { serves: false, mayAsk: true });
    this.#arrived = [network.now, network.now];
  }

  /** 100 packets a second each way. */
  readonly tick = (): void => {
    const { network } = this;
    for (const [i, [from, to]] of ([[this.a, this.b], [this.b, this.a]] as const).entries()) {
      const { addr, vni, derp } = from.peer(to).pathForSend(network.now);
      const text = from.addrs.text(addr);
      const there = addr !== 0 &&
        (vni === 0
          ? network.reaches(from, text, to)
          : text === RELAY && network.udpAllowed && this.relay.reaches(vni, from.leaves(text, network.now), to));
      if (there || (derp !== 0 && network.derpAllowed)) this.#arrived[i] = network.now;
      this.worstGap = Math.max(this.worstGap, network.now - this.#arrived[i]);
    }
  };

  /** How long until both say that the relay carries them, or Infinity. */
  untilRelayed(limit: number): number {
    return this.until(limit, () => this.relayed);
  }

  until(limit: number, condition: () => boolean): number {
    const start = this.network.now;
    while (!condition()) {
      if (this.network.now - start >= limit) return Infinity;
      this.network.run(10, this.tick);
    }
    return this.network.now - start;
  }

  get relayed(): boolean {
    return this.relayOf(this.a, this.b) !== "" && this.relayOf(this.b, this.a) !== "";
  }

  relayOf(from: SimNode, to: SimNode): string {
    return from.peer(to).path.relay(this.network.now);
  }
}

Deno.test("two hard NATs are relayed within a second, DERP carries until then, and nothing is lost", () => {
  const world = new World(1);
  const took = world.untilRelayed(5_000);
  assert.ok(took <= 1_000, `took ${took} ms`);
  assert.equal(world.worstGap, 0);
  assert.match(world.relayOf(world.a, world.b), /^198\.51\.100\.50:7777:vni:\d+$/);
  assert.equal(world.a.peer(world.b).path.address(world.network.now), "", "that is no direct path");
  world.network.run(120_000, world.tick);
  assert.ok(world.relayed && world.worstGap === 0, "and stay so");
  assert.equal(world.relay.sessions.counts().open, 1);
});

Deno.test("one of the two that knows the relay is enough", () => {
  for (const asks of [{ aAsks: false }, { bAsks: false }]) {
    const world = new World(2, asks);
    assert.ok(world.untilRelayed(5_000) <= 1_000, JSON.stringify(asks));
  }
});

Deno.test("no relay is used where the packet filter, the peer's version or the node itself forbids it", () => {
  for (const how of [{ aAsks: false, bAsks: false }, { cap: 120 }, { aMayAsk: false, bAsks: false }]) {
    const world = new World(3, how);
    world.network.run(70_000, world.tick);
    assert.deepEqual([world.relayOf(world.a, world.b), world.relayOf(world.b, world.a)], ["", ""], JSON.stringify(how));
    assert.equal(world.relay.sessions.counts().open, 0);
  }
  const denied = new World(3, { aMayAsk: false, bAsks: false });
  denied.network.run(1_000, denied.tick);
  assert.ok(denied.r.drops.includes("relay-denied"));

  const off = new World(4);
  for (const node of [off.a, off.b]) node.magicsock.setSelf(node.key, 1, { client: false, self: false });
  off.network.run(70_000, off.tick);
  assert.deepEqual([off.relayOf(off.a, off.b), off.relayOf(off.b, off.a)], ["", ""]);
});

Deno.test("a direct path is used where there is one, and the relay left for it when it comes", () => {
  const easy = new World(5, { natA: "easy", natB: "easy" });
  easy.network.run(30_000, easy.tick);
  assert.notEqual(easy.a.peer(easy.b).path.address(easy.network.now), "");
  assert.equal(easy.relay.forwarded < 50, true, "pings of the handshake at most");

  const world = new World(6, { natA: "none", natB: "hard" });
  world.network.gate = () => false;
  assert.ok(world.untilRelayed(5_000) <= 1_000);
  world.network.run(20_000, world.tick);
  world.network.gate = () => true;
  const direct = () =>
    [[world.a, world.b], [world.b, world.a]].every(([x, y]) =>
      x.peer(y).path.address(world.network.now) !== "" && world.relayOf(x, y) === ""
    );
  const took = world.until(30_000, direct);
  assert.ok(took <= 12_000, `took ${took} ms`);
  assert.equal(world.worstGap, 0);
});

Deno.test("a relay that dies is left for DERP within 6.5 s, and used again once it is back", () => {
  const world = new World(7);
  assert.ok(world.untilRelayed(5_000) <= 1_000);
  world.network.run(15_000, world.tick);
  world.relay.alive = false;
  const left = world.until(
    20_000,
    () => world.relayOf(world.a, world.b) === "" && world.relayOf(world.b, world.a) === "",
  );
  assert.ok(left <= TRUST_UDP_ADDR_MS + 10, `left after ${left} ms`);
  assert.ok(world.worstGap <= TRUST_UDP_ADDR_MS + 10, `nothing arrived for ${world.worstGap} ms`);
  world.network.run(40_000, world.tick);
  world.relay.alive = true;
  const again = world.untilRelayed(60_000);
  assert.ok(again <= DISCOVER_RELAY_INTERVAL_MS + 1_000, `again after ${again} ms`);
  console.log(`left after ${left} ms, silent for ${world.worstGap} ms, used again ${again} ms after it was back`);
});

Deno.test("with silent-disco the data that comes through a relay's session keeps it trusted, and no other does", () => {
  const world = new World(41);
  assert.ok(world.untilRelayed(5_000) <= 1_000);
  const { network, a, b } = world;
  for (const node of [a, b]) node.magicsock.silentDisco = true;
  const source = a.addrs.intern(parseAddrPort(RELAY)!.ip, parseAddrPort(RELAY)!.port);
  const vni = Number(world.relayOf(a, b).split(":").at(-1));
  const receiving = (through: number) => () => a.peer(b).noteReceived(source, through, network.now);
  network.run(10 * TRUST_UDP_ADDR_MS, receiving(vni));
  assert.notEqual(world.relayOf(a, b), "", "no heartbeat was sent, and data came");
  assert.equal(world.relayOf(b, a), "", "b received nothing");
  network.run(TRUST_UDP_ADDR_MS + 100, receiving(vni + 1));
  assert.equal(world.relayOf(a, b), "", "of another session");
});

Deno.test("the story of a path tells of the peer relay from both sides, and what became of one that is silent", () => {
  const world = new World(42, { bAsks: false });
  world.untilRelayed(5_000);
  const { network, a, b, r } = world;
  const story = (from: SimNode, to: SimNode) =>
    from.peer(to).report(network.now).events.map(({ kind, path }) => `${kind} ${path}`);
  const session = world.relayOf(a, b);
  const vni = session.slice(session.indexOf("vni:"));
  const asked = [
    `relay-asked nodekey:${r.key.hex}`,
    `relay-granted ${vni} by nodekey:${r.key.hex}`,
    `relay-told ${vni}`,
    `relay-bind ${session}`,
    `relay-challenge ${session}`,
    `ping ${session}`,
    `pong ${session}`,
    `path ${session}`,
  ];
  assert.deepEqual(story(a, b).filter((line) => asked.includes(line)), asked);
  assert.deepEqual(story(b, a).filter((line) => /^relay-/.test(line)), [
    `relay-heard ${vni}`,
    `relay-bind 10.66.66.66:1:${vni}`,
    `relay-bind ${session}`,
    `relay-challenge ${session}`,
  ]);
  const silent = new World(43, { bAsks: false, aMayAsk: false });
  silent.network.run(ALLOCATE_TIMEOUT_MS + 1_000, silent.tick);
  const { events } = silent.a.peer(silent.b).report(silent.network.now);
  assert.ok(events.some(({ kind, path }) => kind === "relay-unanswered" && path === `nodekey:${silent.r.key.hex}`));
});

Deno.test("a relay server that starts anew, with another key, replaces its sessions", () => {
  const world = new World(8);
  assert.ok(world.untilRelayed(5_000) <= 1_000);
  world.network.run(10_000, world.tick);
  world.network.relays.splice(0);
  world.r.relay = new SimRelay(world.network, RELAY);
  const open = () => world.r.relay!.sessions.counts().open === 1;
  const took = world.until(60_000, open);
  assert.ok(took <= DISCOVER_RELAY_INTERVAL_MS + TRUST_UDP_ADDR_MS + 1_000, `took ${took} ms`);
  world.network.run(1_000, world.tick);
  assert.ok(world.relayed);
});

Deno.test("relays are searched for at most every 30 s, every 60 s while one carries, and never while idle", () => {
  const world = new World(9, { bAsks: false });
  world.relay.alive = false;
  let asked: number[] = [];
  const allocate = world.relay.allocate.bind(world.relay);
  world.relay.allocate = (asker, clients) => {
    asked.push(world.network.now);
    return allocate(asker, clients);
  };
  world.network.run(100_000, world.tick);
  const searches = asked.filter((at, i) => i === 0 || at - asked[i - 1] > ALLOCATE_RETRY_MS + 100);
  assert.ok(searches.every((at, i) => i === 0 || at - searches[i - 1] >= DISCOVER_RELAY_INTERVAL_MS), `${searches}`);
  assert.equal(asked.length, 2 * searches.length, "an unanswered request is sent a second time");
  assert.ok(searches.length >= 3);

  world.relay.alive = true;
  world.untilRelayed(60_000);
  asked = [];
  world.network.run(250_000, world.tick);
  assert.ok(asked.length >= 3 && asked.length <= 4, `${asked.length} times`);
  assert.ok(asked.every((at, i) => i === 0 || at - asked[i - 1] >= UPGRADE_RELAY_INTERVAL_MS));

  world.network.run(60_000);
  asked = [];
  world.network.run(200_000);
  assert.deepEqual(asked, []);
  assert.equal(world.a.magicsock.nextDeadline(), Infinity, "an idle node has nothing to do");
});

Deno.test("ping() says which relay it went through", () => {
  const world = new World(10);
  world.untilRelayed(5_000);
  const ping = world.a.ping(world.b);
  world.network.run(300, world.tick);
  assert.equal(ping.outcome?.relay, world.relayOf(world.a, world.b));
  assert.equal(ping.outcome?.endpoint, "");
  assert.ok(ping.outcome!.latencyMs >= 28 && ping.outcome!.latencyMs <= 50, "twice there, twice back");
});

Deno.test("a node asks its own relay server without a message", () => {
  const world = new World(11, { aAsks: false, bAsks: false, natA: "none" });
  world.network.gate = () => false;
  world.a.relay = world.relay;
  world.a.magicsock.setSelf(world.a.key, 1, { client: true, self: true });
  assert.ok(world.untilRelayed(5_000) <= 1_000);
});

/** Seals a payload of `from` for `to` as it comes by DERP. */
function byDerp(world: World, from: SimNode, to: SimNode, payload: Uint8Array) {
  const key = new BoxKey(from.disco.sharedSecret(to.disco.public.bytes)!);
  const message = sealDisco(from.disco.public, key, world.network.random.bytes(24), payload);
  return to.magicsock.handleDisco(message, { derp: 1, peer: from.key }, world.network.now);
}

function sessionOf(world: World, a: SimNode, b: SimNode, more: Partial<RelaySession> = {}): RelaySession {
  return {
    server: world.network.random.bytes(32),
    clients: sortedPair(a.disco.public.bytes, b.disco.public.bytes),
    lamportId: 1n,
    vni: 5,
    bindLifetimeMs: 30_000,
    steadyLifetimeMs: 300_000,
    addrs: [parseAddrPort("198.51.100.99:9")!],
    ...more,
  };
}

Deno.test("what a peer says about sessions is taken only from DERP, only of itself, and so often", () => {
  const world = new World(12);
  const { a, b, r } = world;
  assert.equal(byDerp(world, b, a, encodeCallMeMaybeVia(sessionOf(world, a, b))), undefined);
  assert.equal(byDerp(world, b, a, encodeCallMeMaybeVia(sessionOf(world, r, b))), "relay-denied", "not our session");
  for (let i = 2; i < CALL_ME_MAYBE_BURST; i++) byDerp(world, b, a, encodeCallMeMaybeVia(sessionOf(world, a, b)));
  assert.equal(byDerp(world, b, a, encodeCallMeMaybeVia(sessionOf(world, a, b))), "disco-rate");

  const unasked = encodeAllocateResponse(1, sessionOf(world, a, b));
  assert.equal(byDerp(world, r, a, unasked), "relay-session");
  const others = encodeAllocateRequest(sortedPair(r.disco.public.bytes, b.disco.public.bytes), 1);
  assert.equal(byDerp(world, a, r, others), "relay-denied", "a session for two others");

  const key = new BoxKey(b.disco.sharedSecret(a.disco.public.bytes)!);
  const seal = (payload: Uint8Array) => sealDisco(b.disco.public, key, world.network.random.bytes(24), payload);
  const addr = a.addrs.intern(parseAddrPort("203.0.113.9:1")!.ip, 1);
  const via = seal(encodeCallMeMaybeVia(sessionOf(world, a, b)));
  assert.equal(a.magicsock.handleDisco(via, { addr }, world.network.now), "disco-malformed", "by UDP");
  const bind = seal(
    encodeBind("bind-challenge", {
      vni: 5,
      generation: 1,
      remote: b.disco.public.bytes,
      challenge: new Uint8Array(32),
    }),
  );
  assert.equal(a.magicsock.handleDisco(bind, { addr }, world.network.now), "relay-session", "from a peer");
  assert.equal(
    a.magicsock.handleDisco(bind, { addr, vni: 5, control: true }, world.network.now),
    "relay-session",
    "from no server we know",
  );
});

Deno.test("a peer cannot end another's handshake by naming its server and VNI", () => {
  const world = new World(13);
  world.untilRelayed(5_000);
  const { a, b, r } = world;
  // b's session with a is being bound anew; r claims the same with itself.
  const server = world.network.random.bytes(32);
  const sentTo = (text: string) => a.udpTo.filter((to) => to === text).length;
  byDerp(world, b, a, encodeCallMeMaybeVia(sessionOf(world, a, b, { server, lamportId: 3n })));
  assert.equal(sentTo("198.51.100.99:9"), 1);
  const claim = sessionOf(world, a, r, { server, lamportId: 99n, addrs: [parseAddrPort("198.51.100.98:9")!] });
  byDerp(world, r, a, encodeCallMeMaybeVia(claim));
  assert.equal(sentTo("198.51.100.98:9"), 0);
});
