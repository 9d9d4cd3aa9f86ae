/** Two devices over a link on a fake clock: what is on the wire, and when. Times are seconds since the start. */
import assert from "node:assert/strict";
import { REKEY_AFTER_COUNTER } from "../../../engine/wg/constants.ts";
import { WgPair } from "../../support/wg_pair.ts";

/** A pair whose session `a` has initiated at 0. */
function connected(seed = 1): WgPair {
  const t = new WgPair(seed);
  t.a.send("first");
  t.at(1);
  assert.deepEqual(t.b.inbox, ["first"]);
  return t;
}

Deno.test("Tunnel: a first packet starts a handshake, and is what confirms it", () => {
  const t = connected();
  assert.deepEqual(t.wire(), ["0.000 a initiation", "0.010 b response", "0.020 a data"]);
  assert.ok(t.a.peer.lastHandshake > 0 && t.b.peer.lastHandshake === t.a.peer.lastHandshake + 10);
});

Deno.test("Tunnel: an initiator with nothing to send confirms with a keepalive", () => {
  const t = new WgPair();
  t.a.peer.wantHandshake(t.now);
  t.at(1);
  assert.deepEqual(t.wire(), ["0.000 a initiation", "0.010 b response", "0.020 a keepalive"]);
});

Deno.test("Tunnel: the responder stages until it is confirmed", () => {
  const t = new WgPair();
  t.lose = ({ kind }) => kind === "keepalive" || kind === "data";
  t.a.peer.wantHandshake(t.now);
  t.at(1);
  t.b.send("early");
  assert.equal(t.b.peer.keypairForSend(t.now), undefined);
  assert.deepEqual(t.kinds(0.03), []);
  t.lose = () => false;
  t.a.send("confirms");
  t.at(2);
  assert.deepEqual([t.a.inbox, t.b.inbox], [["early"], ["confirms"]]);
  assert.deepEqual(t.kinds(0.03), ["a data", "b data"]);
});

Deno.test("Tunnel: a responder whose confirmation was lost initiates itself when it has something to send", () => {
  const t = new WgPair();
  t.lose = ({ kind }) => kind === "keepalive";
  t.a.peer.wantHandshake(t.now);
  t.at(1);
  t.b.send("waits");
  t.at(4.9);
  assert.deepEqual(t.kinds(1), []);
  t.at(6);
  assert.deepEqual(t.kinds(1), ["b initiation", "a response", "b data"]);
  assert.deepEqual(t.a.inbox, ["waits"]);
});

Deno.test("Tunnel: the initiator renews the keys when it sends more than 120 s after the handshake", () => {
  const t = connected();
  t.every(1, 119, () => t.a.send("x"));
  t.at(125);
  t.a.send("x");
  t.at(126);
  assert.deepEqual(t.wire(121), [
    "125.000 a data",
    "125.000 a initiation",
    "125.010 b response",
    "125.020 a keepalive",
  ]);
  t.a.send("new keys");
  t.b.send("and back");
  t.at(127);
  assert.equal(t.b.inbox.at(-1), "new keys");
  assert.equal(t.a.inbox.at(-1), "and back");
  assert.deepEqual(t.kinds(126), ["a data", "b data"]);
});

Deno.test("Tunnel: the responder never renews by age, however much it sends", () => {
  const t = connected();
  t.every(1, 160, () => t.b.send("x"));
  // The initiator's own keepalives do renew it.
  assert.deepEqual(t.kinds(1).filter((kind) => kind.includes("initiation")), ["a initiation"]);
});

Deno.test("Tunnel: an initiator that receives more than 165 s after the handshake renews the keys at once", () => {
  const early = connected();
  early.at(164);
  early.b.send("x");
  early.at(165);
  assert.deepEqual(early.wire(164), ["164.000 b data"]);

  const t = connected();
  t.at(166);
  t.b.send("x");
  t.b.send("x");
  t.at(167);
  assert.deepEqual(t.wire(166), [
    "166.000 b data",
    "166.000 b data",
    "166.010 a initiation",
    "166.020 b response",
    "166.030 a keepalive",
  ]);
});

Deno.test("Tunnel: an hour of traffic both ways renews every 120 s and loses nothing", () => {
  for (const seed of [1, 2, 3]) {
    const t = new WgPair(seed, 35);
    let sent = 0;
    t.every(0.7, 3600, () => {
      t.a.send(`${++sent}`);
      t.b.send(`${sent}`);
    }).at(3601);
    const expected = Array.from({ length: sent }, (_, i) => `${i + 1}`);
    assert.deepEqual(t.a.inbox, expected);
    assert.deepEqual(t.b.inbox, expected);
    const handshakes = t.kinds().filter((kind) => kind.includes("initiation")).length;
    assert.ok(handshakes >= 30 && handshakes <= 32, `seed ${seed}: ${handshakes}`);
    assert.ok(t.a.liveKeys <= 6 && t.b.liveKeys <= 6 && t.a.device.indexCount <= 3);
  }
});

Deno.test("Tunnel: a keepalive answers data after 10 s of having nothing to say, and silence follows", () => {
  const t = connected();
  t.at(500);
  assert.deepEqual(t.wire(1), ["10.030 b keepalive"]);
});

Deno.test("Tunnel: a keepalive is not sent when data goes back", () => {
  const t = connected();
  t.at(9);
  t.b.send("answer");
  t.at(18);
  t.a.send("again");
  t.at(27);
  assert.deepEqual(t.kinds(1), ["b data", "a data"]);
});

Deno.test("Tunnel: data without any answer starts a handshake after 15 s and jitter", () => {
  const t = connected();
  t.at(20);
  t.lose = ({ from }) => from === "b";
  t.a.send("into the void");
  t.at(36);
  const [data, keepalive, initiation] = t.wire(20);
  assert.deepEqual([data, keepalive], ["20.000 a data", "30.010 b keepalive lost"]);
  assert.ok(/^35\.[0-3]\d\d a initiation$/.test(initiation), initiation);
});

Deno.test("Tunnel: an initiation is repeated after 5 s and 0 to 333 ms, each time with another ephemeral and index", () => {
  const t = new WgPair(5);
  t.lose = () => true;
  t.a.send("x");
  t.at(80);
  const times = t.events.map(({ at }) => at);
  const gaps = times.slice(1).map((at, i) => at - times[i]);
  assert.ok(gaps.every((gap) => gap >= 5 && gap < 5.334), `${gaps}`);
  assert.ok(new Set(gaps.map((gap) => gap.toFixed(3))).size > gaps.length / 2, `no jitter: ${gaps}`);
  assert.equal(new Set(t.events.map(({ message }) => message.subarray(4, 40).toHex())).size, times.length);
  assert.equal(t.a.device.indexCount, 1);
});

Deno.test("Tunnel: a handshake is given up after 90 s, staged packets are dropped, new traffic tries again", () => {
  const t = new WgPair();
  t.lose = () => true;
  t.a.send("x");
  t.at(200);
  const last = t.events.at(-1)!.at;
  assert.equal(t.events.length, 18);
  assert.ok(last >= 85 && last < 91, `${last}`);
  assert.deepEqual([t.a.failures, t.a.staged], [1, []]);
  t.lose = () => false;
  t.a.send("y");
  t.at(201);
  assert.deepEqual(t.b.inbox, ["y"]);
  assert.deepEqual(t.kinds(200), ["a initiation", "b response", "a data"]);
});

Deno.test("Tunnel: new traffic while a handshake is retried puts giving up off", () => {
  const t = new WgPair();
  t.lose = () => true;
  t.a.send("x");
  t.at(60);
  t.a.send("y");
  t.at(140);
  assert.equal(t.a.failures, 0);
  t.at(160);
  assert.equal(t.a.failures, 1);
});

Deno.test("Tunnel: however much traffic waits, initiations are at least 5 s apart", () => {
  const t = new WgPair();
  t.lose = () => true;
  t.every(0.01, 30, () => t.a.send("x"));
  const times = t.events.map(({ at }) => at);
  assert.equal(times.length, 6);
  for (let i = 1; i < times.length; i++) assert.ok(times[i] - times[i - 1] >= 4.999);
});

Deno.test("Tunnel: when both sides initiate at once both are answered, and both end on one keypair", () => {
  for (let seed = 1; seed <= 8; seed++) {
    const t = new WgPair(seed);
    t.a.send("from a");
    t.b.send("from b");
    t.at(1);
    assert.deepEqual([t.a.inbox, t.b.inbox], [["from b"], ["from a"]], `seed ${seed}`);
    t.a.send("settle");
    t.b.send("settle");
    t.at(2);
    const [ours, theirs] = [t.a.peer.keypairForSend(t.now)!, t.b.peer.keypairForSend(t.now)!];
    assert.deepEqual([ours.localIndex, ours.remoteIndex], [theirs.remoteIndex, theirs.localIndex], `seed ${seed}`);
    assert.notEqual(ours.isInitiator, theirs.isInitiator);
    t.every(1, 125, () => {
      t.a.send("x");
      t.b.send("x");
    });
    assert.equal(t.kinds(2).filter((kind) => kind.includes("initiation")).length, 1, `seed ${seed}`);
  }
});

Deno.test("Tunnel: a keypair neither sends nor receives 180 s after its handshake", () => {
  const t = connected();
  t.lose = ({ kind }) => kind === "initiation";
  t.at(179);
  t.b.send("still");
  t.at(179.5);
  assert.equal(t.a.inbox.at(-1), "still");
  t.delay = 2000;
  t.b.send("late");
  t.at(182);
  assert.equal(t.a.inbox.at(-1), "still");
  assert.equal(t.a.drops.get("keypair-expired"), 1);
  assert.equal(t.a.peer.keypairForSend(t.now), undefined);
  assert.equal(t.b.peer.keypairForSend(t.now), undefined);
});

Deno.test("Tunnel: a keypair that was dropped counts as expired for whoever still holds it", () => {
  const t = connected();
  const first = t.a.peer.keypairForSend(t.now)!;
  for (const at of [130, 260]) {
    assert.equal(first.expired(t.now), false);
    t.at(at);
    t.a.peer.wantHandshake(t.now);
    t.at(at + 1);
  }
  assert.equal(t.a.device.keypairByIndex(first.localIndex), undefined);
  assert.equal(first.expired(0), true);
});

Deno.test("Tunnel: all keys of both sides are freed 540 s after the last handshake, and no timer is left", () => {
  const t = connected();
  t.at(539);
  assert.deepEqual([t.a.liveKeys, t.b.liveKeys], [2, 2]);
  t.at(541);
  assert.deepEqual([t.a.liveKeys, t.b.liveKeys], [0, 0]);
  assert.deepEqual([t.a.device.indexCount, t.b.device.indexCount], [0, 0]);
  assert.deepEqual([t.a.device.nextDeadline(), t.b.device.nextDeadline()], [Infinity, Infinity]);
  t.a.send("again");
  t.at(542);
  assert.equal(t.b.inbox.at(-1), "again");
});

Deno.test("Tunnel: a restarted peer is noticed by its silence, and its own initiation works at once", () => {
  const t = connected();
  t.at(20);
  t.b.device.removePeer(t.b.peer);
  t.b.peer = t.b.device.addPeer(t.a.key.public);
  t.a.send("lost");
  t.at(36);
  assert.equal(t.b.drops.get("unknown-index"), 1);
  assert.deepEqual(t.kinds(20), ["a data", "a initiation", "b response", "a keepalive"]);

  t.b.device.removePeer(t.b.peer);
  t.b.peer = t.b.device.addPeer(t.a.key.public);
  t.at(45);
  t.b.send("hello");
  t.at(46);
  assert.equal(t.a.inbox.at(-1), "hello");
});

Deno.test("Tunnel: traffic survives a link that loses a third of everything", () => {
  for (let seed = 1; seed <= 4; seed++) {
    const t = new WgPair(seed);
    let i = 0;
    t.lose = () => (Math.imul(++i, 0x9e3779b1) >>> 16) % 3 === 0;
    t.every(1, 900, () => {
      t.a.send("x");
      t.b.send("x");
    });
    assert.ok(t.a.inbox.length > 450 && t.b.inbox.length > 450, `seed ${seed}: ${t.a.inbox.length}`);
    t.lose = () => false;
    t.at(2000);
    assert.deepEqual([t.a.liveKeys, t.b.liveKeys], [0, 0], `seed ${seed}`);
  }
});

Deno.test("Tunnel: a persistent keepalive is sent every interval and keeps the session for hours", () => {
  const t = new WgPair();
  t.a.peer.setPersistentKeepalive(25_000, t.now);
  t.at(3600);
  const keepalives = t.kinds().filter((kind) => kind === "a keepalive").length;
  assert.ok(keepalives >= 3600 / 25 && keepalives <= 3600 / 25 + 32, `${keepalives}`);
  assert.ok(t.a.peer.keypairForSend(t.now) !== undefined);
});

Deno.test("W2: a keypair whose counter came near its end is renewed by either side, and never sends beyond 2^53", () => {
  for (const side of ["a", "b"] as const) {
    const t = connected();
    t.b.send("so that b has sent");
    t.at(6);
    const keypair = t[side].peer.keypairForSend(t.now)!;
    keypair.nextCounter = REKEY_AFTER_COUNTER;
    t[side].send("at the edge");
    t.at(7);
    assert.deepEqual(t.kinds(6).slice(0, 2), [`${side} data`, `${side} initiation`]);
    assert.notEqual(t[side].peer.keypairForSend(t.now), keypair);
  }
  const t = connected();
  t.at(6);
  const keypair = t.a.peer.keypairForSend(t.now)!;
  keypair.nextCounter = 2 ** 53 - 1;
  t.lose = ({ kind }) => kind === "initiation";
  t.a.send("the last one");
  assert.equal(keypair.nextCounter, 2 ** 53);
  assert.equal(keypair.countersLeft, 0);
  assert.equal(t.a.peer.keypairForSend(t.now), undefined);
  t.a.send("must wait");
  assert.deepEqual(t.a.staged, ["must wait"]);
});

Deno.test("W6: under load a message without a cookie gets one, and the retry with it is served", () => {
  const t = new WgPair();
  t.b.load = true;
  t.a.send("x");
  t.at(6);
  const wire = t.kinds();
  assert.deepEqual(wire, ["a initiation", "b cookie", "a initiation", "b response", "a data"]);
  assert.equal(t.events[2].message.subarray(-16).some((byte) => byte !== 0), true);
  assert.deepEqual(t.b.inbox, ["x"]);
  assert.deepEqual(t.b.drops.snapshot(), { "under-load": 1 });
});

Deno.test("W6: a cookie for one source is refused from another, before any curve work, and answered with a new one", () => {
  const t = new WgPair();
  t.b.load = true;
  t.a.send("x");
  t.lose = ({ at, kind }) => at > 1 && kind === "initiation";
  t.at(6);
  const withCookie = t.events.findLast(({ kind }) => kind === "initiation")!.message;
  assert.equal(t.inject("b", withCookie), "mac2");
  assert.deepEqual(t.kinds(5).at(-1), "b cookie");
  assert.equal(t.b.device.indexCount, 0);
});

Deno.test("W5: an initiation repeated from the wire is refused, also after keys and session are gone", () => {
  const t = connected();
  const initiation = t.events[0].message;
  assert.equal(t.inject("b", initiation), "timestamp-replay");
  t.at(700);
  assert.equal(t.inject("b", initiation), "timestamp-replay");
  assert.equal(t.b.liveKeys, 0);
});

Deno.test("W8: nothing but an authentic message moves a peer to a new source", () => {
  const t = connected();
  const path = t.b.path!;
  assert.equal(path.rateKey, "a");
  for (const { message, from } of t.events.slice()) {
    const to = from === "a" ? "b" : "a";
    assert.notEqual(t.inject(to, message), undefined, "a replay must be refused");
    const forged = message.slice();
    forged[20] ^= 1;
    assert.notEqual(t.inject(to, forged), undefined);
  }
  assert.equal(t.b.path, path);
  t.a.send("from elsewhere");
  t.lose = () => true;
  t.a.send("moves it");
  assert.equal(t.inject("b", t.events.at(-1)!.message), undefined);
  assert.equal(t.b.path!.rateKey, "stranger");
});
