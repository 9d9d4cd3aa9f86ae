/** Warnings of a whole node in memory, when they come and when they go. */
import assert from "node:assert/strict";
import { ControlError } from "../../control/client/errors.ts";
import { NO_LOCAL_USE } from "../../daemon/netfilter/local_use.ts";
import { change } from "../../daemon/prefs.ts";
import { testNetmap, testNode } from "../support/fake_control.ts";
import { TestNode } from "../support/test_node.ts";

/** Codes of what is shown now. */
function shown(node: TestNode): string[] {
  node.backend.healthStrings();
  return Object.keys(node.backend.health.state(node.backend.now).Warnings ?? {}).sort();
}

async function runningNode(options?: ConstructorParameters<typeof TestNode>[0]): Promise<TestNode> {
  const node = new TestNode(options);
  node.control.netmap = testNetmap([testNode(2)]);
  await node.up();
  await node.goLive();
  return node;
}

Deno.test("health: a fresh node is off; one that was switched on is starting for five seconds, or until it runs", async () => {
  await using slow = new TestNode();
  slow.control.netmap = testNetmap([]);
  await slow.backend.start();
  assert.deepEqual(shown(slow), ["wantrunning-false"]);
  await slow.up();
  assert.deepEqual(shown(slow), ["warming-up"]);
  await slow.scheduler.advance(4_999);
  assert.ok(shown(slow).includes("warming-up"));
  // Told at its moment, not at the next look.
  await slow.scheduler.advance(1);
  const last = slow.notified.findLast(({ Health }) => Health !== undefined)!.Health!;
  assert.ok(!("warming-up" in (last.Warnings ?? {})), JSON.stringify(last));
  slow.down();
  assert.deepEqual(shown(slow), ["wantrunning-false"]);

  await using quick = await runningNode();
  assert.equal(quick.backend.state, "Running");
  assert.ok(!shown(quick).includes("warming-up"));
});

Deno.test("health: a machine without a network says that after five seconds, and not what follows from it", async () => {
  await using node = await runningNode();
  node.networks = [{ device: "lo", prefix: "127.0.0.1/8", kind: "loopback" }];
  node.control.poll!.handlers.status!({
    kind: "retrying",
    error: new ControlError("unreachable", "no route"),
    atMs: 0,
  });
  await node.scheduler.advance(60_000);
  assert.ok(shown(node).includes("network-status"));
  assert.ok(!shown(node).includes("agent-control-unreachable"));
  node.networks = [{ device: "docker0", prefix: "172.17.0.1/16", kind: "guests" }];
  assert.ok(!shown(node).includes("network-status"));
  assert.ok(shown(node).includes("agent-control-unreachable"));
});

Deno.test("health: control away is ours to tell after ten seconds, and Tailscale's after eight minutes", async () => {
  await using node = await runningNode();
  node.control.poll!.handlers.status!({ kind: "retrying", error: new ControlError("unreachable", "gone"), atMs: 0 });
  const after = async (ms: number) => {
    await node.scheduler.advance(ms);
    return shown(node).filter((code) => /map-poll|unreachable/.test(code));
  };
  assert.deepEqual(await after(9_999), []);
  assert.deepEqual(await after(1), ["agent-control-unreachable"]);
  assert.deepEqual(await after(8 * 60_000 - 10_001), ["agent-control-unreachable"]);
  assert.deepEqual(await after(1), ["agent-control-unreachable", "not-in-map-poll"]);
  node.control.poll!.handlers.status!({ kind: "connected" });
  assert.deepEqual(await after(0), []);
});

Deno.test("health: an exit node without source NAT, and Docker behind stateful filtering", async () => {
  await using node = await runningNode();
  const set = (values: Parameters<typeof change>[0]) => node.backend.editPrefs(change(values));
  set({ AdvertiseRoutes: ["0.0.0.0/0", "::/0"], NoSNAT: true });
  assert.ok(shown(node).includes("nosnat-with-advertised-exit-node"));
  set({ NoSNAT: false, NoStatefulFiltering: false });
  assert.deepEqual(shown(node).filter((code) => /nosnat|docker/.test(code)), []);
  node.networks = [...node.networks, { device: "docker0", prefix: "172.17.0.1/16", kind: "guests" }];
  assert.ok(shown(node).includes("docker-stateful-filtering"));
  set({ NoStatefulFiltering: true });
  assert.ok(!shown(node).includes("docker-stateful-filtering"));
});

Deno.test("health: the log tells when a warning comes, says something else, and goes; not that a time goes on", async () => {
  await using node = await runningNode();
  const told = () => node.logged.filter((line) => line.includes("health(")).map((line) => line.trimEnd());
  const before = told().length;
  node.backend.problem("router", "no way out");
  await node.settle();
  node.backend.problem("router", "no way out, tried 3 times");
  await node.settle();
  node.backend.problem("router", "no way out, tried 4 times");
  await node.settle();
  node.backend.problem("router", "");
  await node.settle();
  assert.deepEqual(told().slice(before), [
    "warn: health(warnable=router): error: no way out",
    "warn: health(warnable=router): error: no way out, tried 3 times",
    "health(warnable=router): ok",
  ]);
  node.down();
  await node.settle();
  assert.equal(told().at(-1), "health(warnable=wantrunning-false): error: Tailscale is stopped.");
});

Deno.test("health: a look at the routing table that fails is survived, and what was known of it stands", async () => {
  let look = (): readonly string[] => ["100.64.0.9"];
  await using node = await runningNode({
    localUse: { ...NO_LOCAL_USE, tunnels: ["tailscale0"] },
    addressesInTwoTailnets: () => look(),
  });
  const conflict = () => shown(node).includes("agent-address-conflict");
  assert.ok(conflict());
  look = () => {
    throw new Error("netlink: the answer was interrupted");
  };
  await node.scheduler.advance(20_000);
  assert.ok(conflict());
  assert.ok(node.logged.some((line) => line.includes("addresses in two tailnets: netlink: the answer was")));
  assert.deepEqual([node.backend.state, node.failure], ["Running", undefined]);
  look = () => [];
  await node.scheduler.advance(20_000);
  assert.ok(!conflict(), "the next look is believed");
});
