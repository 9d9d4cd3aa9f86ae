import assert from "node:assert/strict";
import { HealthLog, withoutCounts } from "../../daemon/health_log.ts";
import { createLog } from "../../daemon/log.ts";

Deno.test("withoutCounts() takes out counts and durations, and leaves names, addresses and times of day", () => {
  const same = [
    ["tried 3 times", "tried 4 times"],
    ["not heard from for 1m30s.", "not heard from for 2m0.5s."],
    ["(in 8 days, 85% used)", "(in 7 days, 9% used)"],
  ];
  for (const [one, other] of same) assert.equal(withoutCounts(one), withoutCounts(other));
  assert.equal(withoutCounts(`${"9".repeat(100_000)}!`).length, 100_001, "in no time");
  const different = [
    ["cannot reach 10.0.0.1", "cannot reach 10.0.0.2"],
    ["cannot reach 10.0.0.1: refused", "cannot reach 10.1.0.1: refused"],
    ["by [fd7a::1]:41641", "by [fd7a::2]:41641"],
    ["web1 is gone", "web2 is gone"],
    ["until 2026-01-01T00:00:00Z", "until 2026-02-01T00:00:00Z"],
    ["route 10.1.0.0/16 of nodekey:ab", "route 10.2.0.0/16 of nodekey:ab"],
  ];
  for (const [one, other] of different) assert.notEqual(withoutCounts(one), withoutCounts(other), one);
});

Deno.test("HealthLog writes a warning again that says something else, however late in its text", () => {
  const lines: string[] = [];
  const health = new HealthLog(
    createLog({ verbose: 0, wall: () => 0, bare: true, write: (line) => lines.push(line.trimEnd()) }),
  );
  const note = (Text: string) =>
    health.note({ Warnings: { router: { WarnableCode: "router", Severity: "high", Title: "", Text } } } as never);
  const begin = "the same words over and over, ".repeat(8);
  for (const text of ["3 tries", "4 tries", "refused by 10.0.0.1", "refused by 10.0.0.2"]) note(begin + text);
  assert.deepEqual(lines.map((line) => line.slice(line.lastIndexOf(", ") + 2)), [
    "3 tries",
    "refused by 10.0.0.1",
    "refused by 10.0.0.2",
  ]);
});
