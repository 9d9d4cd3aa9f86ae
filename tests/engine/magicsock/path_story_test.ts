import assert from "node:assert/strict";
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

Deno.test("PathStory keeps the last 48 events and no more", () => {
  const story = new PathStory();
  for (let i = 0; i < 1_000; i++) story.note("heard", `192.0.2.1:${i}`, i);
  const told = story.tell(1_000);
  assert.equal(told.length, 48);
  assert.equal(told.at(-1)!.path, "192.0.2.1:999");
});
