/** The forwarder on sockets in memory that coalesce as UDP_GRO does. */
import assert from "node:assert/strict";
import { DropCounters } from "../../../base/drops.ts";
import { parseAddrPort } from "../../../base/ip.ts";
import { DiscoPrivate } from "../../../base/keys.ts";
import { GROUP_BYTES, GROUP_SEGMENTS } from "../../../engine/dataplane/layout.ts";
import { Ring } from "../../../engine/dataplane/ring.ts";
import { encapsulate, GENEVE_DISCO, GENEVE_WIREGUARD } from "../../../engine/geneve.ts";
import { Forwarder, FORWARDER_BYTES } from "../../../engine/peer_relay/forwarder.ts";
import {
  decodeRelayRecord,
  encodeRelayRecord,
  RECORD_RELAY,
  type RelayCommand,
  type RelayEvent,
  type RelayStatus,
} from "../../../engine/peer_relay/records.ts";
import type { AddrId, Arena, UdpPort } from "../../../engine/ports.ts";
import { MemoryAddrs, memoryArena, memoryPoll, memoryWake } from "../../support/memory_ports.ts";
import { SeededRandom } from "../../support/random.ts";
import { BindingClient } from "./client.ts";

/** What one receive gives: datagrams of one source, all but the last of one length. */
interface Batch {
  readonly from: string;
  readonly datagrams: readonly Uint8Array[];
}

/** A socket that hands over what is in its inbox, and remembers what it sent, group by group. */
class GroSocket implements UdpPort {
  readonly fd: number;
  readonly family: 4 | 6;
  readonly port = 7777;
  readonly offloads = { gso: true, gro: true };
  readonly unreachable = 0;
  readonly inbox: Batch[] = [];
  readonly sent: { to: string; datagrams: Uint8Array[] }[] = [];
  segment = 0;
  source: AddrId = 0;
  readonly #arena: Arena;
  readonly #addrs: MemoryAddrs;
  #queued: (() => void)[] = [];

  constructor(family: 4 | 6, arena: Arena, addrs: MemoryAddrs) {
    [this.family, this.#arena, this.#addrs, this.fd] = [family, arena, addrs, family];
  }
  recv(offset: number, max: number): number {
    const batch = this.inbox.shift();
    if (batch === undefined) return -11;
    const { ip, port } = parseAddrPort(batch.from)!;
    this.source = this.#addrs.intern(ip, port);
    let at = offset;
    for (const datagram of batch.datagrams) {
      this.#arena.u8.set(datagram, at);
      at += datagram.length;
    }
    assert.ok(at - offset <= max);
    this.segment = batch.datagrams[0].length;
    return at - offset;
  }
  queue(to: AddrId, offset: number, length: number, segment: number): boolean {
    if (this.#queued.length === 32) return false;
    assert.ok(segment <= length && Math.ceil(length / segment) <= GROUP_SEGMENTS);
    assert.ok(length <= GROUP_BYTES || segment === length);
    this.#queued.push(() => {
      const datagrams: Uint8Array[] = [];
      for (let at = offset; at < offset + length; at += segment) {
        datagrams.push(this.#arena.u8.slice(at, Math.min(at + segment, offset + length)));
      }
      this.sent.push({ to: this.#addrs.text(to), datagrams });
    });
    return true;
  }
  flush(): number {
    for (const send of this.#queued.splice(0)) send();
    return 0;
  }
  close(): void {}
}

class Bench {
  readonly random: SeededRandom;
  readonly addrs = new MemoryAddrs();
  readonly drops = new DropCounters();
  readonly udp4: GroSocket;
  readonly udp6: GroSocket;
  readonly forwarder: Forwarder;
  readonly server: DiscoPrivate;
  readonly #commands = Ring.allocate(1 << 16);
  readonly #events = Ring.allocate(1 << 16);
  readonly #wake = memoryWake();
  now = 1_000;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.server = DiscoPrivate.generate(this.random.bytes);
    const arena = memoryArena(FORWARDER_BYTES + (1 << 20));
    this.udp4 = new GroSocket(4, arena, this.addrs);
    this.udp6 = new GroSocket(6, arena, this.addrs);
    this.forwarder = new Forwarder({
      arena,
      addrs: this.addrs,
      sockets: { udp4: this.udp4, udp6: this.udp6 },
      poll: memoryPoll(() =>
        (this.#wake.pending ? 1 : 0) | (this.udp4.inbox.length > 0 ? 2 : 0) | (this.udp6.inbox.length > 0 ? 4 : 0)
      ),
      wake: this.#wake,
      commands: this.#commands,
      events: this.#events,
      drops: this.drops,
      disco: this.server,
      random: this.random.bytes,
      monotonic: () => this.now,
    });
  }

  turn(): RelayEvent[] {
    while (this.udp4.inbox.length + this.udp6.inbox.length > 0 || this.#wake.pending) this.forwarder.turn(0);
    const events: RelayEvent[] = [];
    while (this.#events.read((_type, payload) => events.push(decodeRelayRecord<RelayEvent>(payload))));
    return events;
  }

  command(command: RelayCommand): RelayEvent[] {
    this.#commands.write(RECORD_RELAY, encodeRelayRecord(command));
    this.#wake.wake();
    return this.turn();
  }

  allocate(a: BindingClient, b: BindingClient) {
    const clients = [a.disco.public.hex, b.disco.public.hex] as const;
    const request = { peer: "", disco: clients[0], clients, generation: 1 };
    const [event] = this.command({ kind: "allocate", id: 1, request });
    assert.ok(event.kind === "allocated");
    return event.session;
  }

  receive(from: string, ...datagrams: Uint8Array[]): void {
    (from.startsWith("[") ? this.udp6 : this.udp4).inbox.push({ from, datagrams });
  }

  /** All datagrams sent since the last call, in the order of each destination. */
  taken(): Map<string, Uint8Array[]> {
    const byTo = new Map<string, Uint8Array[]>();
    for (const { to, datagrams } of [...this.udp4.sent.splice(0), ...this.udp6.sent.splice(0)]) {
      byTo.set(to, [...byTo.get(to) ?? [], ...datagrams]);
    }
    return byTo;
  }

  bind(client: BindingClient, other: BindingClient, vni: number, from: string): void {
    const server = this.server.public.bytes;
    this.receive(from, client.message("bind", server, other, { vni }));
    this.turn();
    const reply = this.taken().get(from)![0];
    const fields = { ...client.challenge(server, reply), remote: other.disco.public.bytes };
    this.receive(from, client.message("bind-answer", server, other, fields));
    this.turn();
    assert.equal(this.taken().size, 0);
  }

  /** An open session between two addresses. */
  open(at: string, other: string): number {
    const [a, b] = [new BindingClient(this.random), new BindingClient(this.random)];
    const { vni } = this.allocate(a, b)!;
    this.bind(a, b, vni, at);
    this.bind(b, a, vni, other);
    return vni;
  }

  status(): RelayStatus {
    const [event] = this.command({ kind: "status", id: 2 });
    assert.ok(event.kind === "status");
    return event.status;
  }

  data(vni: number, length: number): Uint8Array {
    return encapsulate({ protocol: GENEVE_WIREGUARD, control: false, vni }, this.random.bytes(length));
  }
}

const A = "192.0.2.1:1";
const B = "[2001:db8::2]:2";

Deno.test("the forwarder gives no session before it knows where it can be reached, and then says where", () => {
  const bench = new Bench(1);
  const [a, b] = [new BindingClient(bench.random), new BindingClient(bench.random)];
  assert.equal(bench.allocate(a, b), undefined);
  bench.command({ kind: "addresses", addrs: ["192.0.2.9:7777", "[2001:db8::9]:7777", "nonsense"] });
  assert.deepEqual(bench.allocate(a, b)?.addrs, ["192.0.2.9:7777", "[2001:db8::9]:7777"]);
  assert.equal(bench.allocate(a, b)?.server, bench.server.public.hex);
});

Deno.test("datagrams joined by GRO go on joined, from one family to the other, and are counted", () => {
  const bench = new Bench(2);
  bench.command({ kind: "addresses", addrs: ["192.0.2.9:7777"] });
  const vni = bench.open(A, B);
  const datagrams = [...Array.from({ length: 40 }, () => bench.data(vni, 1312)), bench.data(vni, 700)];
  bench.receive(A, ...datagrams);
  bench.receive(B, bench.data(vni, 32));
  bench.turn();
  assert.equal(bench.udp6.sent.length, 1, "one group");
  assert.deepEqual(bench.udp6.sent[0], { to: B, datagrams });
  assert.equal(bench.udp4.sent.length, 1);
  const { forwarded, open } = bench.status();
  assert.equal(open, 1);
  const bytes = datagrams.reduce((sum, each) => sum + each.length, 0);
  assert.deepEqual(forwarded.filter(({ packets }) => packets > 0), [
    { in: 4, out: 6, packets: 41, bytes },
    { in: 6, out: 4, packets: 1, bytes: 40 },
  ]);
});

Deno.test("a batch of several sessions, handshakes and junk is taken apart as if each had come alone", () => {
  const seed = 0xf0e3;
  const [whole, single] = [new Bench(seed), new Bench(seed)];
  const { random } = whole;
  const addresses = ["192.0.2.1:1", "192.0.2.2:2", "[2001:db8::3]:3", "198.51.100.4:4"];
  const sessions = [[0, 1], [0, 2], [0, 3], [2, 3]].map(([a, b]) => {
    const vnis = [whole, single].map((bench) => {
      bench.command({ kind: "addresses", addrs: ["192.0.2.9:7777"] });
      return bench.open(addresses[a], addresses[b]);
    });
    assert.equal(vnis[0], vnis[1]);
    return vnis[0];
  });
  for (let round = 0; round < 300; round++) {
    const from = random.pick(addresses);
    const length = 24 + random.int(1400);
    const count = 1 + random.int(40);
    const datagrams = Array.from({ length: count }, (_, i) => {
      const bytes = i === count - 1 ? 1 + random.int(length) : length;
      const vni = random.chance(0.9) ? random.pick(sessions) : random.int(20);
      const kind = random.int(20);
      const whole = kind === 0
        ? random.bytes(bytes)
        : kind === 1
        ? encapsulate({ protocol: GENEVE_DISCO, control: true, vni }, random.bytes(length))
        : kind === 2
        ? encapsulate({ protocol: GENEVE_DISCO, control: false, vni }, random.bytes(length))
        : encapsulate({ protocol: GENEVE_WIREGUARD, control: false, vni }, random.bytes(length));
      return whole.subarray(0, bytes);
    });
    whole.receive(from, ...datagrams);
    for (const datagram of datagrams) single.receive(from, datagram);
    whole.turn();
    single.turn();
    assert.deepEqual(whole.taken(), single.taken(), `seed ${seed}, round ${round}`);
  }
  assert.deepEqual(whole.drops.snapshot(), single.drops.snapshot());
  const [a, b] = [whole.status(), single.status()];
  assert.deepEqual(a.forwarded, b.forwarded);
  assert.ok(a.forwarded.reduce((sum, { packets }) => sum + packets, 0) > 500);
});

Deno.test("what looks like STUN goes to the main thread, so often and no more", () => {
  const bench = new Bench(4);
  const answer = Uint8Array.from([0x01, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...new Uint8Array(12)]);
  for (let i = 0; i < 1_000; i++) bench.receive("203.0.113.1:3478", answer);
  const events = bench.turn();
  assert.equal(events[0].kind === "stun" && events[0].from, "203.0.113.1:3478");
  assert.ok(events.length <= 101, `${events.length} handed over`);
  assert.equal(bench.drops.get("rate-limited"), 1_000 - events.length);
});

Deno.test("strangers and their floods are dropped by count, and nothing is sent for them", () => {
  const bench = new Bench(5);
  bench.command({ kind: "addresses", addrs: ["192.0.2.9:7777"] });
  const vni = bench.open(A, B);
  for (let i = 0; i < 500; i++) bench.receive(`203.0.113.7:${i + 1}`, bench.data(vni, 100), bench.data(vni + 1, 100));
  bench.turn();
  assert.equal(bench.taken().size, 0);
  assert.equal(bench.drops.get("relay-session"), 1_000);
});
