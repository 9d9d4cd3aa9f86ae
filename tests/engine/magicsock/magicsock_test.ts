/** What a single message may do to a magicsock: all that a peer may say of itself, and nothing that others may. */
import assert from "node:assert/strict";
import { fromHex } from "../../../base/bytes.ts";
import { BoxKey } from "../../../base/box.ts";
import { DROP_REASONS } from "../../../base/drops.ts";
import { formatAddrPort, parseAddrPort } from "../../../base/ip.ts";
import { DiscoPrivate, NodePrivate, type NodePublic } from "../../../base/keys.ts";
import type { PeerConfig, PingOutcome } from "../../../engine/config.ts";
import {
  HEARTBEAT_INTERVAL_MS,
  MAX_CALL_ME_MAYBE_ENDPOINTS,
  MAX_CANDIDATES,
} from "../../../engine/magicsock/constants.ts";
import {
  DISCO_PING_SIZE,
  discoSender,
  encodeCallMeMaybe,
  encodePing,
  encodePong,
  openDisco,
  parseDisco,
  sealDisco,
} from "../../../engine/magicsock/disco.ts";
import type { DiscoSleepers } from "../../../engine/magicsock/disco_receiver.ts";
import { Magicsock } from "../../../engine/magicsock/magicsock.ts";
import { MemoryAddrs } from "../../support/memory_ports.ts";
import { mutate, SeededRandom } from "../../support/random.ts";
import relayVectors from "../../vectors/tailscale_disco.json" with { type: "json" };

const NOW = 1_000_000;

/** Someone outside: keys, and messages sealed to the magicsock under test. */
class Outsider {
  readonly node: NodePublic;
  readonly disco: DiscoPrivate;
  readonly box: BoxKey;
  readonly #random: SeededRandom;

  constructor(random: SeededRandom, target: DiscoPrivate) {
    this.#random = random;
    this.node = NodePrivate.generate(random.bytes).public;
    this.disco = DiscoPrivate.generate(random.bytes);
    this.box = new BoxKey(this.disco.sharedSecret(target.public.bytes)!);
  }

  seal(payload: Uint8Array): Uint8Array<ArrayBuffer> {
    return sealDisco(this.disco.public, this.box, this.#random.bytes(24), payload);
  }

  ping(nodeKey: NodePublic | undefined = this.node): Uint8Array<ArrayBuffer> {
    return this.seal(encodePing(this.#random.bytes(12), nodeKey, 0));
  }

  config(more: Partial<PeerConfig> = {}): PeerConfig {
    return {
      key: this.node.hex,
      disco: this.disco.public.hex,
      allowedIps: [],
      endpoints: [],
      derp: 1,
      jailed: false,
      addresses: [],
      cap: 0,
      ...more,
    };
  }
}

interface Sent {
  /** `ip:port`, or "derp-1". */
  readonly to: string;
  readonly message: Uint8Array;
}

/** A magicsock alone, and what it sends. */
class Bench {
  readonly random: SeededRandom;
  readonly disco: DiscoPrivate;
  readonly addrs = new MemoryAddrs();
  readonly sent: Sent[] = [];
  readonly magicsock: Magicsock;
  readonly self: NodePublic;

  constructor(seed = 1, sleepers?: DiscoSleepers) {
    this.random = new SeededRandom(seed);
    this.disco = DiscoPrivate.generate(this.random.bytes);
    this.self = NodePrivate.generate(this.random.bytes).public;
    this.magicsock = new Magicsock({
      disco: this.disco,
      random: this.random.bytes,
      addrs: this.addrs,
      io: {
        sendUdp: (to, message) => this.sent.push({ to: this.addrs.text(to), message }),
        sendDerp: (region, _peer, message) => this.sent.push({ to: `derp-${region}`, message }),
        endpointsWanted: () => {},
        pathChanged: () => {},
        relayRequested: () => {},
        sleepers,
      },
    });
    this.magicsock.setSelf(this.self, 1);
    this.magicsock.setLocalEndpoints([parseAddrPort("192.0.2.200:1")!], true, NOW);
  }

  outsider(): Outsider {
    return new Outsider(this.random, this.disco);
  }

  peer(more: Partial<PeerConfig> = {}): Outsider {
    const peer = this.outsider();
    this.magicsock.upsertPeer(peer.config(more), NOW);
    return peer;
  }

  id(text: string): number {
    const { ip, port } = parseAddrPort(text)!;
    return this.addrs.intern(ip, port);
  }

  udp(message: Uint8Array, from: string, now = NOW): string | undefined {
    return this.magicsock.handleDisco(message, { addr: this.id(from) }, now);
  }

  derp(message: Uint8Array, from: NodePublic, now = NOW): string | undefined {
    return this.magicsock.handleDisco(message, { derp: 1, peer: from }, now);
  }

  /** Addresses known of a peer. */
  candidates(peer: Outsider): string[] {
    const ids = new Set(this.magicsock.endpoint(peer.node.hex)!.addresses());
    ids.delete(0);
    return [...ids].map((id) => this.addrs.text(id)).sort();
  }

  /** What was sent since the last call, opened by its receiver: `[to, kind]`. */
  take(peer: Outsider): [string, string][] {
    const list = this.sent.splice(0).map(({ to, message }): [string, string] => {
      const parsed = parseDisco(openDisco(message, peer.box)!);
      return [to, typeof parsed === "string" ? parsed : parsed.type];
    });
    return list;
  }
}

Deno.test("handleDisco() answers a ping on the way it came and learns its address", () => {
  const bench = new Bench();
  const peer = bench.peer();
  assert.equal(bench.udp(peer.ping(), "198.51.100.7:777"), undefined);
  const [{ to, message }] = bench.sent;
  assert.equal(to, "198.51.100.7:777");
  assert.deepEqual(discoSender(message), new Uint8Array(bench.disco.public.bytes));
  const pong = parseDisco(openDisco(message, peer.box)!);
  assert.ok(typeof pong !== "string" && pong.type === "pong");
  assert.equal(formatAddrPort(pong.source), "198.51.100.7:777", "tells it the address of its NAT");
  assert.deepEqual(bench.candidates(peer), ["198.51.100.7:777"]);
});

Deno.test("handleDisco() answers a ping by DERP by DERP, and learns no address", () => {
  const bench = new Bench();
  const peer = bench.peer();
  assert.equal(bench.derp(peer.ping(), peer.node), undefined);
  const pong = parseDisco(openDisco(bench.sent[0].message, peer.box)!);
  assert.ok(typeof pong !== "string" && pong.type === "pong" && bench.sent[0].to === "derp-1");
  assert.equal(formatAddrPort(pong.source), "127.3.3.40:1");
  assert.deepEqual(bench.candidates(peer), []);
});

Deno.test("handleDisco() answers a replayed ping not again from the same address", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const ping = peer.ping();
  for (let i = 0; i < 5; i++) assert.equal(bench.udp(ping, "198.51.100.7:777"), undefined);
  assert.equal(bench.sent.length, 1);
});

Deno.test("W9: disco from a stranger is dropped before any curve work", () => {
  const bench = new Bench();
  bench.peer();
  const stranger = bench.outsider();
  assert.equal(bench.udp(stranger.ping(), "198.51.100.7:777"), "disco-unknown-sender");
  assert.equal(bench.derp(stranger.ping(), stranger.node), "disco-unknown-sender");
  assert.equal(bench.sent.length, 0);
});

Deno.test("W9: disco with a known key and a wrong box is dropped and moves nothing", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const forger = bench.outsider();
  const forged = sealDisco(
    peer.disco.public,
    forger.box,
    bench.random.bytes(24),
    encodePing(new Uint8Array(12), peer.node, 0),
  );
  assert.equal(bench.udp(forged, "203.0.113.66:66"), "disco-decrypt");
  const flipped = peer.ping();
  flipped[flipped.length - 1] ^= 1;
  assert.equal(bench.udp(flipped, "203.0.113.66:66"), "disco-decrypt");
  assert.deepEqual([bench.candidates(peer), bench.sent.length], [[], 0]);
});

Deno.test("W9: a flood in a peer's name is tried so often only, and the peer itself is heard all the same", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const own = "198.51.100.7:41641";
  assert.equal(bench.udp(peer.ping(), own), undefined);
  const forged = peer.ping();
  forged[forged.length - 1] ^= 1;
  const outcomes = Array.from({ length: 5_000 }, () => bench.udp(forged, "203.0.113.66:66"));
  const tried = outcomes.filter((outcome) => outcome === "disco-decrypt").length;
  assert.ok(tried <= 110, `${tried} were tried`);
  assert.equal(outcomes.at(-1), "disco-rate");
  assert.equal(bench.udp(peer.ping(), own), undefined, "from an address of its own");
});

Deno.test("W9: who sleeps wakes for what its disco key sealed, and few other messages in such a name are tried", () => {
  const asleep = new Map<string, Outsider>();
  const woken: string[] = [];
  const bench = new Bench(1, {
    has: (disco) => asleep.has(disco),
    wake: (disco) => {
      woken.push(disco);
      bench.magicsock.upsertPeer(asleep.get(disco)!.config(), NOW);
    },
  });
  const peers = Array.from({ length: 100 }, () => bench.outsider());
  for (const peer of peers) asleep.set(peer.disco.public.hex, peer);
  const forger = bench.outsider();
  const forged = peers.map(({ disco, node }) =>
    sealDisco(disco.public, forger.box, bench.random.bytes(24), encodePing(new Uint8Array(12), node, 0))
  );
  const outcomes = forged.map((message) => bench.udp(message, "203.0.113.66:66"));
  const tried = outcomes.filter((outcome) => outcome === "disco-decrypt").length;
  assert.ok(tried >= 20 && tried <= 22, `${tried} were tried`);
  assert.equal(outcomes.at(-1), "disco-rate");
  assert.deepEqual([woken, bench.sent.length], [[], 0]);
  assert.equal(bench.udp(peers[0].ping(), "198.51.100.7:41641", NOW + 100), undefined);
  assert.deepEqual(woken, [peers[0].disco.public.hex]);
  assert.deepEqual(bench.take(peers[0]), [["198.51.100.7:41641", "pong"]]);
  assert.equal(bench.udp(forger.ping(), "198.51.100.7:41641", NOW + 100), "disco-unknown-sender");
});

Deno.test("W9: a ping with a node key that is not its own is dropped", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const other = bench.peer();
  const stranger = bench.outsider();
  for (const wrong of [other.node, stranger.node, bench.self]) {
    assert.equal(bench.udp(peer.ping(wrong), "198.51.100.7:777"), "disco-unknown-sender");
    assert.equal(bench.derp(peer.ping(wrong), peer.node), "disco-unknown-sender");
  }
  assert.equal(bench.derp(peer.ping(), other.node), "disco-unknown-sender", "the relay says another node sent it");
  assert.equal(bench.derp(peer.ping(undefined), other.node), "disco-unknown-sender");
  assert.deepEqual([bench.candidates(peer), bench.candidates(other), bench.sent.length], [[], [], 0]);
});

Deno.test("handleDisco() takes a ping without node key for every node of its disco key", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const twin = bench.outsider();
  bench.magicsock.upsertPeer({ ...twin.config(), disco: peer.disco.public.hex }, NOW);
  const unnamed = peer.seal(encodePing(bench.random.bytes(12), undefined, 0));
  assert.equal(bench.udp(unnamed, "198.51.100.7:777"), undefined);
  assert.deepEqual([bench.candidates(peer), bench.candidates(twin)], [["198.51.100.7:777"], ["198.51.100.7:777"]]);
  assert.equal(bench.udp(peer.ping(), "198.51.100.8:888"), undefined);
  assert.deepEqual(bench.candidates(twin), ["198.51.100.7:777"], "that one named the node");
  assert.equal(bench.derp(peer.ping(), twin.node), "disco-unknown-sender", "named one, relayed as the other's");
});

Deno.test("W9: a CallMeMaybe with thousands of endpoints leaves few candidates and few pings", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const many = Array.from({ length: 3600 }, (_, i) => parseAddrPort(`198.51.${i >> 8}.${i & 255}:5`)!);
  assert.equal(bench.derp(peer.seal(encodeCallMeMaybe(many)), peer.node), undefined);
  assert.equal(bench.sent.length, MAX_CALL_ME_MAYBE_ENDPOINTS + 1, "a ping to each, and one CallMeMaybe back");
  const more = many.map(({ ip }) => ({ ip, port: 6 }));
  assert.equal(bench.derp(peer.seal(encodeCallMeMaybe(more)), peer.node), undefined);
  assert.ok(bench.candidates(peer).length <= MAX_CANDIDATES + MAX_CALL_ME_MAYBE_ENDPOINTS, "with pings still out");
});

Deno.test("W9: CallMeMaybes faster than one a second are not obeyed", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const message = peer.seal(encodeCallMeMaybe([parseAddrPort("198.51.100.7:777")!]));
  const verdicts = Array.from({ length: 100 }, (_, i) => bench.derp(message, peer.node, NOW + i * 10));
  assert.equal(verdicts.filter((drop) => drop === undefined).length, 5);
  assert.equal(verdicts.filter((drop) => drop === "disco-rate").length, 95);
  assert.equal(bench.derp(message, peer.node, NOW + 60_000), undefined);
});

Deno.test("W9: a CallMeMaybe counts only by DERP, from the node whose disco key sealed it", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const other = bench.peer();
  const message = peer.seal(encodeCallMeMaybe([parseAddrPort("198.51.100.7:777")!]));
  assert.equal(bench.udp(message, "198.51.100.7:777"), "disco-malformed");
  assert.equal(bench.derp(message, other.node), "disco-unknown-sender");
  assert.equal(bench.derp(message, bench.outsider().node), "disco-unknown-sender");
  assert.equal(bench.sent.length, 0);
});

Deno.test("a CallMeMaybe's endpoints that no node can have are not pinged", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const odd = [
    "0.0.0.0:1",
    "10.0.0.1:0",
    "224.0.0.1:1",
    "255.255.255.255:1",
    "127.3.3.40:1",
    "[::]:1",
    "[fe80::1]:1",
    "[ff02::1]:1",
    "198.51.100.7:777",
    "198.51.100.7:777",
  ].map((text) => parseAddrPort(text)!);
  assert.equal(bench.derp(peer.seal(encodeCallMeMaybe(odd)), peer.node), undefined);
  assert.deepEqual(bench.take(peer), [["198.51.100.7:777", "ping"], ["derp-1", "call-me-maybe"]]);
});

Deno.test("a CallMeMaybe is answered by one, at most once in 5 s, whatever comes", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const message = peer.seal(encodeCallMeMaybe([parseAddrPort("198.51.100.7:777")!]));
  const answers = (at: number) => {
    assert.equal(bench.derp(message, peer.node, NOW + at), undefined);
    return bench.take(peer).filter(([, kind]) => kind === "call-me-maybe").length;
  };
  assert.deepEqual([0, 1_000, 4_900, 5_000, 5_100].map(answers), [1, 0, 0, 1, 0]);
});

Deno.test("a ping that is heard while no direct path works is answered by a pong and a ping, that once in 5 s", () => {
  const bench = new Bench();
  const peer = bench.peer({ endpoints: ["198.51.100.7:777"] });
  const hear = (at: number) => {
    assert.equal(bench.udp(peer.ping(), "198.51.100.7:777", NOW + at), undefined);
    return bench.take(peer).map(([, kind]) => kind);
  };
  assert.deepEqual(hear(0), ["pong"], "nobody here speaks to it");
  bench.magicsock.endpoint(peer.node.hex)!.pathForSend(NOW + 10);
  assert.deepEqual(bench.take(peer).map(([, kind]) => kind), ["ping", "call-me-maybe"]);
  assert.deepEqual(hear(20), ["ping", "pong"], "the ping before may have come too early for its firewall");
  assert.deepEqual(hear(30), ["pong"]);
  assert.deepEqual(hear(5_100), ["ping", "pong"]);
});

Deno.test("after a rebind, and with a peer that restarted, no distance to what was sent before is kept", () => {
  const bench = new Bench();
  const peer = bench.peer({ endpoints: ["198.51.100.7:777"] });
  const meet = (at: number, message: Uint8Array, receiver = peer) => {
    bench.magicsock.endpoint(peer.node.hex)!.pathForSend(NOW + at);
    const first = bench.take(receiver).map(([, kind]) => kind);
    assert.equal(bench.udp(message, "198.51.100.7:777", NOW + at + 10), undefined);
    return [first, bench.take(receiver).map(([, kind]) => kind)];
  };
  const everything = [["ping", "call-me-maybe"], ["ping", "pong"]];
  assert.deepEqual(meet(0, peer.ping()), everything);
  assert.deepEqual(meet(500, peer.ping()), [[], ["pong"]]);
  bench.magicsock.rebind(NOW + 1_000);
  bench.magicsock.setLocalEndpoints([parseAddrPort("192.0.2.200:1")!], true, NOW + 1_100);
  assert.deepEqual(meet(1_200, peer.ping()), everything);
  const again = bench.outsider();
  const settings = again.config({ key: peer.node.hex, endpoints: ["198.51.100.7:777"] });
  bench.magicsock.upsertPeer(settings, NOW + 2_000);
  assert.deepEqual(meet(2_000, again.ping(peer.node), again), everything);
});

Deno.test("a CallMeMaybe waits for endpoints that STUN has just found, the same or not", () => {
  const bench = new Bench();
  const peer = bench.peer();
  const endpoint = bench.magicsock.endpoint(peer.node.hex)!;
  const own = [parseAddrPort("192.0.2.200:1")!];
  const kinds = () => bench.take(peer).map(([, kind]) => kind);
  endpoint.pathForSend(NOW + 60_000);
  assert.deepEqual(kinds(), []);
  bench.magicsock.setLocalEndpoints(own, false, NOW + 60_010);
  assert.deepEqual(kinds(), [], "the machine's own addresses alone are known");
  bench.magicsock.setLocalEndpoints(own, true, NOW + 60_200);
  assert.deepEqual(kinds(), ["call-me-maybe"]);
});

Deno.test("a CallMeMaybe replaces the endpoints of the one before, and leaves those of the netmap", () => {
  const bench = new Bench();
  const peer = bench.peer({ endpoints: ["192.0.2.1:1"] });
  const say = (texts: string[], now: number) => {
    const endpoints = texts.map((text) => parseAddrPort(text)!);
    assert.equal(bench.derp(peer.seal(encodeCallMeMaybe(endpoints)), peer.node, now), undefined);
    bench.magicsock.advance(now + 5000);
  };
  say(["192.0.2.1:1", "192.0.2.2:2"], NOW);
  assert.deepEqual(bench.candidates(peer), ["192.0.2.1:1", "192.0.2.2:2"]);
  say(["192.0.2.3:3"], NOW + 10_000);
  assert.deepEqual(bench.candidates(peer), ["192.0.2.1:1", "192.0.2.3:3"]);
});

Deno.test("a pong counts once, from the peer that was pinged, with the transaction ID sent", () => {
  const bench = new Bench();
  const peer = bench.peer({ endpoints: ["198.51.100.7:777"] });
  const other = bench.peer();
  const endpoint = bench.magicsock.endpoint(peer.node.hex)!;
  endpoint.pathForSend(NOW);
  const sentPing = bench.sent.find(({ to }) => to === "198.51.100.7:777")!;
  const ping = parseDisco(openDisco(sentPing.message, peer.box)!);
  assert.ok(typeof ping !== "string" && ping.type === "ping");
  assert.deepEqual(ping.nodeKey, new Uint8Array(bench.self.bytes));
  const seen = parseAddrPort("192.0.2.200:1")!;
  const wrongId = peer.seal(encodePong(new Uint8Array(12), seen));
  assert.equal(bench.udp(wrongId, "198.51.100.7:777"), "disco-unknown-transaction");
  assert.equal(bench.udp(other.seal(encodePong(ping.txId, seen)), "198.51.100.7:777"), "disco-unknown-transaction");
  assert.equal(endpoint.path.address(NOW), "");
  const pong = peer.seal(encodePong(ping.txId, seen));
  assert.equal(bench.udp(pong, "198.51.100.7:777", NOW + 12), undefined);
  assert.equal(endpoint.path.address(NOW + 12), "198.51.100.7:777");
  assert.equal(bench.udp(pong, "198.51.100.7:777", NOW + 12), "disco-unknown-transaction", "taken already");
});

Deno.test("a peer whose pong comes before any ping of its own is told once more where we are, the others not", () => {
  for (const heard of [false, true]) {
    const bench = new Bench();
    const at = "198.51.100.7:777";
    const peer = bench.peer({ endpoints: [at] });
    const answer = (ms: number) => {
      const { message } = bench.sent.findLast(({ to }) => to === at)!;
      const ping = parseDisco(openDisco(message, peer.box)!);
      assert.ok(typeof ping !== "string" && ping.type === "ping");
      bench.sent.length = 0;
      const pong = peer.seal(encodePong(ping.txId, parseAddrPort("192.0.2.200:1")!));
      assert.equal(bench.udp(pong, at, NOW + ms), undefined);
      return bench.take(peer);
    };
    assert.equal(bench.derp(peer.seal(encodeCallMeMaybe([parseAddrPort(at)!])), peer.node, NOW), undefined);
    assert.deepEqual(bench.sent.map(({ to }) => to), [at, "derp-1"]);
    const { message } = bench.sent[0];
    if (heard) assert.equal(bench.udp(peer.ping(), at, NOW + 5), undefined);
    bench.sent.splice(0, Infinity, { to: at, message });
    assert.deepEqual(answer(10), heard ? [] : [["derp-1", "call-me-maybe"]]);
    bench.magicsock.endpoint(peer.node.hex)!.pathForSend(NOW + 100);
    bench.magicsock.advance(NOW + 100 + HEARTBEAT_INTERVAL_MS);
    assert.deepEqual(answer(120 + HEARTBEAT_INTERVAL_MS), [], "the path is no other");
  }
});

Deno.test("a pong by DERP to a ping by UDP proves no UDP path", () => {
  const bench = new Bench();
  const peer = bench.peer({ endpoints: ["198.51.100.7:777"] });
  const endpoint = bench.magicsock.endpoint(peer.node.hex)!;
  endpoint.pathForSend(NOW);
  const ping = parseDisco(openDisco(bench.sent[0].message, peer.box)!);
  assert.ok(typeof ping !== "string" && ping.type === "ping");
  assert.equal(bench.derp(peer.seal(encodePong(ping.txId, parseAddrPort("1.1.1.1:1")!)), peer.node), undefined);
  assert.equal(endpoint.path.address(NOW), "");
});

Deno.test("W8: WireGuard data never moves the path of a peer with disco", () => {
  const bench = new Bench();
  const peer = bench.peer({ endpoints: ["198.51.100.7:777"] });
  const endpoint = bench.magicsock.endpoint(peer.node.hex)!;
  endpoint.noteReceived(bench.id("203.0.113.66:66"), 0, NOW);
  assert.deepEqual({ ...endpoint.pathForSend(NOW) }, { addr: 0, vni: 0, derp: 1 });
  assert.deepEqual(bench.candidates(peer), ["198.51.100.7:777"]);
  assert.equal(endpoint.lastReceive, NOW);
});

Deno.test("W8: a WireGuard-only peer roams to where authenticated data came from, and no earlier", () => {
  const bench = new Bench();
  const peer = bench.peer({ disco: "", derp: 0, endpoints: ["198.51.100.1:1", "198.51.100.2:2"] });
  const endpoint = bench.magicsock.endpoint(peer.node.hex)!;
  const to = (now: number) => {
    const { addr, derp } = endpoint.pathForSend(now);
    assert.equal(derp, 0);
    return bench.addrs.text(addr);
  };
  assert.equal(to(NOW), "198.51.100.1:1");
  assert.equal(to(NOW + 900), "198.51.100.1:1");
  assert.equal(to(NOW + 5000), "198.51.100.2:2", "the handshake's next try goes to the other");
  assert.equal(bench.udp(peer.ping(), "203.0.113.9:9"), "disco-unknown-sender", "it has no disco key");
  assert.equal(to(NOW + 5100), "198.51.100.2:2");
  endpoint.noteReceived(bench.id("203.0.113.9:9"), 0, NOW + 5200);
  assert.equal(to(NOW + 5300), "203.0.113.9:9");
  assert.equal(to(NOW + 900_000), "203.0.113.9:9", "after idleness it is tried there first");
  assert.equal(to(NOW + 914_000), "203.0.113.9:9", "a keepalive may take so long");
  assert.equal(to(NOW + 916_000), "198.51.100.1:1", "and then elsewhere");
  assert.equal(bench.magicsock.nextDeadline(), Infinity, "nothing to ping it with");
});

Deno.test("a peer with neither disco nor endpoints is sent to by DERP", () => {
  const bench = new Bench();
  const peer = bench.peer({ disco: "", derp: 9, endpoints: ["198.51.100.1:1"] });
  assert.deepEqual({ ...bench.magicsock.endpoint(peer.node.hex)!.pathForSend(NOW) }, { addr: 0, vni: 0, derp: 9 });
  assert.equal(bench.sent.length, 0);
});

Deno.test("a disco key of low order is refused, not used", () => {
  const bench = new Bench();
  const peer = bench.outsider();
  bench.magicsock.upsertPeer({ ...peer.config({ endpoints: ["198.51.100.1:1"] }), disco: "00".repeat(32) }, NOW);
  bench.magicsock.endpoint(peer.node.hex)!.pathForSend(NOW);
  assert.equal(bench.sent.length, 0);
  const message = peer.ping();
  message.fill(0, 6, 38);
  assert.equal(bench.udp(message, "198.51.100.1:1"), "low-order-key");
});

Deno.test("upsertPeer() refuses keys that are none", () => {
  const bench = new Bench();
  const good = bench.outsider().config();
  assert.throws(() => bench.magicsock.upsertPeer({ ...good, key: "nodekey" }, NOW), TypeError);
  assert.throws(() => bench.magicsock.upsertPeer({ ...good, disco: "12" }, NOW), TypeError);
});

Deno.test("removePeer() ends its timers, its pings and its say", () => {
  const bench = new Bench();
  const peer = bench.peer({ endpoints: ["198.51.100.7:777"] });
  bench.magicsock.endpoint(peer.node.hex)!.pathForSend(NOW);
  let outcome: PingOutcome | undefined | "waiting" = "waiting";
  bench.magicsock.ping(peer.node.hex, 0, 5000, NOW, (found) => outcome = found);
  bench.magicsock.removePeer(peer.node.hex);
  assert.equal(outcome, undefined);
  assert.equal(bench.magicsock.endpoint(peer.node.hex), undefined);
  assert.equal(bench.udp(peer.ping(), "198.51.100.7:777"), "disco-unknown-sender");
  assert.deepEqual([...bench.magicsock.liveAddresses()], []);
  bench.sent.length = 0;
  bench.magicsock.advance(NOW + 100_000);
  assert.equal(bench.sent.length, 0);
});

Deno.test("pings from a thousand addresses leave a hundred candidates, those in use and control's among them", () => {
  const bench = new Bench();
  const peer = bench.peer({ endpoints: ["192.0.2.1:1"] });
  const endpoint = bench.magicsock.endpoint(peer.node.hex)!;
  assert.equal(bench.udp(peer.ping(), "203.0.113.9:9"), undefined);
  endpoint.pathForSend(NOW);
  const { message } = bench.sent.find((sent) =>
    sent.to === "203.0.113.9:9" && sent.message.length === DISCO_PING_SIZE
  )!;
  const ping = parseDisco(openDisco(message, peer.box)!);
  assert.ok(typeof ping !== "string" && ping.type === "ping");
  const pong = peer.seal(encodePong(ping.txId, parseAddrPort("192.0.2.200:1")!));
  assert.equal(bench.udp(pong, "203.0.113.9:9", NOW + 1), undefined);
  for (let i = 0; i < 1000; i++) {
    assert.equal(bench.udp(peer.ping(), `198.51.${i >> 8}.${i & 255}:5`, NOW + i), undefined);
  }
  bench.magicsock.advance(NOW + 5001);
  const known = bench.candidates(peer);
  assert.equal(known.length, MAX_CANDIDATES);
  assert.ok(known.includes("192.0.2.1:1"), "control's stays");
  assert.ok(known.includes("203.0.113.9:9"), "the one in use stays");
  assert.ok(known.includes("198.51.3.231:5"), "the last heard stays");
  assert.ok(!known.includes("198.51.0.0:5"), "the first heard went");
});

Deno.test("handleDisco() never throws on 100,000 random, mutated and sealed-but-odd messages", () => {
  const seed = 0xd15c00;
  const bench = new Bench(seed);
  const { random } = bench;
  const peer = bench.peer({ endpoints: ["198.51.100.7:777"] });
  const payloads = [
    encodePing(random.bytes(12), peer.node, 3),
    encodePong(random.bytes(12), parseAddrPort("192.0.2.1:1")!),
    encodeCallMeMaybe([parseAddrPort("[2001:db8::1]:1")!, parseAddrPort("192.0.2.1:1")!]),
    ...relayVectors.relay.map(({ payload }) => fromHex(payload)!),
  ];
  const wires = payloads.map((payload) => peer.seal(payload));
  const reasons: readonly (string | undefined)[] = DROP_REASONS;
  const seen = new Map<string, number>();
  for (let i = 0; i < 100_000; i++) {
    let message: Uint8Array;
    if (i % 20 === 0) message = peer.seal(mutate(random, random.pick(payloads)));
    else message = random.chance(0.2) ? random.bytes(random.int(120)) : mutate(random, random.pick(wires));
    const now = NOW + i;
    const drop = random.chance(0.5)
      ? bench.udp(message, `10.0.0.${random.int(256)}:1`, now)
      : bench.derp(message, peer.node, now);
    assert.ok(drop === undefined || reasons.includes(drop), `seed ${seed}, message ${i}`);
    seen.set(drop ?? "ok", (seen.get(drop ?? "ok") ?? 0) + 1);
    bench.sent.length = 0;
  }
  console.log(`seed ${seed}:`, Object.fromEntries(seen));
  for (
    const kind of [
      "ok",
      "disco-envelope",
      "disco-decrypt",
      "disco-malformed",
      "unknown-type",
      "disco-rate",
      "relay-session",
    ]
  ) {
    assert.ok(seen.has(kind), `seed ${seed}: nothing was ${kind}`);
  }
});
