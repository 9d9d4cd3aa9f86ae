import assert from "node:assert/strict";
import { added, printed, readReport, wholeRounds, writeReport } from "../../tools/dataplane/report.ts";
import type { Report } from "../../tools/dataplane/report.ts";
import { noSamples } from "../../tools/dataplane/samples.ts";

/** A sitting in which each tunnel carried as many Gb/s, round by round. */
function sitting(rounds: Record<string, readonly number[]>, offloads = true): Report {
  const group = Object.entries(rounds).map(([tunnel, gbps]) => {
    const samples = noSamples(tunnel, 1280, offloads);
    samples.tcp["1 stream"].push(...gbps.map((gbps) => ({ gbps, sendCpu: 1, receiveCpu: 1, retransmits: 0 })));
    return samples;
  });
  return {
    machine: "a machine",
    sittings: [{ at: "2026-11-27T20:00:00Z", command: "", seconds: 5, ceiling: 13.7 }],
    kinds: Object.keys(rounds).map((name) => ({ name, version: "1" })),
    missing: [],
    groups: [group],
    netmapPeers: 10_000,
    netmaps: [],
    steady: [],
  };
}

Deno.test("bench report: sittings of the same tunnels are rounds of one list, paired as they were measured", () => {
  const report = added(
    sitting({ agent: [4, 6], "wireguard-go": [2, 2] }),
    sitting({ agent: [3], "wireguard-go": [2] }),
  );
  assert.equal(report.groups.length, 1);
  const text = printed(report);
  assert.match(text, /MTU 1280, offloads of the veth on; 3 rounds of TCP/);
  assert.match(text, /wireguard-go {2}2\.00 \(1\.50-3\.00\)/);
  assert.equal(report.sittings.length, 2);
});

Deno.test("bench report: rounds of tunnels that were not measured side by side are never paired", () => {
  const first = sitting({ agent: [4], "wireguard-go": [2] });
  const report = added(
    added(first, sitting({ agent: [9], other: [3] })),
    sitting({ agent: [8], "wireguard-go": [2] }, false),
  );
  assert.deepEqual(report.groups.map((group) => group.map(({ tunnel }) => tunnel)), [
    ["agent", "wireguard-go"],
    ["agent", "other"],
    ["agent", "wireguard-go"],
  ]);
  const text = printed(report);
  for (const ratio of ["2.00", "3.00", "4.00"]) assert.match(text, new RegExp(`${ratio} \\(${ratio}-${ratio}\\)`));
  assert.deepEqual(report.kinds.map(({ name }) => name), ["agent", "wireguard-go", "other"]);
});

Deno.test("bench report: what is written is read again, and nothing is where nothing was written", async () => {
  const directory = await Deno.makeTempDir();
  try {
    assert.equal(readReport(directory), undefined);
    const report = sitting({ agent: [4], "wireguard-go": [2] });
    writeReport(directory, report);
    assert.deepEqual(readReport(directory), report);
    assert.match(await Deno.readTextFile(`${directory}/dataplane.svg`), /^<svg /);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("bench report: of a round that was broken off, no tunnel's sample counts", () => {
  const [agent, other] = wholeRounds(sitting({ agent: [4, 5, 6], "wireguard-go": [2, 3] }).groups[0]);
  assert.deepEqual(agent.tcp["1 stream"].map(({ gbps }) => gbps), [4, 5]);
  assert.deepEqual(other.tcp["1 stream"].map(({ gbps }) => gbps), [2, 3]);
});
