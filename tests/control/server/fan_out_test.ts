import assert from "node:assert/strict";
import { FanOut } from "../../../control/server/fan_out.ts";
import type { Subscription } from "../../../control/server/fan_out.ts";
import { MapBuilder } from "../../../control/server/map_builder.ts";
import { derpMapOf } from "../../../control/server/relay.ts";
import { updateWhere } from "../../../control/server/where_update.ts";
import type { MapResponse, Node } from "../../../control/wire/tailcfg.ts";
import type { Machine } from "../../support/tailnet_world.ts";
import { SeededRandom } from "../../support/random.ts";
import { TailnetWorld } from "../../support/tailnet_world.ts";

const disco = (n: number) => `discokey:${n.toString(16).padStart(64, "0")}`;
const DAY = 24 * 3600_000;

/** A client that only remembers: what a netmap is after the messages it got. */
class Client {
  readonly messages: MapResponse[] = [];
  readonly peers = new Map<number, Node>();
  self: Node | undefined;
  ended = false;
  slow = false;
  readonly nodeId: number;
  readonly subscription: Subscription;

  constructor(nodeId: number, fanOut: FanOut) {
    this.nodeId = nodeId;
    this.subscription = fanOut.subscribe({
      nodeId,
      send: (message) => {
        this.#take(message);
        return !this.slow;
      },
      end: () => this.ended = true,
    });
  }

  #take(message: MapResponse): void {
    assert.ok(!this.ended, "nothing is sent after the end");
    // Through JSON, as on the wire.
    const map: MapResponse = JSON.parse(JSON.stringify(message));
    this.messages.push(map);
    if (map.Node) this.self = map.Node;
    if (map.Peers && map.Peers.length > 0) {
      this.peers.clear();
      for (const peer of map.Peers) this.peers.set(peer.ID, peer);
    }
    for (const peer of map.PeersChanged ?? []) this.peers.set(peer.ID, peer);
    for (const id of map.PeersRemoved ?? []) this.peers.delete(id);
    for (const { NodeID, DERPRegion, ...changed } of map.PeersChangedPatch ?? []) {
      const peer = this.peers.get(NodeID);
      assert.ok(peer !== undefined, "a patch is for a known peer");
      const home = DERPRegion === undefined ? {} : { HomeDERP: DERPRegion, DERP: `127.3.3.40:${DERPRegion}` };
      this.peers.set(NodeID, { ...peer, ...changed, ...home });
    }
    for (const [id, Online] of Object.entries(map.OnlineChange ?? {})) {
      const { LastSeen: _, ...peer } = this.peers.get(Number(id))!;
      this.peers.set(Number(id), { ...peer, Online });
    }
  }
}

async function setUp(options: { maxPending?: number; keyExpiryMs?: number; coalesceMs?: number } = {}) {
  const world = await TailnetWorld.make({ keyExpiryMs: options.keyExpiryMs });
  const derpMap = derpMapOf({ host: "192.0.2.1", derpPort: 8443, stunPort: 3478 });
  const builder = new MapBuilder({ magicDnsDomain: "tail.test", derpMap, nodeCapabilities: {} });
  const { tailnet, scheduler } = world;
  const { maxPending = 100, coalesceMs = 25 } = options;
  const fanOut = new FanOut({ tailnet, builder, scheduler, coalesceMs, maxPending });
  const move = (machine: Machine & { id: number }, n: number, more: { home?: number; endpoints?: string[] } = {}) =>
    updateWhere(tailnet, machine.id, {
      Version: 113,
      NodeKey: machine.nodeKey,
      DiscoKey: disco(n),
      Endpoints: more.endpoints ?? [`192.0.2.1:${n}`],
      Hostinfo: {
        ...tailnet.nodes.get(machine.id)!.record.hostinfo,
        ...(more.home !== undefined && { NetInfo: { PreferredDERP: more.home } }),
      },
    }, scheduler.wall());
  return { world, fanOut, builder, move, tick: () => scheduler.advance(coalesceMs) };
}

Deno.test("FanOut sends the whole map first, then each kind of change in its lightest form", async () => {
  const { world, fanOut, move, tick } = await setUp();
  const [one, two] = [await world.join("one"), await world.join("two")];
  const client = new Client(one.id, fanOut);
  assert.equal(client.messages[0].Peers!.length, 1);
  const last = () => client.messages.at(-1)!;

  const three = await world.join("three", { user: "carol" });
  await tick();
  assert.deepEqual(Object.keys(last()), ["PeersChanged", "UserProfiles"]);
  assert.equal(last().UserProfiles![0].LoginName, "carol");

  await move(two, 7, { home: 900 });
  await tick();
  const patch = { NodeID: two.id, DERPRegion: 900, Endpoints: ["192.0.2.1:7"], DiscoKey: disco(7) };
  assert.deepEqual(last(), { PeersChangedPatch: [patch] });

  await world.tailnet.setOnline(two.id, true, world.scheduler.wall());
  await tick();
  assert.deepEqual(last(), { OnlineChange: { [two.id]: true } });

  await world.tailnet.setOnline(two.id, false, world.scheduler.wall());
  await tick();
  const seen = new Date(world.scheduler.wall() - 25).toISOString();
  assert.deepEqual(last(), { PeersChangedPatch: [{ NodeID: two.id, Online: false, LastSeen: seen }] });

  await move(two, 7, { endpoints: [] });
  await tick();
  assert.deepEqual(Object.keys(last()), ["PeersChanged", "UserProfiles"], "no patch can say that endpoints are gone");

  await world.admin.expireNode("two");
  await tick();
  assert.deepEqual(last().PeersChangedPatch!.map(({ NodeID, KeyExpiry }) => [NodeID, KeyExpiry !== undefined]), [[
    two.id,
    true,
  ]]);

  await world.admin.deleteNode("three");
  await tick();
  assert.deepEqual(last(), { PeersRemoved: [three.id] });
});

Deno.test("FanOut tells a node of itself only what it does not know, and nothing when nothing changed", async () => {
  const { world, fanOut, move, tick } = await setUp();
  const one = await world.join("one");
  const client = new Client(one.id, fanOut);
  await move(one, 1, { home: 900 });
  await tick();
  assert.equal(client.messages.length, 1);
  await world.register(one, undefined, { host: { Hostname: "renamed" } });
  await tick();
  assert.deepEqual(Object.keys(client.messages.at(-1)!), ["Node", "ControlTime"]);
  assert.equal(client.self!.Name, "renamed.tail.test.");
  await world.register(one, undefined, { host: { Hostname: "renamed" } });
  await tick();
  assert.equal(client.messages.length, 2);
});

Deno.test("FanOut coalesces: a hundred changes in one window are one message, and the first goes at once", async () => {
  const { world, fanOut, move, tick } = await setUp();
  const [one, two] = [await world.join("one"), await world.join("two")];
  const client = new Client(one.id, fanOut);
  await tick();
  await move(two, 1);
  await world.scheduler.advance(0);
  assert.equal(client.messages.length, 2);
  for (let n = 2; n <= 100; n++) await move(two, n);
  await world.scheduler.advance(24);
  assert.equal(client.messages.length, 2);
  await world.scheduler.advance(1);
  assert.equal(client.messages.length, 3);
  assert.equal(client.peers.get(two.id)!.DiscoKey, disco(100));
});

Deno.test("FanOut: a slow poll collects, gets one delta when ready, and the whole map past its bound", async () => {
  const { world, fanOut, move, tick } = await setUp({ maxPending: 3 });
  const one = await world.join("one");
  const others: (Machine & { id: number })[] = [];
  for (let i = 0; i < 5; i++) others.push(await world.join(`n${i}`));
  const client = new Client(one.id, fanOut);
  client.slow = true;
  await move(others[0], 1);
  await tick();
  assert.equal(client.messages.length, 2);
  for (let round = 2; round < 50; round++) for (const node of others.slice(0, 3)) await move(node, round);
  await tick();
  assert.equal(client.messages.length, 2, "it is not ready");
  client.subscription.ready();
  await tick();
  assert.equal(client.messages.length, 3);
  assert.equal(client.messages[2].PeersChangedPatch!.length, 3);

  for (const node of others) await move(node, 99);
  client.subscription.ready();
  await tick();
  assert.equal(client.messages[3].Peers!.length, 5);
  for (const node of others) assert.equal(client.peers.get(node.id)!.DiscoKey, disco(99));
});

Deno.test("FanOut: a newer poll of the same node ends the older; a removed node is told, then ended", async () => {
  const { world, fanOut, tick } = await setUp();
  const one = await world.join("one");
  const older = new Client(one.id, fanOut);
  const newer = new Client(one.id, fanOut);
  assert.deepEqual([older.ended, newer.ended, fanOut.size], [true, false, 1]);
  older.subscription.cancel();
  assert.equal(fanOut.size, 1, "an ended poll cancels only itself");
  await world.admin.deleteNode("one");
  await tick();
  assert.equal(newer.self!.Expired, true);
  assert.deepEqual([newer.ended, fanOut.size], [true, 0]);
});

Deno.test("FanOut: a node whose key is expired hears of itself only, and of all again with its new key", async () => {
  const { world, fanOut, move, tick } = await setUp({ keyExpiryMs: DAY });
  const [one, two] = [await world.join("one"), await world.join("two")];
  const client = new Client(one.id, fanOut);
  await world.admin.expireNode("one");
  await tick();
  assert.equal(client.self!.Expired, true);
  const sofar = client.messages.length;
  await move(two, 5);
  await tick();
  assert.equal(client.messages.length, sofar);
  await world.register({ ...one, nodeKey: world.nodeKey() }, await world.authKey());
  await tick();
  assert.equal(client.peers.get(two.id)!.DiscoKey, disco(5));
  assert.equal(client.self!.Expired, undefined);
});

Deno.test("FanOut: when all peers are gone a slow poll is ended, for no message could say so", async () => {
  const { world, fanOut, tick } = await setUp({ maxPending: 0 });
  const one = await world.join("one");
  await world.join("two");
  const client = new Client(one.id, fanOut);
  await world.admin.deleteNode("two");
  await tick();
  assert.equal(client.ended, true);
});

Deno.test("FanOut: after any changes every client's peers equal those of a whole map", async () => {
  for (let seed = 1; seed <= 15; seed++) {
    const random = new SeededRandom(seed);
    const { world, fanOut, builder, move, tick } = await setUp({ maxPending: 4 + random.int(6) });
    const { tailnet, scheduler } = world;
    let nodes: (Machine & { id: number })[] = [];
    for (let i = 0; i < 6; i++) nodes.push(await world.join(`n${i}`, { user: `u${i % 2}` }));
    const clients = nodes.slice(0, 3).map(({ id }) => new Client(id, fanOut));
    for (let step = 0; step < 120; step++) {
      const at = random.int(nodes.length);
      switch (random.int(9)) {
        case 0:
          nodes.push(await world.join(`n${random.int(5)}`));
          break;
        case 1:
          // The clients' own nodes stay.
          if (at >= 3) {
            await world.admin.deleteNode(String(nodes[at].id));
            nodes = nodes.filter((_, i) => i !== at);
          }
          break;
        case 2:
          await tailnet.setOnline(nodes[at].id, random.int(2) === 0, scheduler.wall());
          break;
        case 3:
          await move(nodes[at], random.int(3), { endpoints: random.int(2) === 0 ? [] : undefined });
          break;
        case 4:
          await move(nodes[at], random.int(3), { home: random.int(3) });
          break;
        case 5:
          await world.register(nodes[at], undefined, { host: { Hostname: `n${random.int(4)}` } });
          break;
        case 6: {
          const rekeyed = { ...nodes[at], nodeKey: world.nodeKey() };
          await world.register(rekeyed, await world.authKey({ user: `u${random.int(3)}` }));
          nodes[at] = rekeyed;
          break;
        }
        case 7: {
          const client = clients[random.int(clients.length)];
          client.slow = !client.slow;
          client.subscription.ready();
          break;
        }
        case 8:
          await tick();
      }
    }
    for (const client of clients) client.slow = false;
    for (const client of clients) client.subscription.ready();
    await tick();
    await tick();
    for (const client of clients) {
      const whole = builder.fullMap(tailnet, tailnet.nodes.get(client.nodeId)!, scheduler.wall());
      const wanted = JSON.parse(JSON.stringify(whole.Peers));
      assert.deepEqual([...client.peers.values()].sort((a, b) => a.ID - b.ID), wanted, `seed ${seed}`);
    }
  }
});

Deno.test("FanOut sends everybody the packet filter when a node begins or ceases to relay, and nobody otherwise", async () => {
  const { world, fanOut, builder, tick } = await setUp();
  const [one, two] = [await world.join("one"), await world.join("two")];
  const clients = [one, two].map(({ id }) => new Client(id, fanOut));
  const [ipv4, ipv6] = ["100.64.0.2", "fd7a:115c:a1e0::6440:2"];
  const relay = async (PeerRelay: boolean) => {
    await updateWhere(world.tailnet, two.id, {
      Version: 121,
      NodeKey: two.nodeKey,
      DiscoKey: disco(2),
      Hostinfo: { ...world.tailnet.nodes.get(two.id)!.record.hostinfo, PeerRelay },
    }, world.scheduler.wall());
    await tick();
  };
  const granted = (map: MapResponse | undefined) =>
    (map?.PacketFilter ?? []).flatMap(({ SrcIPs, CapGrant }) =>
      (CapGrant ?? []).map(({ Dsts, CapMap }) => [SrcIPs, Object.keys(CapMap!), Dsts])
    );
  const target = (n: number) => [
    [ipv4, ipv6],
    ["tailscale.com/cap/relay-target"],
    [`100.64.0.${n}/32`, `fd7a:115c:a1e0::6440:${n}/128`],
  ];
  await relay(true);
  assert.deepEqual(granted(clients[0].messages.at(-1)), [target(1)]);
  assert.equal(clients[0].peers.get(two.id)?.Hostinfo?.PeerRelay, true);
  assert.deepEqual(granted(clients[1].messages.at(-1)), [
    target(2),
    [["*"], ["tailscale.com/cap/relay"], [`${ipv4}/32`, `${ipv6}/128`]],
  ]);
  const late = builder.fullMap(world.tailnet, world.tailnet.nodes.get(one.id)!, world.scheduler.wall());
  assert.deepEqual(granted(late), [target(1)], "a new poll has it in its first map");

  const sent = clients.map(({ messages }) => messages.length);
  await relay(true);
  assert.deepEqual(clients.map(({ messages }) => messages.length), sent, "nothing changed");
  await relay(false);
  for (const { messages } of clients) {
    assert.equal(messages.at(-1)!.PacketFilter?.length, 1, "everything to everyone is left");
    assert.deepEqual(granted(messages.at(-1)), []);
  }
});
