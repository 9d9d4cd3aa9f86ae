import assert from "node:assert/strict";
import { EXPIRY_WARNING_MS, KeyExpiry, spanText } from "../../daemon/key_expiry.ts";
import type { KeyNotice } from "../../daemon/key_expiry.ts";
import { createLog } from "../../daemon/log.ts";
import { allMetrics } from "../../daemon/metrics.ts";
import { metricsInput } from "../../daemon/backend_status.ts";
import { parseDaemonFlags } from "../../daemon/flags.ts";
import { testNetmap, testNode } from "../support/fake_control.ts";
import { TestNode } from "../support/test_node.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const EXPIRY = Date.parse("2026-06-15T00:00:00Z");

const self = (expiry: number | undefined, fields = {}) =>
  testNode(1, { ...(expiry !== undefined && { KeyExpiry: new Date(expiry).toISOString() }), ...fields });

function watched(warnMs: number) {
  const told: string[] = [];
  const lines: string[] = [];
  const log = createLog({ verbose: 0, wall: () => 0, bare: true, write: (line) => lines.push(line) });
  const hook = ({ event, leftMs }: KeyNotice) => told.push(`${event} ${leftMs / HOUR}`);
  return { expiry: new KeyExpiry({ warnMs, hook }, log), told, lines };
}

Deno.test("KeyExpiry tells of a key at the begin of its window, once a day, and when it has expired", () => {
  const { expiry, told, lines } = watched(2 * DAY);
  const look = (hoursBefore: number) => expiry.look(self(EXPIRY), EXPIRY - hoursBefore * HOUR)?.event;
  assert.deepEqual([look(100), look(48)], [undefined, undefined]);
  assert.deepEqual([look(47), look(46), look(24), look(23), look(22)], Array(5).fill("expiring"));
  assert.deepEqual(told, ["expiring 47", "expiring 23"]);
  assert.deepEqual([look(0), look(-1), look(-24)], ["expired", "expired", "expired"]);
  assert.deepEqual(told.slice(2), ["expired 0", "expired 0"]);
  assert.equal(lines.length, 4);
  assert.match(
    lines[0],
    /warn: the node key expires in 47 hours, at 2026-06-15T00:00:00\.000Z; 'renew' gets a new one/,
  );
  assert.match(lines[2], /warn: the node key expired at 2026-06-15T00:00:00\.000Z/);
});

Deno.test("KeyExpiry is content with a new key or a later time, and speaks of the next end anew", () => {
  const { expiry, told } = watched(2 * DAY);
  const now = EXPIRY - DAY;
  assert.equal(expiry.look(self(EXPIRY), now)?.event, "expiring");
  assert.equal(expiry.look(self(EXPIRY + 90 * DAY), now), undefined);
  assert.equal(expiry.look(self(EXPIRY + 90 * DAY), EXPIRY + 89 * DAY)?.event, "expiring");
  // A renewed key that is short-lived, too, is another key.
  const key = `nodekey:${"ab".repeat(32)}`;
  assert.equal(expiry.look(self(EXPIRY + 90 * DAY, { Key: key }), EXPIRY + 89 * DAY)?.nodeKey, key);
  assert.equal(told.length, 3);
});

Deno.test("KeyExpiry says nothing of keys that do not expire, and with no window only when it is over", () => {
  const { expiry, told } = watched(0);
  assert.equal(expiry.look(self(undefined), EXPIRY), undefined);
  assert.equal(expiry.look(undefined, EXPIRY), undefined);
  assert.equal(expiry.look(self(EXPIRY), EXPIRY - 1), undefined);
  assert.equal(expiry.look(self(EXPIRY), EXPIRY)?.event, "expired");
  // Control may end a key at once, whatever time stands there.
  assert.equal(expiry.look(self(EXPIRY, { Expired: true }), EXPIRY - DAY)?.event, "expired");
  assert.deepEqual(told, ["expired 0"]);
});

Deno.test("spanText() gives the largest unit of which there are two", () => {
  const texts = [13.9 * DAY, 47 * HOUR, 119 * 60_000, 119_000, 59_000].map(spanText);
  assert.deepEqual(texts, ["13 days", "47 hours", "119 minutes", "1 minute", "less than a minute"]);
});

Deno.test("A node warns of its key's end by health, log, metric and program, by control's clock, and renew ends it", async () => {
  const told: KeyNotice[] = [];
  await using node = new TestNode({ keyExpiry: { warnMs: 10 * DAY, hook: (notice) => told.push(notice) } });
  const { backend, control, scheduler } = node;
  const expiry = backend.now + 11 * DAY;
  const KeyExpiry = new Date(expiry).toISOString();
  control.netmap = testNetmap([testNode(2)], { self: testNode(1, { KeyExpiry }) });
  await node.up({}, "tskey-auth-first");
  await node.goLive();
  const seconds = async () =>
    Number(/^agent_key_expiry_seconds (\d+)$/m.exec(allMetrics(await metricsInput(backend)))?.[1]);
  assert.deepEqual([backend.healthStrings(), told.length], [[], 0]);
  assert.ok(Math.abs(await seconds() - 11 * DAY / 1000) < 60);

  // Control's clock is two days ahead of ours.
  control.poll!.handlers.clockDelta!(2 * DAY);
  await scheduler.advance(6_000);
  const warning =
    `The key of this node expires in 8 days, at ${KeyExpiry}; 'renew' gets a new one without cutting connections.`;
  assert.deepEqual(backend.healthStrings(), [warning]);
  assert.ok(node.notified.some(({ Health }) => Health?.Warnings?.["agent-key-expiring"]?.Severity === "medium"));
  assert.deepEqual(told.map(({ event, node }) => [event, node]), [["expiring", "node1.tail.test"]]);
  assert.ok(node.logged.some((line) => line.includes("the node key expires in 8 days")));
  assert.ok(Math.abs(await seconds() - 9 * DAY / 1000) < 60);

  control.poll!.handlers.clockDelta!(12 * DAY);
  await scheduler.advance(6_000);
  assert.equal(told.at(-1)?.event, "expired");
  assert.equal(await seconds(), 0);
  control.send(
    testNetmap([testNode(2)], { self: testNode(1, { KeyExpiry: new Date(expiry + 90 * DAY).toISOString() }) }),
  );
  await scheduler.advance(6_000);
  assert.deepEqual(backend.healthStrings().filter((text) => text.includes("key")), []);
});

Deno.test("parseDaemonFlags() reads when to warn of the key's end, and whom to tell", () => {
  const parsed = (...args: string[]) => {
    const { kind, ...rest } = parseDaemonFlags(args);
    return kind === "run" ? (rest as { flags: { expiryWarningMs: number; expiryHook?: string } }).flags : rest;
  };
  const warning = (text: string) =>
    (parsed(`--expiry-warning=${text}`) as { expiryWarningMs?: number }).expiryWarningMs;
  assert.deepEqual(["14d", "36h", "never", "2w"].map(warning), [EXPIRY_WARNING_MS, 36 * HOUR, 0, 14 * DAY]);
  assert.deepEqual(["", "x", "1y", "-1d"].map(warning), [undefined, undefined, undefined, undefined]);
  assert.deepEqual(parsed("--expiry-hook=/usr/local/bin/tell"), { ...parsed("--expiry-hook", "/usr/local/bin/tell") });
  assert.deepEqual(parsed("--expiry-hook=tell"), {
    message: "Cannot use --expiry-hook tell: want the absolute path of a program",
  });
});
