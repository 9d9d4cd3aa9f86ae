import assert from "node:assert/strict";
import { memoryUse, watchMemory } from "../../daemon/memory_watch.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";

const MIB = 1 << 20;
const reader = (files: Record<string, string | number>) => (path: string) => files[path]?.toString();

const V2 = (path: string, max: string | number, current: number, idle: number) => ({
  [`/sys/fs/cgroup${path}/memory.max`]: `${max}\n`,
  [`/sys/fs/cgroup${path}/memory.current`]: `${current}\n`,
  [`/sys/fs/cgroup${path}/memory.stat`]: `anon 1\nfile 2\ninactive_file ${idle}\nactive_file 3\n`,
});

Deno.test("memoryUse() finds the nearest limit of the cgroup and those above it, without files nobody uses", () => {
  const self = { "/proc/self/cgroup": "0::/system.slice/agent.service\n" };
  assert.equal(memoryUse(reader({})), undefined);
  assert.equal(memoryUse(reader({ ...self, ...V2("/system.slice/agent.service", "max", 100 * MIB, 0) })), undefined);
  const own = V2("/system.slice/agent.service", 512 * MIB, 300 * MIB, 100 * MIB);
  assert.deepEqual(memoryUse(reader({ ...self, ...own })), { used: 200 * MIB, limit: 512 * MIB });
  // The slice has less room than the unit.
  const slice = V2("/system.slice", 1_000 * MIB, 900 * MIB, 0);
  assert.deepEqual(memoryUse(reader({ ...self, ...own, ...slice })), { used: 900 * MIB, limit: 1_000 * MIB });
});

Deno.test("memoryUse() reads version 1, whose largest number is no limit", () => {
  const files = (limit: string) => ({
    "/proc/self/cgroup": "9:cpu,cpuacct:/\n4:memory:/box\n0::/\n",
    "/sys/fs/cgroup/memory/box/memory.limit_in_bytes": limit,
    "/sys/fs/cgroup/memory/box/memory.usage_in_bytes": `${64 * MIB}\n`,
    "/sys/fs/cgroup/memory/box/memory.stat": `inactive_file 1\ntotal_inactive_file ${4 * MIB}\n`,
  });
  assert.deepEqual(memoryUse(reader(files(`${128 * MIB}\n`))), { used: 60 * MIB, limit: 128 * MIB });
  assert.equal(memoryUse(reader(files("9223372036854771712\n"))), undefined);
});

Deno.test("memoryUse() reads the machine's own without a throw", () => {
  const use = memoryUse((path) => {
    try {
      return Deno.readTextFileSync(path);
    } catch {
      return undefined;
    }
  });
  assert.ok(use === undefined || (use.used >= 0 && use.limit > 0));
});

Deno.test("watchMemory() warns at 85%, once, and is well again below 75%", async () => {
  const scheduler = new FakeScheduler();
  let used = 0;
  const told: string[] = [];
  const read = (path: string) =>
    reader({ "/proc/self/cgroup": "0::/a\n", ...V2("/a", 288 * MIB, Math.round(used * 288 * MIB), 0) })(path);
  const stop = watchMemory(read, scheduler, (problem) => told.push(problem));
  for (const share of [0.5, 0.84, 0.86, 0.95, 0.8, 0.74, 0.8, 0.9]) {
    used = share;
    await scheduler.advance(5_000);
  }
  assert.deepEqual(told.map((text) => text.slice(0, 10)), ["248 of the", "", "259 of the"]);
  assert.match(told[0], /288 MiB .*raise MemoryMax= of the unit.*10,000 nodes needs 512 MiB/);
  stop();
  assert.equal(scheduler.pending, 0);
});
