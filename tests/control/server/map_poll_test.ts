import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { FanOut } from "../../../control/server/fan_out.ts";
import { MapBuilder } from "../../../control/server/map_builder.ts";
import { serveMap } from "../../../control/server/map_poll.ts";
import { Presence } from "../../../control/server/presence.ts";
import { derpMapOf } from "../../../control/server/relay.ts";
import { decompressMapFrame, MapFrameReader } from "../../../control/wire/map_frame.ts";
import type { MapRequest, MapResponse } from "../../../control/wire/tailcfg.ts";
import type { ServerHttp2Stream } from "../../../control/wire/h2.ts";
import type { Machine } from "../../support/tailnet_world.ts";
import { TailnetWorld } from "../../support/tailnet_world.ts";

/** The server's end of an HTTP/2 stream, and of its session. */
class FakeStream extends EventEmitter {
  status = 0;
  ended = false;
  destroyed = false;
  /** What `write` says: room for more. */
  room = true;
  pings: (() => void)[] = [];
  sessionDestroyed = false;
  readonly bodies: Uint8Array[] = [];
  readonly #reader = new MapFrameReader();

  readonly session = Object.assign(new EventEmitter(), {
    destroyed: false,
    ping: (done: () => void) => this.pings.push(done),
    destroy: () => {
      this.sessionDestroyed = true;
      this.destroy();
    },
  });

  respond(headers: Record<string, unknown>): void {
    this.status = Number(headers[":status"]);
  }

  write(bytes: Uint8Array): boolean {
    this.bodies.push(...this.#reader.push(bytes));
    return this.room;
  }

  end(bytes?: Uint8Array | string): void {
    if (bytes instanceof Uint8Array) this.write(bytes);
    this.ended = true;
    this.emit("close");
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }

  get messages(): MapResponse[] {
    return this.bodies.map((body) => JSON.parse(new TextDecoder().decode(body)));
  }
}

async function setUp() {
  const world = await TailnetWorld.make();
  const { tailnet, scheduler } = world;
  const derpMap = derpMapOf({ host: "192.0.2.1", derpPort: 8443, stunPort: 3478 });
  const builder = new MapBuilder({ magicDnsDomain: "tail.test", derpMap, nodeCapabilities: {} });
  const fanOut = new FanOut({ tailnet, builder, scheduler, coalesceMs: 25, maxPending: 100 });
  const presence = new Presence(tailnet, scheduler, 10_000);
  const options = { tailnet, builder, fanOut, presence, scheduler, jitter: () => 0.5 };
  const ask = async (machine: Machine, more: Partial<MapRequest>) => {
    const stream = new FakeStream();
    const request = { Version: 113, NodeKey: machine.nodeKey, DiscoKey: "", ...more };
    await serveMap(stream as unknown as ServerHttp2Stream, machine.machineKey, request, options);
    await scheduler.settle();
    return stream;
  };
  return { world, ask, fanOut };
}

Deno.test("serveMap() streams a map, keep-alives at 50 to 60 s of silence, and lets go of the poll at its end", async () => {
  const { world, ask, fanOut } = await setUp();
  const one = await world.join("one");
  const stream = await ask(one, { Stream: true, KeepAlive: true });
  assert.equal(stream.status, 200);
  assert.equal(stream.messages[0].Node!.Name, "one.tail.test.");
  assert.equal(world.tailnet.nodes.get(one.id)!.online, true);
  await world.scheduler.advance(54_999);
  assert.equal(stream.messages.length, 1);
  await world.scheduler.advance(1);
  assert.deepEqual(Object.keys(stream.messages[1]), ["KeepAlive", "ControlTime"]);
  stream.pings[0]();
  await world.scheduler.advance(55_000);
  assert.equal(stream.messages.length, 3);
  stream.pings[1]();
  stream.destroy();
  await world.scheduler.advance(10_000);
  assert.equal(fanOut.size, 0);
  assert.equal(world.tailnet.nodes.get(one.id)!.online, false);
  assert.equal(world.scheduler.pending, 0, "no timer is left");
});

Deno.test("serveMap(): a peer that does not answer the ping of a keep-alive is gone after 30 s", async () => {
  const { world, ask } = await setUp();
  const stream = await ask(await world.join("one"), { Stream: true });
  await world.scheduler.advance(55_000 + 29_999);
  assert.equal(stream.sessionDestroyed, false);
  await world.scheduler.advance(1);
  assert.equal(stream.sessionDestroyed, true);
});

Deno.test("serveMap(): a poll that takes nothing gets no keep-alives and is ended after two minutes", async () => {
  const { world, ask } = await setUp();
  const [one, two] = [await world.join("one"), await world.join("two")];
  const stream = await ask(one, { Stream: true });
  stream.room = false;
  await world.admin.expireNode("two");
  await world.scheduler.advance(119_000);
  assert.equal(stream.messages.length, 2);
  stream.room = true;
  stream.emit("drain");
  await world.register({ ...two, nodeKey: world.nodeKey() }, await world.authKey());
  stream.room = false;
  await world.scheduler.advance(25);
  assert.equal(stream.messages.length, 3);
  await world.scheduler.advance(120_000);
  assert.equal(stream.destroyed, true);
});

Deno.test("serveMap() answers in zstd only when asked", async () => {
  const { world, ask } = await setUp();
  const one = await world.join("one");
  const stream = await ask(one, { Stream: true, Compress: "zstd" });
  assert.throws(() => stream.messages);
  const json = decompressMapFrame(stream.bodies[0]) as Uint8Array;
  assert.equal(JSON.parse(new TextDecoder().decode(json)).Domain, "tail.test");
});

Deno.test("serveMap(): a lite update is stored and answered with nothing; a streaming request changes nothing", async () => {
  const { world, ask, fanOut } = await setUp();
  const one = await world.join("one");
  const where = { DiscoKey: `discokey:${"a".repeat(64)}`, Endpoints: ["192.0.2.1:1"] };
  const poll = await ask(one, { ...where, Stream: true });
  const record = () => world.tailnet.nodes.get(one.id)!.record;
  assert.deepEqual([record().discoKey, record().endpoints], ["", []]);
  const lite = await ask(one, { ...where, OmitPeers: true });
  assert.deepEqual([lite.status, lite.bodies.length, lite.ended], [200, 0, true]);
  assert.deepEqual([record().discoKey, record().endpoints], [where.DiscoKey, where.Endpoints]);
  assert.deepEqual([poll.ended, fanOut.size], [false, 1], "the poll goes on");
});

Deno.test("serveMap(): without a stream there is one whole map, with peers unless they are omitted", async () => {
  const { world, ask } = await setUp();
  const one = await world.join("one");
  await world.join("two");
  const once = await ask(one, { Endpoints: ["192.0.2.1:1"] });
  assert.deepEqual(once.messages.map(({ Peers }) => Peers!.length), [1]);
  assert.equal(once.ended, true);
  const derpMapOnly = await ask(one, { ReadOnly: true, OmitPeers: true });
  assert.equal(derpMapOnly.messages[0].Peers, undefined);
  assert.ok(derpMapOnly.messages[0].DERPMap !== undefined);
  assert.deepEqual(world.tailnet.nodes.get(one.id)!.record.endpoints, ["192.0.2.1:1"]);
});

Deno.test("serveMap() knows a node by its machine key and its node key together", async () => {
  const { world, ask } = await setUp();
  const [one, two] = [await world.join("one"), await world.join("two")];
  assert.equal((await ask({ ...two, nodeKey: one.nodeKey }, { Stream: true })).status, 404);
  assert.equal((await ask(world.machine(), { Stream: true })).status, 404);
  assert.equal((await ask(one, { Stream: true, Version: 67 })).status, 400);
});

Deno.test("serveMap(): a newer poll of the same node ends the older one, and the node stays online", async () => {
  const { world, ask, fanOut } = await setUp();
  const one = await world.join("one");
  const older = await ask(one, { Stream: true });
  const newer = await ask(one, { Stream: true });
  assert.deepEqual([older.ended, newer.ended, fanOut.size], [true, false, 1]);
  await world.scheduler.advance(20_000);
  assert.equal(world.tailnet.nodes.get(one.id)!.online, true);
});
