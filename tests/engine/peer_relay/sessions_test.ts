import assert from "node:assert/strict";
import { equalBytes } from "../../../base/bytes.ts";
import { parseAddrPort } from "../../../base/ip.ts";
import { DiscoPrivate } from "../../../base/keys.ts";
import { GENEVE_LENGTH } from "../../../engine/geneve.ts";
import type { BindFields } from "../../../engine/magicsock/disco_relay.ts";
import {
  BIND_LIFETIME_MS,
  EXPIRY_INTERVAL_MS,
  MAX_CONNECTING,
  SECRET_ROTATION_MS,
  SESSION_CONTROL_BURST,
  STEADY_LIFETIME_MS,
} from "../../../engine/peer_relay/constants.ts";
import { RelaySessions } from "../../../engine/peer_relay/sessions.ts";
import type { AddrId } from "../../../engine/ports.ts";
import { MemoryAddrs } from "../../support/memory_ports.ts";
import { mutate, SeededRandom } from "../../support/random.ts";
import { BindingClient } from "./client.ts";

/** A server with two clients, and what they do to it. */
class Bench {
  readonly random: SeededRandom;
  readonly addrs = new MemoryAddrs();
  readonly disco: DiscoPrivate;
  readonly sessions: RelaySessions;
  readonly a: BindingClient;
  readonly b: BindingClient;
  now = 1_000;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.disco = DiscoPrivate.generate(this.random.bytes);
    this.sessions = new RelaySessions({ disco: this.disco, random: this.random.bytes, addrs: this.addrs });
    this.a = new BindingClient(this.random);
    this.b = new BindingClient(this.random);
  }

  get server(): Uint8Array {
    return this.disco.public.bytes;
  }

  at(text: string): AddrId {
    const { ip, port } = parseAddrPort(text)!;
    return this.addrs.intern(ip, port);
  }

  allocate(a = this.a, b = this.b) {
    return this.sessions.allocate(a.disco.public.hex, a.disco.public.bytes, b.disco.public.bytes, this.now);
  }

  /** Hands over a whole control packet. */
  control(vni: number, from: string, packet: Uint8Array) {
    return this.sessions.handleControl(vni, this.at(from), packet.subarray(GENEVE_LENGTH), this.now);
  }

  /** The first half of the handshake. */
  bind(client: BindingClient, other: BindingClient, vni: number, from: string, generation = 7): BindFields {
    const reply = this.control(vni, from, client.message("bind", this.server, other, { vni, generation }));
    assert.ok(reply instanceof Uint8Array, String(reply));
    return client.challenge(this.server, reply);
  }

  /** The second. */
  answer(client: BindingClient, other: BindingClient, from: string, fields: BindFields) {
    const remote = other.disco.public.bytes;
    return this.control(fields.vni, from, client.message("bind-answer", this.server, other, { ...fields, remote }));
  }

  bound(client: BindingClient, other: BindingClient, vni: number, from: string): void {
    assert.equal(this.answer(client, other, from, this.bind(client, other, vni, from)), undefined);
  }

  /** A session that is open: a at 192.0.2.1:1, b at [2001:db8::2]:2. */
  open(): number {
    const { vni } = this.allocate()!;
    this.bound(this.a, this.b, vni, A);
    this.bound(this.b, this.a, vni, B);
    return vni;
  }

  forward(vni: number, from: string, bytes = 100): string {
    return this.addrs.text(this.sessions.forward(vni, this.at(from), 1, bytes, this.now));
  }
}

const A = "192.0.2.1:1";
const B = "[2001:db8::2]:2";
const NOWHERE = "0.0.0.0:0";

Deno.test("two clients that bound are forwarded to each other, and nobody else is", () => {
  const bench = new Bench(1);
  const { vni, clients, lamportId } = bench.allocate()!;
  assert.equal(lamportId, 1n);
  assert.deepEqual(
    new Set(clients.map((key) => key.toHex())),
    new Set([bench.a, bench.b].map((c) => c.disco.public.hex)),
  );
  assert.equal(bench.forward(vni, A), NOWHERE);
  bench.bound(bench.a, bench.b, vni, A);
  assert.equal(bench.forward(vni, A), NOWHERE, "the other has not bound");
  assert.deepEqual(bench.sessions.counts(), { connecting: 1, open: 0 });
  bench.bound(bench.b, bench.a, vni, B);
  assert.equal(bench.forward(vni, A, 1000), B);
  assert.equal(bench.forward(vni, B), A);
  assert.equal(bench.forward(vni, "192.0.2.1:2"), NOWHERE, "another port");
  assert.equal(bench.forward(vni + 1, A), NOWHERE, "another session");
  assert.deepEqual(bench.sessions.counts(), { connecting: 0, open: 1 });
  const [status] = bench.sessions.status(10);
  assert.deepEqual(
    status.clients.map(({ endpoint, packets, bytes }) => [endpoint, packets, bytes]).sort(),
    [[A, 1, 1000], [B, 1, 100]],
  );
});

Deno.test("a pair has one session, whoever asks, and another pair another", () => {
  const bench = new Bench(2);
  const first = bench.allocate()!;
  assert.deepEqual(bench.allocate(bench.b, bench.a), first);
  const other = bench.allocate(bench.a, new BindingClient(bench.random))!;
  assert.notEqual(other.vni, first.vni);
  assert.ok(other.lamportId > first.lamportId);
});

Deno.test("no session is had with oneself or with the server's own key", () => {
  const bench = new Bench(3);
  assert.equal(bench.allocate(bench.a, bench.a), undefined);
  const server = { disco: bench.disco } as BindingClient;
  assert.equal(bench.allocate(bench.a, server), undefined);
});

Deno.test("a challenge is no longer than what asked for it, and answered from its own address only", () => {
  const bench = new Bench(4);
  const { vni } = bench.allocate()!;
  const bind = bench.a.message("bind", bench.server, bench.b, { vni });
  const reply = bench.control(vni, A, bind) as Uint8Array;
  assert.ok(reply.length <= bind.length, "no amplification");
  const challenge = bench.a.challenge(bench.server, reply);
  assert.equal(bench.answer(bench.a, bench.b, "192.0.2.1:9", challenge), "relay-session");
  assert.equal(bench.answer(bench.a, bench.b, "192.0.2.9:1", challenge), "relay-session");
  assert.equal(bench.answer(bench.a, bench.b, A, { ...challenge, generation: 8 }), "relay-session");
  assert.equal(bench.answer(bench.a, bench.b, A, { ...challenge, challenge: new Uint8Array(32) }), "relay-session");
  assert.equal(bench.answer(bench.a, bench.b, A, challenge), undefined);
  assert.equal(bench.answer(bench.a, bench.b, A, challenge), "relay-session", "once");
});

Deno.test("what is not a client's own, right handshake is refused by name", () => {
  const bench = new Bench(5);
  const { vni } = bench.allocate()!;
  const stranger = new BindingClient(bench.random);
  const cases: [string, Uint8Array][] = [
    ["disco-unknown-sender", stranger.message("bind", bench.server, bench.b, { vni })],
    ["relay-session", bench.a.message("bind", bench.server, stranger, { vni })],
    ["relay-session", bench.a.message("bind", bench.server, bench.b, { vni, generation: 0 })],
    ["relay-session", bench.a.message("bind-challenge", bench.server, bench.b, { vni })],
    ["disco-decrypt", bench.a.message("bind", stranger.disco.public.bytes, bench.b, { vni })],
  ];
  for (const [drop, packet] of cases) assert.equal(bench.control(vni, A, packet), drop);
  const elsewhere = bench.a.message("bind", bench.server, bench.b, { vni: vni + 1 });
  assert.equal(bench.control(vni, A, elsewhere), "relay-session", "sealed for another session");
  assert.equal(bench.control(vni + 1, A, elsewhere), "relay-session", "there is no such session");
});

Deno.test("a challenge is good under the secret it was made with and the next, and not after", () => {
  for (
    const [waits, good] of [[[0], true], [[SECRET_ROTATION_MS], true], [
      [SECRET_ROTATION_MS, SECRET_ROTATION_MS],
      false,
    ], [
      [10 * SECRET_ROTATION_MS],
      false,
    ]] as const
  ) {
    const bench = new Bench(6);
    const vni = bench.open();
    const challenge = bench.bind(bench.a, bench.b, vni, "192.0.2.77:7");
    for (const wait of waits) {
      bench.now += wait;
      // Another client's handshake turns the secrets.
      bench.bind(bench.b, bench.a, vni, B);
    }
    assert.equal(bench.answer(bench.a, bench.b, "192.0.2.77:7", challenge), good ? undefined : "relay-session");
  }
});

Deno.test("a client that binds again from elsewhere moves its end, and only then", () => {
  const bench = new Bench(7);
  const vni = bench.open();
  const moved = "198.51.100.1:9";
  const challenge = bench.bind(bench.a, bench.b, vni, moved, 8);
  assert.equal(bench.forward(vni, B), A);
  assert.equal(bench.answer(bench.a, bench.b, moved, challenge), undefined);
  assert.equal(bench.forward(vni, B), moved);
  assert.equal(bench.forward(vni, A), NOWHERE);
});

Deno.test("a session ends 30 s after it was given when one client does not come, VNIs are not used again at once", () => {
  const bench = new Bench(8);
  const { vni } = bench.allocate()!;
  bench.bound(bench.a, bench.b, vni, A);
  bench.now += BIND_LIFETIME_MS;
  bench.sessions.advance(bench.now);
  assert.equal(bench.allocate()!.vni, vni, "still the same");
  bench.now += EXPIRY_INTERVAL_MS;
  bench.sessions.advance(bench.now);
  assert.deepEqual(bench.sessions.counts(), { connecting: 0, open: 0 });
  assert.equal(bench.sessions.nextDeadline(), Infinity, "nothing to do while there is no session");
  assert.notEqual(bench.allocate()!.vni, vni);
});

Deno.test("an open session ends when one client is silent for five minutes, however much the other sends", () => {
  const bench = new Bench(9);
  const vni = bench.open();
  for (let i = 0; i < 40; i++) {
    bench.now += EXPIRY_INTERVAL_MS;
    bench.forward(vni, A);
    bench.forward(vni, B);
    bench.sessions.advance(bench.now);
  }
  assert.equal(bench.forward(vni, A), B);
  const silentSince = bench.now;
  while (bench.forward(vni, A) === B) {
    bench.now += EXPIRY_INTERVAL_MS;
    bench.sessions.advance(bench.now);
  }
  const silence = bench.now - silentSince;
  assert.ok(silence > STEADY_LIFETIME_MS && silence <= STEADY_LIFETIME_MS + EXPIRY_INTERVAL_MS, `${silence} ms`);
});

Deno.test("one client has a limited number of sessions that nobody binds to, and gets more once those are over", () => {
  const bench = new Bench(10);
  const others = Array.from({ length: MAX_CONNECTING + 1 }, () => new BindingClient(bench.random));
  for (const other of others.slice(0, MAX_CONNECTING)) assert.ok(bench.allocate(bench.a, other));
  assert.equal(bench.allocate(bench.a, others[MAX_CONNECTING]), undefined);
  assert.ok(bench.allocate(bench.b, others[MAX_CONNECTING]), "others are not concerned");
  bench.now += BIND_LIFETIME_MS + EXPIRY_INTERVAL_MS;
  bench.sessions.advance(bench.now);
  assert.ok(bench.allocate(bench.a, others[MAX_CONNECTING]));
});

Deno.test("a flood of handshakes costs a session its own share, and data goes on", () => {
  const bench = new Bench(11);
  const vni = bench.open();
  const bind = bench.a.message("bind", bench.server, bench.b, { vni });
  const results = Array.from({ length: 1_000 }, (_, i) => bench.control(vni, `203.0.113.1:${i + 1}`, bind));
  const opened = results.filter((result) => result instanceof Uint8Array).length;
  assert.ok(opened <= SESSION_CONTROL_BURST, `${opened} opened`);
  assert.equal(results.filter((result) => result === "rate-limited").length, 1_000 - opened);
  assert.equal(bench.forward(vni, A), B);
  const other = bench.allocate(bench.a, new BindingClient(bench.random))!;
  assert.notEqual(other.vni, vni);
  bench.now += 1_000;
  bench.bound(bench.a, bench.b, vni, A);
});

Deno.test("handleControl() never throws on 20,000 mutated handshakes, and none of them binds", () => {
  const seed = 0x5e55;
  const bench = new Bench(seed);
  const { vni } = bench.allocate()!;
  const bases = [
    bench.a.message("bind", bench.server, bench.b, { vni }),
    bench.b.message("bind-answer", bench.server, bench.a, { vni }),
  ];
  for (let i = 0; i < 20_000; i++) {
    const base = bench.random.pick(bases);
    const packet = mutate(bench.random, base);
    const result = bench.sessions.handleControl(vni, bench.at(A), packet.subarray(GENEVE_LENGTH), bench.now);
    // What is in front of the disco message is not the sessions' business.
    if (result instanceof Uint8Array) {
      assert.ok(equalBytes(packet.slice(8, base.length), base.slice(8)), `seed ${seed}`);
    }
    if (i % 50 === 0) bench.now += 50;
  }
  assert.deepEqual(bench.sessions.status(1)[0].clients.map(({ endpoint }) => endpoint), ["", ""]);
});
