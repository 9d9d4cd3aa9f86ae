import assert from "node:assert/strict";
import { createLog } from "../../daemon/log.ts";
import { LogLimit, shapeOf } from "../../daemon/log_limit.ts";
import { LogTail } from "../../daemon/log_tail.ts";
import { LogThreshold } from "../../daemon/log_level.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";

/** A log with a limit and a clock of its own. */
class Limited {
  now = 0;
  readonly lines: string[] = [];
  readonly log = createLog({
    verbose: 1,
    wall: () => this.now,
    bare: true,
    limit: new LogLimit(),
    write: (line) => this.lines.push(line.trimEnd()),
  });
}

Deno.test("LogLimit lets a place write five lines, then one every five seconds, and tells what was left out", () => {
  const limited = new Limited();
  for (let i = 0; i < 105; i++) limited.log.warn(`peer ${i} is gone`);
  assert.deepEqual(limited.lines, [0, 1, 2, 3, 4].map((i) => `warn: peer ${i} is gone`));
  limited.now = 4_999;
  limited.log.warn("peer 105 is gone");
  assert.equal(limited.lines.length, 5);
  limited.now = 5_000;
  limited.log.warn("peer 106 is gone");
  assert.deepEqual(limited.lines.slice(5), [
    "warn: 101 lines like this were left out: peer 105 is gone",
    "warn: peer 106 is gone",
  ]);
});

Deno.test("LogLimit holds one place back and no other, and tells of a quiet one with the next line of anybody", () => {
  const limited = new Limited();
  for (let i = 0; i < 7; i++) limited.log.info(`connection from 192.0.2.${i}:41641`);
  limited.log.info("connection refused");
  assert.equal(limited.lines.at(-1), "connection refused");
  limited.now = 60_000;
  limited.log.info("state Starting -> Running");
  assert.deepEqual(limited.lines.slice(6), [
    "2 lines like this were left out: connection from 192.0.2.6:41641",
    "state Starting -> Running",
  ]);
});

Deno.test("LogLimit remembers a hundred places, and loses no count with the one it forgets", () => {
  const limited = new Limited();
  for (let i = 0; i < 6; i++) limited.log.info("the first");
  const words = Array.from(
    { length: 100 },
    (_, i) => `place ${"abcdefghij"[i % 10]}x${"klmnopqrst"[Math.floor(i / 10)]}`,
  );
  for (const word of words) limited.log.info(word);
  assert.ok(limited.lines.includes("1 line like this was left out: the first"), limited.lines.join("\n"));
});

Deno.test("LogLimit begins anew when the clock is set back", () => {
  const limited = new Limited();
  limited.now = 1e12;
  for (let i = 0; i < 6; i++) limited.log.info("again");
  limited.now = 0;
  limited.log.info("again");
  limited.now = 5_000;
  limited.log.info("again");
  assert.equal(limited.lines.at(-1), "again");
});

Deno.test("shapeOf() takes out keys, addresses and numbers, and leaves words", () => {
  assert.equal(
    shapeOf(`nodekey:${"ab".repeat(32)} at [fd7a:115c::1]:41641 and 10.1.2.3:80, 5 ms`),
    "# at # and #, # ms",
  );
  assert.equal(shapeOf("token aZ3kQ+/x9== of web1 failed"), "token # of # failed");
  assert.equal(shapeOf("state Starting -> Running"), "state Starting -> Running");
});

Deno.test("LogLimit tells lines apart that begin alike", () => {
  const limited = new Limited();
  const begin = "Cannot use the configuration ".repeat(10);
  for (let i = 0; i < 10; i++) limited.log.info(`${begin}and so on`);
  limited.log.info(`${begin}for another reason`);
  assert.equal(limited.lines.length, 6);
  assert.match(limited.lines[5], /another reason$/);
});

Deno.test("LogLimit tells of what was left out at its level, by where it came from, and at the end too", () => {
  const written: string[] = [];
  let end = () => {};
  const log = createLog({
    verbose: 1,
    wall: () => 0,
    journal: true,
    limit: new LogLimit(),
    atEnd: (run) => end = run,
    write: (line) => written.push(line.trimEnd()),
  });
  const of = { debug: 6, info: 7, warn: 8, error: 9 };
  for (const [level, count] of Object.entries(of)) {
    for (let i = 0; i < count; i++) log.child("derp")[level as keyof typeof of](`try ${i}`);
  }
  assert.equal(written.length, 20, "levels are places of their own");
  end();
  assert.deepEqual(written.slice(20), [
    "<7>1 line like this was left out: derp: try 5",
    "<6>2 lines like this were left out: derp: try 6",
    "<4>warn: 3 lines like this were left out: derp: try 7",
    "<3>error: 4 lines like this were left out: derp: try 8",
  ]);
  end();
  assert.equal(written.length, 24, "once");
});

Deno.test("a process that ends tells what its log left out", async () => {
  const log = new URL("../../daemon/log.ts", import.meta.url);
  const code = `import { stderrLog } from "${log}";
    const { log } = stderrLog(0);
    for (let i = 0; i < 7; i++) log.warn("again");
    Deno.exit(3);`;
  const { code: exit, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", code],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const lines = new TextDecoder().decode(stderr).trimEnd().split("\n");
  assert.equal(exit, 3);
  assert.match(lines.at(-1)!, /warn: 2 lines like this were left out: again$/);
});

Deno.test("LogThreshold changes what is written while the log runs, and goes back by itself", async () => {
  const scheduler = new FakeScheduler(0);
  const threshold = new LogThreshold("info");
  const lines: string[] = [];
  const log = createLog({ verbose: 0, threshold, wall: () => 0, bare: true, write: (line) => lines.push(line) });
  const heard = () => {
    lines.length = 0;
    for (const level of ["debug", "info", "warn", "error"] as const) log[level](level);
    return lines.length;
  };
  assert.equal(heard(), 3);
  threshold.setFor("debug", 10_000, scheduler);
  assert.deepEqual([heard(), threshold.until], [4, 10_000]);
  // A time within a time goes back to what was set for good.
  threshold.setFor("error", 1_000, scheduler);
  assert.equal(heard(), 1);
  await scheduler.advance(1_000);
  assert.deepEqual([heard(), threshold.until, scheduler.pending], [3, undefined, 0]);
  threshold.setFor("debug", 10_000, scheduler);
  threshold.set("warn");
  await scheduler.advance(20_000);
  assert.equal(heard(), 2);
  threshold.restore();
  assert.equal(threshold.level, "warn");
});

Deno.test("LogTail keeps the last quarter of a megabyte, debug lines too, and no secret", () => {
  const tail = new LogTail();
  const log = createLog({ verbose: 0, wall: () => 0, write: () => {}, tail, limit: new LogLimit() });
  for (let i = 0; i < 20_000; i++) log.debug(`line ${i} ${"x".repeat(40)}`);
  log.child("control").error("key tskey-auth-secret refused");
  const text = tail.text();
  assert.ok(text.length <= 256 << 10 && text.length > 250_000, String(text.length));
  const lines = text.trimEnd().split("\n");
  assert.equal(lines.at(-1), "1970-01-01T00:00:00.000Z error: control: key [redacted] refused");
  assert.match(lines.at(-2)!, /line 19999/);
  assert.match(lines[0], /^1970/);
});
