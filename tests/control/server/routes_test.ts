import assert from "node:assert/strict";
import { MapBuilder } from "../../../control/server/map_builder.ts";
import { checkOptions } from "../../../control/server/coordinator_options.ts";
import { derpMapOf } from "../../../control/server/relay.ts";
import { assignPrimaries, enabledRoutes } from "../../../control/server/routes.ts";
import type { NodeChange } from "../../../control/server/tailnet.ts";
import { TailnetWorld } from "../../support/tailnet_world.ts";

async function world() {
  const all = await TailnetWorld.make();
  const { tailnet, admin, scheduler } = all;
  const [one, two, three] = [await all.join("one"), await all.join("two"), await all.join("three")];
  const offer = (id: number, RoutableIPs: string[]) =>
    tailnet.change(async (tx) => {
      const node = (await tx.nodes.byId(id))!;
      await tx.nodes.update({ ...node, hostinfo: { ...node.hostinfo, RoutableIPs } });
    });
  const online = (id: number, yes: boolean) => tailnet.setOnline(id, yes, scheduler.wall());
  const carries = (id: number) => tailnet.nodes.get(id)!.carries ?? [];
  const changes: NodeChange[] = [];
  tailnet.listen((some) => changes.push(...some));
  return { tailnet, admin, scheduler, one, two, three, offer, online, carries, changes };
}

const NET = "10.1.0.0/16";
const derpMap = derpMapOf({ host: "192.0.2.1", derpPort: 1, stunPort: -1 });
const builder = new MapBuilder({ magicDnsDomain: "tail.test", derpMap, nodeCapabilities: {} });

Deno.test("routes: nothing leads to a node before the operator approves it; what is taken back leads there no more", async () => {
  const { tailnet, admin, one, offer, online, carries } = await world();
  await online(one.id, true);
  await offer(one.id, [NET, "0.0.0.0/0", "::/0", "10.2.0.1/16", "nonsense"]);
  assert.deepEqual(carries(one.id), []);
  const peer = () => builder.peerNode(tailnet.nodes.get(one.id)!, 0);
  assert.equal(peer().AllowedIPs!.length, 2);
  const approved = await admin.setRoutes({ node: "one", routes: [NET], approve: true });
  assert.deepEqual(approved.routes, { offered: ["0.0.0.0/0", NET, "::/0"], approved: [NET], carried: [NET] });
  assert.deepEqual([peer().AllowedIPs!.slice(2), peer().PrimaryRoutes, peer().CapMap], [[NET], [NET], undefined]);
  await admin.setRoutes({ node: "one", routes: ["exit"], approve: true });
  assert.deepEqual(peer().AllowedIPs!.slice(2), ["0.0.0.0/0", NET, "::/0"]);
  assert.deepEqual([peer().PrimaryRoutes, peer().CapMap], [[NET], { "suggest-exit-node": [] }]);
  await admin.setRoutes({ node: "one", routes: ["all"], approve: false });
  assert.deepEqual(carries(one.id), []);
  await assert.rejects(admin.setRoutes({ node: "one", routes: ["10.1.0.0"], approve: true }), /want a prefix/);
  await assert.rejects(admin.setRoutes({ node: "one", routes: ["10.1.2.3/16"], approve: true }), /want a prefix/);
});

Deno.test("routes: of two nodes with one subnet the first carries it, the other when it goes, and the first does not take it back", async () => {
  const { admin, one, two, three, offer, online, carries, changes } = await world();
  for (const { id } of [one, two]) {
    await online(id, true);
    await offer(id, [NET]);
    await admin.setRoutes({ node: String(id), routes: ["all"], approve: true });
  }
  assert.deepEqual([carries(one.id), carries(two.id)], [[NET], []]);
  changes.length = 0;
  await online(one.id, false);
  assert.deepEqual([carries(one.id), carries(two.id)], [[], [NET]]);
  assert.deepEqual(changes.map(({ after }) => after!.record.id).sort(), [one.id, two.id], "told in one change");
  await online(one.id, true);
  assert.deepEqual([carries(one.id), carries(two.id)], [[], [NET]]);
  await online(three.id, true);
  await offer(two.id, []);
  assert.deepEqual([carries(one.id), carries(two.id)], [[NET], []]);
  await online(one.id, false);
  assert.deepEqual(carries(one.id), [NET], "nobody else has it: peers keep the way that may come back");
  await admin.deleteNode("one");
  assert.deepEqual(carries(two.id), []);
});

Deno.test("routes: what is approved beforehand needs no operator, and nothing around it is", async () => {
  const { tailnet, one, offer } = await world();
  await offer(one.id, ["10.1.2.0/24", "10.0.0.0/7", "fd00::/8", "0.0.0.0/0", "::/0"]);
  const { record } = tailnet.nodes.get(one.id)!;
  const { approval } = checkOptions({ stateDir: "/none", approveRoutes: "10.0.0.0/8, exit" });
  assert.deepEqual(enabledRoutes(record, approval), ["0.0.0.0/0", "10.1.2.0/24", "::/0"]);
  assert.deepEqual(enabledRoutes(record, checkOptions({ stateDir: "/none" }).approval), []);
  assert.throws(
    () => checkOptions({ stateDir: "/none", approveRoutes: "10.0.0.1/8" }),
    /--approve-routes 10\.0\.0\.1\/8/,
  );
  assert.deepEqual([...assignPrimaries([{ record, online: true }], new Map(), approval)], [["10.1.2.0/24", one.id]]);
});
