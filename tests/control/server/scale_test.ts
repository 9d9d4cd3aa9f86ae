import assert from "node:assert/strict";
import { FanOut } from "../../../control/server/fan_out.ts";
import { MapBuilder } from "../../../control/server/map_builder.ts";
import { derpMapOf } from "../../../control/server/relay.ts";
import { updateWhere } from "../../../control/server/where_update.ts";
import type { MapResponse } from "../../../control/wire/tailcfg.ts";
import { TailnetWorld } from "../../support/tailnet_world.ts";

Deno.test("a tailnet of 1,000 polls: one change is one shared message, and a churning tenth stays cheap", async () => {
  const world = await TailnetWorld.make();
  const { tailnet, scheduler } = world;
  const key = await world.authKey({ reusable: true });
  const machines = Array.from({ length: 1000 }, () => world.machine());
  for (const machine of machines) await world.register(machine, key);
  const derpMap = derpMapOf({ host: "192.0.2.1", derpPort: 8443, stunPort: 3478 });
  const builder = new MapBuilder({ magicDnsDomain: "tail.test", derpMap, nodeCapabilities: {} });
  const fanOut = new FanOut({ tailnet, builder, scheduler, coalesceMs: 25, maxPending: 1000 });
  let messages: MapResponse[] = [];
  for (const nodeId of tailnet.nodes.keys()) {
    fanOut.subscribe({ nodeId, send: (message) => messages.push(message) > 0, end: () => assert.fail("ended") });
  }
  const move = (at: number, port: number) => {
    const { nodeKey } = machines[at];
    const request = { Version: 113, NodeKey: nodeKey, DiscoKey: "", Endpoints: [`192.0.2.1:${port}`] };
    return updateWhere(tailnet, tailnet.byNodeKey(nodeKey)!.record.id, request, scheduler.wall());
  };

  messages = [];
  await move(0, 1);
  await scheduler.advance(25);
  assert.equal(messages.length, 999);
  assert.equal(new Set(messages).size, 1, "one object, and so one encoding, for all");

  messages = [];
  const start = performance.now();
  for (let port = 2; port < 7; port++) for (let at = 0; at < 100; at++) await move(at, port);
  await scheduler.advance(25);
  const ms = performance.now() - start;
  // The 900 that did not move share one message; each of the 100 that did gets the others' changes.
  assert.equal(new Set(messages).size, 101);
  assert.equal(messages.length, 1000);
  assert.ok(ms < 5000, `500 updates to 1,000 polls took ${ms.toFixed(0)} ms`);
});
