import assert from "node:assert/strict";
import { EPHEMERAL_OFFLINE_MS, EphemeralNodes } from "../../../control/server/ephemeral_nodes.ts";
import { Presence } from "../../../control/server/presence.ts";
import { openSqliteStore } from "../../../control/server/sqlite_store.ts";
import { TailnetWorld } from "../../support/tailnet_world.ts";

Deno.test("Presence: online with the first poll, offline a grace after the last, last seen stored", async () => {
  const world = await TailnetWorld.make();
  const { id } = await world.join("one");
  const presence = new Presence(world.tailnet, world.scheduler, 10_000);
  const view = () => world.tailnet.nodes.get(id)!;
  const [leaveA, leaveB] = [presence.enter(id), presence.enter(id)];
  await world.scheduler.settle();
  assert.equal(view().online, true);
  leaveA();
  await world.scheduler.advance(60_000);
  assert.equal(view().online, true);
  leaveB();
  await world.scheduler.advance(9_999);
  assert.equal(view().online, true);
  presence.enter(id)();
  await world.scheduler.advance(9_999);
  assert.equal(view().online, true, "a poll within the grace begins it anew");
  await world.scheduler.advance(1);
  assert.equal(view().online, false);
  assert.equal(view().record.lastSeen, world.scheduler.wall());
  assert.equal((await world.tailnet.change((tx) => tx.nodes.byId(id)))!.lastSeen, world.scheduler.wall());
});

Deno.test("EphemeralNodes removes a node after 30 minutes offline, and only an ephemeral one", async () => {
  const world = await TailnetWorld.make();
  const ephemeral = new EphemeralNodes(world.tailnet, world.scheduler);
  const passing = await world.join("passing", { ephemeral: true });
  const lasting = await world.join("lasting");
  const presence = new Presence(world.tailnet, world.scheduler, 0);
  const here = (id: number) => world.tailnet.nodes.has(id);

  const leave = presence.enter(passing.id);
  await world.scheduler.advance(10 * EPHEMERAL_OFFLINE_MS);
  assert.ok(here(passing.id), "online for hours");
  leave();
  await world.scheduler.advance(EPHEMERAL_OFFLINE_MS - 1);
  const back = presence.enter(passing.id);
  await world.scheduler.advance(EPHEMERAL_OFFLINE_MS);
  assert.ok(here(passing.id), "came back in time");
  back();
  await world.scheduler.advance(EPHEMERAL_OFFLINE_MS);
  assert.ok(!here(passing.id));
  assert.ok(here(lasting.id));
  assert.equal((await world.tailnet.change((tx) => tx.nodes.all())).length, 1);

  await world.join("never polls", { ephemeral: true });
  await world.scheduler.advance(EPHEMERAL_OFFLINE_MS);
  assert.equal(world.tailnet.nodes.size, 1);
  ephemeral.close();
});

Deno.test("EphemeralNodes: after a restart an ephemeral node has its 30 minutes from the start", async () => {
  const dir = await Deno.makeTempDir({ prefix: "agent-ephemeral-" });
  try {
    const first = await TailnetWorld.make({ store: openSqliteStore(`${dir}/db`) });
    await first.join("passing", { ephemeral: true });
    await first.tailnet.close();

    const world = await TailnetWorld.make({ store: openSqliteStore(`${dir}/db`) });
    const ephemeral = new EphemeralNodes(world.tailnet, world.scheduler);
    await world.scheduler.advance(EPHEMERAL_OFFLINE_MS - 1);
    assert.equal(world.tailnet.nodes.size, 1);
    await world.scheduler.advance(1);
    assert.equal(world.tailnet.nodes.size, 0);
    ephemeral.close();
    await world.tailnet.close();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
