import assert from "node:assert/strict";
import { formatAgo, formatDuration, parseDuration } from "../../cli/duration.ts";

Deno.test("parseDuration() reads what time.ParseDuration reads", () => {
  const cases: [string, number | undefined][] = [
    ["0", 0],
    ["5s", 5000],
    ["1.5s", 1500],
    ["1h2m3s", 3_723_000],
    ["-1m", -60_000],
    ["300ms", 300],
    ["10us", 0.01],
    ["5", undefined],
    ["", undefined],
    ["s", undefined],
    ["5 s", undefined],
    ["5d", undefined],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
});

Deno.test("formatDuration() prints what Duration.String prints", () => {
  const cases: [number, string][] = [
    [0, "0s"],
    [0.3, "300µs"],
    [1, "1ms"],
    [12.3, "12.3ms"],
    [1000, "1s"],
    [1250, "1.25s"],
    [60_000, "1m0s"],
    [90_500, "1m30.5s"],
    [3_600_000, "1h0m0s"],
    [-3, "-3ms"],
  ];
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text);
});

Deno.test("formatAgo() has one unit", () => {
  assert.deepEqual([5_000, 60_000, 3_599_000, 7_200_000, 200_000_000].map(formatAgo), [
    "5s ago",
    "1m ago",
    "59m ago",
    "2h ago",
    "2d ago",
  ]);
});
