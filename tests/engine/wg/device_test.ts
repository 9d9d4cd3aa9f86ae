import assert from "node:assert/strict";
import { NodePrivate, NodePublic } from "../../../base/keys.ts";
import { UNDER_LOAD_HANDSHAKES } from "../../../engine/wg/constants.ts";
import { CookieGenerator } from "../../../engine/wg/cookie.ts";
import { createInitiation } from "../../../engine/wg/handshake.ts";
import { WgDevice } from "../../../engine/wg/device.ts";
import { createTimestamps } from "../../../engine/wg/tai64n.ts";
import { SeededRandom } from "../../support/random.ts";
import { sourceNamed, WgPair } from "../../support/wg_pair.ts";

/** Makes initiations of `from` to `to`, each with a later timestamp. */
function initiator(from: NodePrivate, to: NodePublic, seed = 99) {
  const random = new SeededRandom(seed);
  const timestamps = createTimestamps(() => 10_000_000);
  const macs = new CookieGenerator(to);
  const next = (timestamp: Uint8Array = timestamps()) => {
    const secret = from.sharedSecret(to.bytes)!;
    const created = createInitiation(from, to, secret, random.bytes(32), timestamp, random.u32());
    assert.ok(typeof created !== "string");
    macs.addMacs(created.message, 0);
    return created.message;
  };
  return { next, macs };
}

Deno.test("WgDevice.addPeer() gives one peer a key, and removePeer() leaves it inert", () => {
  const t = new WgPair();
  const { device } = t.a;
  assert.equal(device.addPeer(t.b.key.public), t.a.peer);
  assert.equal(device.peer(t.b.key.public.hex), t.a.peer);
  assert.deepEqual([...device.peers()], [t.a.peer]);
  t.a.send("x");
  t.at(1);
  const keypair = t.a.peer.keypairForSend(t.now)!;
  assert.equal(device.keypairByIndex(keypair.localIndex), keypair);
  device.removePeer(t.a.peer);
  device.removePeer(t.a.peer);
  assert.equal(device.peer(t.b.key.public.hex), undefined);
  assert.equal(device.keypairByIndex(keypair.localIndex), undefined);
  assert.deepEqual([t.a.liveKeys, device.indexCount, device.nextDeadline()], [0, 0, Infinity]);

  const sent = t.events.length;
  t.a.peer.wantHandshake(t.now);
  t.a.peer.sent(keypair, t.now, true);
  t.a.peer.received(keypair, t.now, true);
  t.a.peer.setPersistentKeepalive(1000, t.now);
  t.at(100);
  assert.equal(t.a.peer.keypairForSend(t.now), undefined);
  assert.deepEqual(t.kinds().slice(sent).filter((kind) => kind.startsWith("a")), []);
});

Deno.test("WgDevice.setPrivateKey() drops all keypairs and handshakes when the key changes, and only then", () => {
  const t = new WgPair();
  t.a.send("x");
  t.at(1);
  t.a.device.setPrivateKey(new NodePrivate(t.a.key.reveal()));
  assert.equal(t.a.liveKeys, 2);
  const key = NodePrivate.generate(new SeededRandom(5).bytes);
  t.a.device.setPrivateKey(key);
  assert.deepEqual([t.a.liveKeys, t.a.device.indexCount], [0, 0]);
  assert.equal(t.a.peer.keypairForSend(t.now), undefined);
  t.b.peer = t.b.device.addPeer(key.public);
  t.a.send("with the new key");
  t.at(2);
  assert.equal(t.b.inbox.at(-1), "with the new key");
});

Deno.test("WgDevice.setPrivateKey() while an initiation is under way lets the retry use the new key", () => {
  const t = new WgPair();
  t.lose = () => true;
  t.a.send("x");
  t.at(1);
  const key = NodePrivate.generate(new SeededRandom(5).bytes);
  t.a.device.setPrivateKey(key);
  assert.equal(t.a.device.indexCount, 0);
  t.b.peer = t.b.device.addPeer(key.public);
  t.lose = () => false;
  t.at(6);
  assert.deepEqual(t.b.inbox, ["x"]);
});

Deno.test("WgDevice.setPrivateKey(): a peer that hears of the new key a moment later is reached at once then", () => {
  const t = new WgPair();
  t.a.send("x");
  t.at(1);
  const key = NodePrivate.generate(new SeededRandom(5).bytes);
  t.a.device.setPrivateKey(key);
  const before = t.kinds().length;
  const initiations = () => t.kinds().slice(before).filter((kind) => kind.startsWith("a") && /init/i.test(kind)).length;
  t.a.send("with the new key");
  t.at(2.7);
  assert.deepEqual([initiations(), t.b.inbox], [4, ["x"]]);
  t.b.peer = t.b.device.addPeer(key.public);
  t.at(3.1);
  assert.deepEqual(t.b.inbox, ["x", "with the new key"]);
});

Deno.test("WgDevice.addPeer() after our key changed: a peer that hears of it a moment later is reached at once then too", () => {
  const t = new WgPair();
  t.a.device.removePeer(t.a.peer);
  const key = NodePrivate.generate(new SeededRandom(5).bytes);
  t.a.device.setPrivateKey(key);
  t.a.peer = t.a.device.addPeer(t.b.key.public);
  t.a.send("with the new key");
  t.at(1.7);
  assert.deepEqual(t.kinds(), Array(4).fill("a initiation"));
  t.b.peer = t.b.device.addPeer(key.public);
  t.at(2.1);
  assert.deepEqual(t.b.inbox, ["with the new key"]);
});

Deno.test("WgDevice.setPrivateKey(): a peer that does not know the new key is soon asked at the usual distance", () => {
  const t = new WgPair();
  t.a.send("x");
  t.at(1);
  t.a.device.setPrivateKey(NodePrivate.generate(new SeededRandom(5).bytes));
  const before = t.kinds().length;
  const initiations = () => t.kinds().slice(before).filter((kind) => kind.startsWith("a") && /init/i.test(kind)).length;
  t.a.send("with the new key");
  t.at(9);
  assert.equal(initiations(), 8);
  t.at(20);
  assert.equal(initiations(), 11);
});

Deno.test("WgDevice does not talk to itself, whoever lists our own key as a peer", () => {
  const t = new WgPair();
  const self = t.a.device.addPeer(t.a.key.public);
  self.wantHandshake(t.now);
  t.at(10);
  assert.deepEqual(t.kinds(), []);
  const { next } = initiator(t.a.key, t.a.key.public);
  assert.equal(t.inject("a", next()), "unknown-peer");
  const key = NodePrivate.generate(new SeededRandom(7).bytes);
  t.a.device.addPeer(key.public);
  t.a.device.setPrivateKey(key);
  assert.equal(t.a.device.peer(key.public.hex), undefined);
});

Deno.test("WgDevice without a private key drops handshakes and starts none", () => {
  const t = new WgPair();
  const random = new SeededRandom(1).bytes;
  const device = new WgDevice({ effects: t.a, random, timestamp: createTimestamps(() => 0) });
  const peer = device.addPeer(t.a.key.public);
  peer.wantHandshake(0);
  const { next } = initiator(t.a.key, t.b.key.public);
  assert.deepEqual(device.handleHandshake(next(), sourceNamed("a"), 0), { peer: undefined, drop: "handshake-state" });
  assert.equal(device.indexCount, 0);
});

Deno.test("WgDevice names why it drops: stranger, unknown index, answered handshake, mac1", () => {
  const t = new WgPair();
  const stranger = NodePrivate.generate(new SeededRandom(11).bytes);
  assert.equal(t.inject("b", initiator(stranger, t.b.key.public).next()), "unknown-peer");
  t.a.send("x");
  t.at(1);
  const response = t.events.find(({ kind }) => kind === "response")!.message;
  assert.equal(t.inject("a", response), "handshake-state");
  t.a.device.removePeer(t.a.peer);
  assert.equal(t.inject("a", response), "unknown-index");
  assert.equal(t.inject("b", response), "mac1");
  const cookie = new Uint8Array(64);
  cookie[0] = 3;
  assert.equal(t.inject("b", cookie), "unknown-index");
});

Deno.test("W1: a peer whose static key is of low order gets no handshake and makes no trouble", () => {
  const t = new WgPair();
  for (const first of [0, 1]) {
    const bytes = new Uint8Array(32);
    bytes[0] = first;
    const failures = t.a.failures;
    t.a.device.addPeer(new NodePublic(bytes)).wantHandshake(t.now);
    assert.equal(t.a.failures, failures + 1);
  }
  t.at(200);
  assert.deepEqual(t.kinds(), []);
  assert.equal(t.a.device.indexCount, 0);
});

Deno.test("W5: an initiation's timestamp must be strictly greater than the last, as 12 opaque bytes", () => {
  const t = new WgPair();
  const { next } = initiator(t.a.key, t.b.key.public);
  const stamp = (hex: string) => next(Uint8Array.fromHex(hex));
  const step = () => t.at(t.seconds + 0.021);
  const offer = (hex: string) => {
    step();
    return t.inject("b", stamp(hex));
  };
  assert.equal(offer("000000000000000000000000"), "timestamp-replay");
  assert.equal(offer("000000000000000000000001"), undefined);
  assert.equal(offer("000000000000000000000001"), "timestamp-replay");
  assert.equal(offer("7fffffffffffffffffffffff"), undefined);
  assert.equal(offer("80000000ffffffffffffffff"), undefined);
  assert.equal(offer("7fffffffffffffffffffffff"), "timestamp-replay");
  assert.equal(offer("80000000fffffffffffffffe"), "timestamp-replay");
  assert.equal(offer("ffffffffffffffffffffffff"), undefined);
});

Deno.test("W5: a forged initiation does not use a timestamp up", () => {
  const t = new WgPair();
  const { next, macs } = initiator(t.a.key, t.b.key.public);
  const good = next();
  const forged = good.slice();
  forged[100] ^= 1;
  macs.addMacs(forged, 0);
  assert.equal(t.inject("b", forged), "handshake-crypto");
  assert.equal(t.inject("b", good), undefined);
});

Deno.test("W6: initiations of one peer less than 20 ms apart are a flood, whatever their timestamps", () => {
  const t = new WgPair();
  const { next } = initiator(t.a.key, t.b.key.public);
  assert.equal(t.inject("b", next()), undefined);
  t.at(0.02);
  assert.equal(t.inject("b", next()), "rate-limited");
  t.at(0.021);
  assert.equal(t.inject("b", next()), undefined);
});

Deno.test("W6: a flood puts the device under load by its own count, answers with cookies and does no curve work", () => {
  const t = new WgPair();
  const { next } = initiator(NodePrivate.generate(new SeededRandom(1).bytes), t.b.key.public);
  const message = next();
  const seen = new Map<string | undefined, number>();
  for (let i = 0; i < 2000; i++) {
    const drop = t.inject("b", message);
    seen.set(drop, (seen.get(drop) ?? 0) + 1);
  }
  assert.deepEqual([...seen], [["unknown-peer", UNDER_LOAD_HANDSHAKES], ["under-load", 2000 - UNDER_LOAD_HANDSHAKES]]);
  t.at(0.9);
  assert.equal(t.inject("b", message), "under-load");
  t.at(5);
  assert.equal(t.inject("b", message), "unknown-peer");
});

Deno.test("W6: while one source floods, with a cookie or without, another one is served", () => {
  const t = new WgPair();
  const flooder = NodePrivate.generate(new SeededRandom(1).bytes);
  const { next, macs } = initiator(flooder, t.b.key.public);
  const flood = next();
  let served = 0;
  t.a.send("through the flood");
  for (let at = 0; at < 7; at += 0.002) {
    t.at(at);
    const drop = t.inject("b", flood, sourceNamed("flood"));
    if (drop === "unknown-peer") served++;
    const reply = t.events.at(-1)!;
    if (reply.kind === "cookie" && at < 3) {
      macs.consumeReply(reply.message, 0);
      macs.addMacs(flood, 0);
    }
  }
  assert.deepEqual(t.b.inbox, ["through the flood"]);
  assert.ok(t.kinds().includes("b cookie"));
  assert.ok(served < UNDER_LOAD_HANDSHAKES + 7 * 20 + 5, `${served} of the flood reached the curve`);
  assert.ok(t.b.drops.get("rate-limited") > 1000);
});

Deno.test("WgDevice: a cookie reply proves nobody: it names no peer", () => {
  const t = new WgPair();
  t.b.load = true;
  t.a.send("x");
  t.at(1);
  const cookie = t.events.find(({ kind }) => kind === "cookie")!.message;
  const result = t.a.device.handleHandshake(cookie, sourceNamed("elsewhere"), t.now);
  assert.deepEqual(result, { peer: undefined, drop: undefined });
  cookie[40] ^= 1;
  const forged = t.a.device.handleHandshake(cookie, sourceNamed("elsewhere"), t.now);
  assert.deepEqual(forged, { peer: undefined, drop: "cookie" });
});

Deno.test("WgDevice: a message handed to the effects is sent where the initiation came from", () => {
  const t = new WgPair();
  const sources: unknown[] = [];
  const send = t.b.sendHandshake.bind(t.b);
  t.b.sendHandshake = (peer, message, ...rest) => {
    sources.push(...rest);
    send(peer, message);
  };
  const source = sourceNamed("somewhere");
  t.inject("b", initiator(t.a.key, t.b.key.public).next(), source);
  assert.deepEqual(sources, [source]);
});

Deno.test("WgDevice keeps timers of thousands of peers: each initiation is retried on its own time", () => {
  const t = new WgPair();
  t.lose = () => true;
  const random = new SeededRandom(21);
  const peers = Array.from({ length: 300 }, () => t.a.device.addPeer(NodePrivate.generate(random.bytes).public));
  for (const [i, peer] of peers.entries()) {
    t.at(i / 100);
    peer.wantHandshake(t.now);
  }
  t.at(15);
  assert.ok(t.events.length >= 300 * 3 - 120 && t.events.length <= 300 * 3, `${t.events.length}`);
  for (const peer of peers) t.a.device.removePeer(peer);
  assert.deepEqual([t.a.device.nextDeadline(), t.a.device.indexCount], [Infinity, 0]);
});
