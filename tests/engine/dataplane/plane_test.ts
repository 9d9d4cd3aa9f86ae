import assert from "node:assert/strict";
import { BoxKey } from "../../../base/box.ts";
import { parseIp } from "../../../base/ip.ts";
import { DiscoPrivate, NodePrivate } from "../../../base/keys.ts";
import { VIRTIO_LENGTH } from "../../../engine/dataplane/virtio.ts";
import { isDisco } from "../../../engine/magicsock/classify.ts";
import { encodePing, sealDisco } from "../../../engine/magicsock/disco.ts";
import { CookieGenerator } from "../../../engine/wg/cookie.ts";
import { createInitiation } from "../../../engine/wg/handshake.ts";
import { udpPacket } from "../../support/packets.ts";
import { PlanePair } from "../../support/plane_pair.ts";
import { mutate, SeededRandom } from "../../support/random.ts";
import type { PlaneNode } from "../../support/plane_pair.ts";

const SEED = 20261122;

function packet(from: PlaneNode, to: PlaneNode, text: string): Uint8Array {
  const ip = udpPacket({
    source: parseIp(from.address)!,
    destination: parseIp(to.address)!,
    sourcePort: 5,
    destinationPort: 6,
    payload: new TextEncoder().encode(text),
  });
  const withHeader = new Uint8Array(VIRTIO_LENGTH + ip.length);
  withHeader.set(ip, VIRTIO_LENGTH);
  return withHeader;
}

/** The UDP payloads written to the TUN; what was joined into a super-packet is told apart by its segment size. */
function texts(node: PlaneNode): string[] {
  return node.tun.written.flatMap((written) => {
    const payload = new TextDecoder().decode(written.subarray(VIRTIO_LENGTH + 28));
    const size = written[4] || payload.length;
    return Array.from({ length: Math.ceil(payload.length / size) }, (_, i) => payload.slice(i * size, (i + 1) * size));
  });
}

function joined(helped = false): PlanePair {
  const pair = new PlanePair(new SeededRandom(SEED), helped);
  pair.relay = true;
  pair.a.configure([pair.b.asPeer({ derp: 1 })], { homeDerp: 1 });
  pair.b.configure([pair.a.asPeer({ derp: 1 })], { homeDerp: 1 });
  pair.settle();
  return pair;
}

Deno.test("Plane stages what came before the handshake and delivers it in order after it", () => {
  const pair = joined();
  for (const text of ["one", "two", "three"]) pair.a.tun.toRead.push(packet(pair.a, pair.b, text));
  pair.settle();
  pair.advance(200);
  assert.deepEqual(texts(pair.b), ["one", "two", "three"]);
  pair.b.tun.toRead.push(packet(pair.b, pair.a, "back"));
  pair.settle();
  assert.deepEqual(texts(pair.a), ["back"]);
});

Deno.test("Plane's pings have left when a CallMeMaybe goes to the relay, however long the turn is", () => {
  const pair = joined();
  pair.a.command({ kind: "endpoints", endpoints: [{ addr: pair.a.endpoint, type: 1 }], fresh: true });
  pair.settle();
  const pinged: boolean[] = [];
  pair.a.relaying = (payload) => {
    if (isDisco(payload, 0, payload.length)) pinged.push(pair.network.log.some(({ to }) => to === pair.b.endpoint));
  };
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "hello"));
  pair.settle();
  assert.ok(pinged.length > 0 && pinged.every((before) => before), pinged.join());
});

Deno.test("Plane goes from relay to direct by disco, and back to the relay when UDP dies", () => {
  const pair = new PlanePair(new SeededRandom(SEED));
  pair.relay = true;
  pair.network.pass = () => false;
  pair.a.configure([pair.b.asPeer({ derp: 1 })], { homeDerp: 1 });
  pair.b.configure([pair.a.asPeer({ derp: 1 })], { homeDerp: 1 });
  for (const node of [pair.a, pair.b]) {
    node.command({ kind: "endpoints", endpoints: [{ addr: node.endpoint, type: 1 }], fresh: true });
  }
  let sent = 0;
  const talk = (ms: number) => {
    for (let left = ms; left > 0; left -= 200) {
      pair.a.tun.toRead.push(packet(pair.a, pair.b, `packet ${sent++}`));
      pair.advance(200);
    }
  };
  const path = () => pair.a.events.filter((event) => event.kind === "path").at(-1)?.status.currentAddress ?? "";
  talk(4_000);
  assert.equal(texts(pair.b).length, sent, "every packet arrives by the relay");
  assert.equal(path(), "");
  pair.network.pass = () => true;
  talk(10_000);
  assert.equal(path(), pair.b.endpoint, "direct within 10 s");
  assert.equal(texts(pair.b).length, sent);
  pair.network.pass = () => false;
  talk(10_000);
  const lost = sent - new Set(texts(pair.b)).size;
  assert.ok(lost <= 7_000 / 200, `${lost} packets lost while the dead path was trusted, 6.5 s at most`);
  const before = new Set(texts(pair.b)).size;
  talk(2_000);
  assert.equal(new Set(texts(pair.b)).size - before, 10, "the relay carries all again");
});

Deno.test("Plane leaves a path that this machine has no route for at once, and takes it again when it has", () => {
  const pair = joined();
  for (const node of [pair.a, pair.b]) {
    node.command({ kind: "endpoints", endpoints: [{ addr: node.endpoint, type: 1 }], fresh: true });
  }
  let sent = 0;
  const send = () => pair.a.tun.toRead.push(packet(pair.a, pair.b, `packet ${sent++}`));
  const path = () => pair.a.events.filter((event) => event.kind === "path").at(-1)?.status.currentAddress ?? "";
  send();
  pair.advance(1_000);
  assert.equal(path(), pair.b.endpoint);
  pair.network.unreachable.add(pair.b.endpoint);
  send();
  pair.settle();
  assert.equal(path(), "", "the first that cannot be sent says so");
  for (let i = 0; i < 50; i++) {
    send();
    pair.advance(100);
  }
  assert.equal(texts(pair.b).length, sent - 1, "and is the only one lost");
  pair.network.unreachable.clear();
  for (let i = 0; i < 60; i++) {
    send();
    pair.advance(100);
  }
  assert.equal(path(), pair.b.endpoint);
  assert.equal(new Set(texts(pair.b)).size, sent - 1);
});

Deno.test("W3: Plane pads to 16 bytes, and checks the inner length against what was decrypted", () => {
  const pair = joined();
  for (let size = 1; size < 40; size++) pair.a.tun.toRead.push(packet(pair.a, pair.b, "x".repeat(size)));
  pair.advance(200);
  assert.equal(pair.b.tun.written.length, 39);
  const data = pair.network.log.filter(({ payload }) => payload[0] === 4);
  assert.ok(data.length > 0);
  for (const { payload } of data) assert.equal((payload.length - 32) % 16, 0);
  for (const [i, written] of pair.b.tun.written.entries()) assert.equal(written.length, VIRTIO_LENGTH + 28 + i + 1);
  pair.a.tamper = (plaintext) =>
    new DataView(plaintext.buffer, plaintext.byteOffset).setUint16(2, plaintext.length + 1);
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "longer than it is"));
  pair.settle();
  assert.equal(pair.b.drops.get("inner-length"), 1);
  assert.equal(pair.b.tun.written.length, 39);
});

Deno.test("W4: Plane drops an inner source that is not the peer's, and counts it", () => {
  const pair = joined();
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "hello"));
  pair.settle();
  pair.a.tamper = (plaintext) => plaintext.set(parseIp("100.64.0.99")!, 12);
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "spoofed"));
  pair.settle();
  assert.deepEqual(texts(pair.b), ["hello"]);
  assert.equal(pair.b.drops.get("source-not-allowed"), 1);
});

Deno.test("Plane lets a jailed peer answer but not begin", () => {
  const pair = new PlanePair(new SeededRandom(SEED));
  pair.relay = true;
  pair.a.configure([pair.b.asPeer({ derp: 1, jailed: true })], { homeDerp: 1 });
  pair.b.configure([pair.a.asPeer({ derp: 1 })], { homeDerp: 1 });
  pair.settle();
  pair.b.tun.toRead.push(packet(pair.b, pair.a, "uninvited"));
  pair.settle();
  assert.deepEqual(texts(pair.a), []);
  assert.equal(pair.a.drops.get("filter-shields"), 1);
});

Deno.test("W9: Plane wakes nobody for who only knows the public keys, and a peer for what it sealed itself", () => {
  const random = new SeededRandom(SEED);
  const pair = new PlanePair(random);
  const sleepers = Array.from({ length: 150 }, (_, i) => {
    const [node, disco] = [NodePrivate.generate(random.bytes), DiscoPrivate.generate(random.bytes)];
    const allowedIps = [`100.65.0.${i}/32`];
    return { node, disco, config: pair.b.asPeer({ key: node.public.hex, disco: disco.public.hex, allowedIps }) };
  });
  pair.relay = true;
  pair.a.configure([pair.b.asPeer({ derp: 1 }), ...sleepers.map(({ config }) => config)], { homeDerp: 1 });
  pair.b.configure([pair.a.asPeer({ derp: 1 })], { homeDerp: 1 });
  pair.settle();
  const stranger = DiscoPrivate.generate(random.bytes);
  const box = new BoxKey(stranger.sharedSecret(pair.a.disco.public.bytes)!);
  const macs = new CookieGenerator(pair.a.key.public);
  /** What somebody makes who has the secret `own`, and says it is another. */
  const forge = ({ node, disco }: (typeof sleepers)[number], own: Uint8Array, sealing: BoxKey) => {
    const random32 = random.bytes(32);
    const initiation = createInitiation(node, pair.a.key.public, own, random32, new Uint8Array(12).fill(9), 7);
    assert.ok(typeof initiation !== "string");
    macs.addMacs(initiation.message, 0);
    const ping = encodePing(random.bytes(12), node.public, 0);
    return [initiation.message, sealDisco(disco.public, sealing, random.bytes(24), ping)];
  };
  const send = (payload: Uint8Array) => {
    pair.network.send({ from: "203.0.113.9:1", to: pair.a.endpoint, payload });
    pair.advance(10, 10);
  };
  for (const sleeper of sleepers) for (const message of forge(sleeper, new Uint8Array(32).fill(1), box)) send(message);
  assert.deepEqual(pair.a.plane.peerCounts, { known: 151, awake: 0 });
  assert.equal(pair.a.drops.get("handshake-crypto"), 150);
  assert.equal(pair.a.drops.get("disco-decrypt"), 150);

  const [first, second] = sleepers.map((sleeper) => {
    const shared = new BoxKey(sleeper.disco.sharedSecret(pair.a.disco.public.bytes)!);
    return forge(sleeper, sleeper.node.sharedSecret(pair.a.key.public.bytes)!, shared);
  });
  send(first[0]);
  send(second[1]);
  assert.deepEqual(pair.a.plane.peerCounts, { known: 151, awake: 2 });
  pair.b.tun.toRead.push(packet(pair.b, pair.a, "hello"));
  pair.advance(200);
  assert.deepEqual(texts(pair.a), ["hello"]);
  assert.deepEqual(pair.a.plane.peerCounts, { known: 151, awake: 3 });
});

Deno.test("Plane answers a TSMP ping, and tells when none is answered", () => {
  const pair = joined();
  pair.a.command({ kind: "tsmp-ping", id: 7, address: pair.b.address, timeoutMs: 1000 });
  pair.settle();
  pair.advance(200);
  const answered = pair.a.events.find((event) => event.kind === "ping");
  assert.ok(answered?.kind === "ping" && answered.id === 7 && answered.outcome !== undefined);
  pair.network.pass = () => false;
  pair.relay = false;
  pair.a.command({ kind: "tsmp-ping", id: 8, address: pair.b.address, timeoutMs: 1000 });
  pair.settle();
  pair.advance(1500);
  const silent = pair.a.events.filter((event) => event.kind === "ping").at(-1);
  assert.ok(silent?.kind === "ping" && silent.id === 8 && silent.outcome === undefined);
});

Deno.test("Plane forgets a removed peer: its packets are drops, ours have no route", () => {
  const pair = joined();
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "before"));
  pair.settle();
  pair.b.configure([]);
  pair.settle();
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "after"));
  pair.b.tun.toRead.push(packet(pair.b, pair.a, "nowhere"));
  pair.settle();
  assert.deepEqual(texts(pair.b), ["before"]);
  assert.equal(pair.b.drops.get("unknown-index"), 1);
  assert.equal(pair.b.drops.get("no-route"), 1);
});

for (const helped of [false, true]) {
  /** Two planes of which b has a's session, and the sealed packets a sends by the relay, which b has not got yet. */
  const held = () => {
    const pair = joined(helped);
    pair.network.pass = () => false;
    pair.a.tun.toRead.push(packet(pair.a, pair.b, "hello"));
    pair.advance(200);
    assert.deepEqual(texts(pair.b), ["hello"]);
    pair.relay = false;
    const sealed = (text: string) => {
      pair.a.tun.toRead.push(packet(pair.a, pair.b, text));
      pair.a.turn();
      const [data] = pair.a.derpSent.splice(0).filter(({ payload }) => payload[0] === 4);
      return { ...data, peer: pair.a.key.public.hex };
    };
    return { pair, sealed };
  };
  const how = helped ? "with crypto helpers" : "alone";

  Deno.test(`W4: what a peer sent before it was removed is judged as its own, whoever gets its number (${how})`, () => {
    const { pair, sealed } = held();
    const random = new SeededRandom(SEED + 1);
    const [key, disco] = [NodePrivate.generate(random.bytes), DiscoPrivate.generate(random.bytes)];
    const honest = sealed("the last of mine");
    pair.a.tamper = (plaintext) => plaintext.set(parseIp("100.64.0.9")!, 12);
    const spoofed = sealed("as another");
    for (const one of [honest, spoofed]) pair.b.derpReceived(one);
    const allowedIps = ["100.64.0.9/32"];
    pair.b.configure([pair.a.asPeer({ key: key.public.hex, disco: disco.public.hex, allowedIps })], { homeDerp: 1 });
    pair.b.turn();
    assert.deepEqual(texts(pair.b), ["hello", "the last of mine"]);
    assert.equal(pair.b.drops.get("source-not-allowed"), 1);
  });

  Deno.test(`Plane opens nothing with a key that is gone: its peer's in the midst of a batch, or all (${how})`, () => {
    for (const change of ["peer-gone", "own key"]) {
      const { pair, sealed } = held();
      const [before, after] = [sealed("before"), sealed("after")];
      pair.b.derpReceived(before);
      if (change === "peer-gone") pair.b.configure([], { homeDerp: 1 });
      else {
        const privateKey = NodePrivate.generate(new SeededRandom(SEED + 2).bytes).reveal().toHex();
        pair.b.configure([pair.a.asPeer({ derp: 1 })], { homeDerp: 1, privateKey });
      }
      pair.b.derpReceived(after);
      pair.b.turn();
      assert.deepEqual(texts(pair.b), ["hello", "before"], change);
      const refused = pair.b.drops.get("unknown-index") + pair.b.drops.get("keypair-expired");
      assert.deepEqual([refused, pair.b.drops.get("decrypt")], [1, 0], change);
    }
  });
}

Deno.test("Plane reports drops, paths and the peers that had traffic", () => {
  const pair = joined();
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "hello"));
  pair.settle();
  pair.a.command({ kind: "status", id: 3 });
  pair.settle();
  const peers = pair.a.events.flatMap((event) => event.kind === "status-peers" ? event.peers : []);
  assert.equal(peers.length, 1);
  assert.equal(peers[0].key, pair.b.key.public.hex);
  assert.ok(peers[0].txBytes > 0 && peers[0].lastHandshake > 1_600_000_000_000 && peers[0].active);
  const totals = pair.a.events.find((event) => event.kind === "status");
  assert.ok(totals?.kind === "status" && totals.totals.paths.direct_ipv4.txPackets >= 2);
});

Deno.test("GotaTun 0.7.2, W7: batches of 64 KiB, joined from datagrams of any length, are counted drops; packets pass", () => {
  const pair = joined();
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "real"));
  pair.settle();
  const [real] = pair.network.log.filter(({ to }) => to === pair.b.endpoint).map(({ payload }) => payload);
  const most = 65_535;
  const filled = new Uint8Array(most);
  for (let at = 0; at + real.length <= most; at += real.length) filled.set(real, at);
  for (const segment of [1, 31, 148, real.length, 1_472, 65_507, most - 1, most]) {
    pair.network.send({ from: pair.a.endpoint, to: pair.b.endpoint, payload: filled, segment });
    pair.network.send({ from: "203.0.113.9:1", to: pair.b.endpoint, payload: new Uint8Array(most), segment });
    pair.settle();
  }
  const counted = Object.values(pair.b.drops.snapshot()).reduce((sum, count) => sum + count, 0);
  assert.ok(counted > 2 * most, `${counted} drops: ${JSON.stringify(pair.b.drops.snapshot())}`);
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "still here"));
  pair.advance(6_000);
  assert.deepEqual(texts(pair.b), ["real", "still here"]);
});

Deno.test("W7: Plane counts 100,000 random and mutated datagrams and never throws", () => {
  const random = new SeededRandom(SEED);
  const pair = joined();
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "real"));
  pair.settle();
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "direct"));
  pair.settle();
  const real = pair.network.log.filter(({ to }) => to === pair.b.endpoint).map(({ payload }) => payload);
  assert.ok(real.length >= 2);
  const strangers = ["203.0.113.9:1", pair.a.endpoint];
  for (let i = 0; i < 100_000; i++) {
    const payload = i % 2 === 0 ? mutate(random, random.pick(real)) : random.bytes(random.int(200));
    if (i % 5 === 0 && payload.length > 0) payload[0] = random.int(256);
    pair.network.send({ from: random.pick(strangers), to: pair.b.endpoint, payload });
    if (i % 64 === 0) pair.b.turn();
    if (i % 1000 === 0) pair.advance(100);
  }
  pair.settle();
  const counted = Object.values(pair.b.drops.snapshot()).reduce((sum, count) => sum + count, 0);
  assert.ok(counted > 95_000, `${counted} drops counted: ${JSON.stringify(pair.b.drops.snapshot())}`);
  assert.deepEqual(texts(pair.b), ["real", "direct"]);
  pair.a.tun.toRead.push(packet(pair.a, pair.b, "still here"));
  pair.advance(6_000);
  assert.deepEqual(texts(pair.b), ["real", "direct", "still here"]);
});
