import assert from "node:assert/strict";
import { introduce, Network } from "./network.ts";
import { PathStory } from "../../../engine/magicsock/path_story.ts";

Deno.test("PathStory folds what repeats, until the path changes", () => {
  const story = new PathStory();
  for (let at = 0; at < 30_000; at += 3_000) {
    story.note("ping", "192.0.2.1:1", at);
    story.note("pong", "192.0.2.1:1", at + 5, 5);
  }
  assert.deepEqual(story.tell(30_000), [
    { kind: "ping", path: "192.0.2.1:1", firstAgoMs: 30_000, lastAgoMs: 3_000, count: 10 },
    { kind: "pong", path: "192.0.2.1:1", firstAgoMs: 29_995, lastAgoMs: 2_995, count: 10, latencyMs: 5 },
  ]);
  story.note("path", "derp-1", 30_000);
  story.note("ping", "192.0.2.1:1", 30_001);
  assert.deepEqual(story.tell(30_001).map(({ kind, count }) => [kind, count]), [
    ["ping", 10],
    ["pong", 10],
    ["path", 1],
    ["ping", 1],
  ]);
});

Deno.test("PathStory keeps the last 64 events and 16 changes of path, and neither drives the other out", () => {
  const story = new PathStory();
  for (let i = 0; i < 40; i++) story.note("path", `derp-${i}`, i);
  for (let i = 0; i < 1_000; i++) story.note("heard", `192.0.2.1:${i}`, 100 + i);
  const told = story.tell(2_000);
  assert.equal(told.filter(({ kind }) => kind === "path").length, 16);
  assert.equal(told.length, 64 + 16);
  assert.equal(told.at(-1)!.path, "192.0.2.1:999");
});

Deno.test("the story of a path survives an outage with many silent candidates, and a rebind", () => {
  const network = new Network(41);
  const a = network.add({ name: "a", local: "192.168.1.2:41641", nat: "easy", publicIp: "192.0.2.1" });
  const b = network.add({ name: "b", local: "192.168.7.3:41641", nat: "easy", publicIp: "203.0.113.9" });
  introduce(a, b, network.now);
  const endpoint = a.peer(b);
  const traffic = () => {
    for (const way of [endpoint, b.peer(a)]) way.pathForSend(network.now);
  };
  network.run(5_000, traffic);
  assert.match(endpoint.report(network.now).best, /^203\.0\.113\.9:/);
  a.magicsock.rebind(network.now);
  const paths = () => endpoint.report(network.now).events.filter(({ kind }) => kind === "path").map(({ path }) => path);
  assert.equal(paths().at(-1), "derp-1", "given up at once");
  network.run(120_000, traffic);
  const { events, best } = endpoint.report(network.now);
  assert.ok(paths().length >= 3, "there, given up, there again");
  assert.equal(paths().at(-1), best);
  assert.ok(events.length < 40, `${events.length} entries tell two minutes`);
});
