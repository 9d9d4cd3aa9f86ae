import assert from "node:assert/strict";
import { PortalWatch } from "../../daemon/portal_watch.ts";
import { testNetmap, testNode } from "../support/fake_control.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";
import { TestNode } from "../support/test_node.ts";

/** A watch whose answers the test gives. */
class Watched {
  readonly scheduler = new FakeScheduler();
  readonly told: boolean[] = [];
  /** When it asked, ms. */
  readonly asked: number[] = [];
  answers: boolean | "never" = true;
  readonly watch = new PortalWatch({
    scheduler: this.scheduler,
    find: () => {
      this.asked.push(this.scheduler.monotonic());
      return this.answers === "never" ? new Promise(() => {}) : Promise.resolve(this.answers);
    },
    changed: (found) => this.told.push(found),
  });
}

Deno.test("PortalWatch asks two seconds after something impacts connectivity, and not when it was well by then", async () => {
  const { watch, scheduler, asked, told } = new Watched();
  watch.update("relay");
  await scheduler.advance(1_900);
  watch.update(undefined);
  await scheduler.advance(10_000);
  assert.deepEqual(asked, []);
  watch.update("relay");
  await scheduler.advance(1_900);
  watch.update("relay");
  await scheduler.advance(100);
  assert.deepEqual([asked, told], [[13_900], [true]]);
});

Deno.test("PortalWatch asks again when something else is wrong, and after a minute; what was found goes when all is well", async () => {
  const watched = new Watched();
  const { watch, scheduler, asked, told } = watched;
  watch.update("relay");
  await scheduler.advance(3_000);
  watch.update("relay, and more");
  watched.answers = false;
  await scheduler.advance(2_000);
  assert.deepEqual([asked, told], [[2_000, 5_000], [true, false]]);
  watched.answers = true;
  for (let i = 0; i < 70; i++) {
    watch.update("relay, and more");
    await scheduler.advance(1_000);
  }
  assert.deepEqual([asked.at(-1), told], [65_000, [true, false, true]]);
  watch.update(undefined);
  assert.deepEqual(told, [true, false, true, false]);
  await scheduler.advance(300_000);
  assert.equal(asked.length, 3);
});

Deno.test("PortalWatch: an answer that comes when all is well again counts for nothing; closed it is silent", async () => {
  const watched = new Watched();
  const { watch, scheduler, told } = watched;
  watched.answers = "never";
  watch.update("relay");
  await scheduler.advance(2_000);
  watch.update(undefined);
  watched.answers = true;
  watch.update("relay");
  watch.close();
  await scheduler.advance(300_000);
  assert.deepEqual([told, scheduler.pending], [[], 0]);
});

Deno.test("a running node behind a captive portal says so, unless control forbids to look", async () => {
  const asked: string[] = [];
  const node = new TestNode({
    askWeb: (url) => {
      asked.push(new URL(url).host);
      return Promise.resolve({ status: 302, response: "" });
    },
  });
  node.control.netmap = testNetmap([]);
  await node.up({}, "tskey-auth-secret");
  await node.goLive();
  const warned = () => node.backend.health.state(node.backend.now).Warnings?.["captive-portal-detected"];
  node.backend.problem("dns-forward-failing", "192.0.2.53");
  await node.settle();
  await node.scheduler.advance(17_000);
  assert.deepEqual(asked, ["controlplane.tailscale.com", "login.tailscale.com"]);
  assert.deepEqual({ ...warned(), BrokenSince: "", ETag: "" }, {
    WarnableCode: "captive-portal-detected",
    Severity: "high",
    Title: "Captive portal detected",
    Text: "This network requires you to log in using your web browser.",
    BrokenSince: "",
    DependsOn: ["warming-up"],
    ETag: "",
    ImpactsConnectivity: true,
  });
  assert.ok(node.notified.some(({ Health }) => Health?.Warnings?.["captive-portal-detected"] !== undefined));
  const CapMap = { "disable-captive-portal-detection": [] };
  node.control.send(testNetmap([], { self: testNode(1, { CapMap }) }));
  await node.settle();
  assert.equal(warned(), undefined);
  await node.scheduler.advance(120_000);
  assert.equal(asked.length, 2);
  await node.backend.close();
});
