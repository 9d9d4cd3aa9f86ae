import assert from "node:assert/strict";
import { parseIp } from "../../../base/ip.ts";
import type { PeerConfig } from "../../../engine/config.ts";
import type { PlanePeer } from "../../../engine/dataplane/plane_peer.ts";
import { Peers } from "../../../engine/dataplane/peers.ts";
import { RecordStore } from "../../../engine/dataplane/record_store.ts";
import { encodeJson } from "../../../engine/dataplane/records.ts";
import { SeededRandom } from "../../support/random.ts";

function peerOf(name: string, more: Partial<PeerConfig> = {}): PeerConfig {
  const allowedIps = more.allowedIps ?? [];
  return { key: name, disco: "", endpoints: [], derp: 1, jailed: false, addresses: [], cap: 113, ...more, allowedIps };
}

/** Peers that wake into nothing but their configuration. */
function bench(): { peers: Peers; woken: string[]; upsert(peer: PeerConfig): PlanePeer | undefined } {
  const woken: string[] = [];
  const peers = new Peers((config, number) => {
    woken.push(config.key);
    return { config, number } as PlanePeer;
  });
  return { peers, woken, upsert: (peer) => peers.upsert(encodeJson({ kind: "peer", peer }), peer) };
}

function ip4(text: string): number {
  return new DataView(parseIp(text)!.buffer).getUint32(0);
}

Deno.test("Peers wakes nobody for a netmap, and a peer for what is meant for it", () => {
  const { peers, woken, upsert } = bench();
  for (let i = 0; i < 1000; i++) {
    const address = `100.64.${i >> 8}.${i & 255}`;
    assert.equal(upsert(peerOf(`node ${i}`, { disco: `disco ${i}`, allowedIps: [`${address}/32`] })), undefined);
  }
  assert.deepEqual(peers.counts, { known: 1000, awake: 0 });
  const routed = peers.at(peers.owner4(ip4("100.64.1.7")));
  assert.equal(routed?.config.key, "node 263");
  assert.equal(peers.byKey("node 5")?.config.disco, "disco 5");
  peers.wakeDisco("disco 9");
  assert.deepEqual(woken, ["node 263", "node 5", "node 9"]);
  assert.equal(peers.at(peers.owner4(ip4("100.64.1.7"))), routed, "a peer wakes once");
  assert.equal(peers.at(peers.owner4(ip4("100.65.0.1"))), undefined);
  assert.equal(peers.byKey("stranger"), undefined);
  assert.equal(peers.awakeByKey("node 6"), undefined);
  peers.wakeDisco("stranger");
  assert.deepEqual(peers.counts, { known: 1000, awake: 3 });
});

Deno.test("Peers wakes those of one disco key together, whoever comes first", () => {
  const { peers, woken, upsert } = bench();
  upsert(peerOf("a", { disco: "shared" }));
  upsert(peerOf("b", { disco: "shared" }));
  peers.byKey("b");
  assert.deepEqual(woken.sort(), ["a", "b"]);
  upsert(peerOf("c", { disco: "shared" }));
  assert.ok(peers.awakeByKey("c") !== undefined, "one that joins those awake");
  upsert(peerOf("d", { disco: "own" }));
  assert.equal(peers.awakeByKey("d"), undefined);
  upsert(peerOf("a", { disco: "own" }));
  assert.ok(peers.awakeByKey("d") !== undefined, "one that somebody awake joins");
  upsert(peerOf("e"));
  upsert(peerOf("f"));
  peers.byKey("e");
  assert.equal(peers.awakeByKey("f"), undefined, "no disco key is no common one");
});

Deno.test("Peers wakes a relay server at once: it is looked for among those awake", () => {
  const { peers, upsert } = bench();
  upsert(peerOf("server", { disco: "x", relay: { serves: true, mayAsk: false } }));
  assert.ok(peers.awakeByKey("server") !== undefined);
  upsert(peerOf("user", { disco: "y", relay: { serves: false, mayAsk: true } }));
  assert.equal(peers.awakeByKey("user"), undefined);
});

Deno.test("Peers agrees with a plain list over random changes, wakings and removals", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed);
    const { peers, woken, upsert } = bench();
    const list = new Map<string, PeerConfig>();
    /** Who was given each prefix last. */
    const routes = new Map<string, string>();
    for (let step = 0; step < 200; step++) {
      const key = `node ${random.int(20)}`;
      const known = list.get(key);
      const kind = random.int(4);
      if (kind < 2) {
        const allowedIps = Array.from({ length: random.int(4) }, () => `10.0.0.${random.int(30)}/32`);
        const peer = peerOf(key, { disco: random.pick(["", "d1", "d2", key]), allowedIps, jailed: random.chance(0.5) });
        const changed = known === undefined || `${known.allowedIps}` !== `${allowedIps}`;
        if (changed) {
          for (const [prefix, owner] of routes) if (owner === key) routes.delete(prefix);
          for (const prefix of allowedIps) routes.set(prefix, key);
        }
        const wasAwake = peers.awakeByKey(key);
        assert.equal(upsert(peer), wasAwake);
        list.set(key, peer);
      } else if (kind === 2) {
        const peer = peers.byKey(key);
        assert.deepEqual(peer?.config, known, `seed ${seed}, step ${step}`);
      } else {
        const wasAwake = peers.awakeByKey(key);
        assert.equal(peers.remove(key), wasAwake);
        list.delete(key);
        for (const [prefix, owner] of routes) if (owner === key) routes.delete(prefix);
      }
      assert.equal(peers.counts.known, list.size);
      for (const peer of peers.awake()) {
        assert.deepEqual(peer.config, list.get(peer.config.key), `seed ${seed}, step ${step}: an awake one is told`);
        const mates = [...list.values()].filter(({ disco }) => disco !== "" && disco === peer.config.disco);
        for (const { key } of mates) assert.ok(peers.awakeByKey(key), `seed ${seed}, step ${step}: ${key} sleeps on`);
      }
    }
    for (let i = 0; i < 30; i++) {
      const owner = peers.at(peers.owner4(ip4(`10.0.0.${i}`)));
      assert.equal(owner?.config.key, routes.get(`10.0.0.${i}/32`), `seed ${seed}`);
    }
    assert.ok(woken.length > 0);
  }
});

Deno.test("RecordStore gives back what it was given, of any length, and uses room again", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = new SeededRandom(seed);
    const store = new RecordStore();
    const kept = new Map<number, Uint8Array>();
    for (let step = 0; step < 500; step++) {
      if (random.chance(0.6)) {
        const record = random.bytes(random.pick([0, 1, 251, 252, 253, 508, 509, random.int(20_000)]));
        const name = store.put(record);
        assert.ok(name > 0 && !kept.has(name), `seed ${seed}, step ${step}: the name ${name} is taken`);
        kept.set(name, record);
      } else if (kept.size > 0) {
        const name = random.pick([...kept.keys()]);
        store.free(name);
        kept.delete(name);
      }
    }
    for (const [name, record] of kept) assert.deepEqual(store.get(name), record, `seed ${seed}`);
    for (const name of kept.keys()) store.free(name);
    assert.equal(store.used, 0);
  }
});
