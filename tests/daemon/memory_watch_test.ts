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

Deno.test("memoryUse() finds the least room of the cgroup and those above it, each by its own use, without files nobody uses", () => {
  const unit = "/system.slice/agent.service";
  const self = { "/proc/self/cgroup": `0::${unit}\n` };
  const use = (...files: Record<string, string | number>[]) => memoryUse(reader(Object.assign({}, self, ...files)));
  assert.equal(memoryUse(reader({})), undefined);
  assert.equal(use(V2(unit, "max", 100 * MIB, 0)), undefined);
  const own = V2(unit, 512 * MIB, 300 * MIB, 100 * MIB);
  const alone = { own: 200 * MIB, room: 312 * MIB, limit: 512 * MIB, above: "" };
  assert.deepEqual(use(own), alone);
  // The slice has less room than the unit, by what all in it use.
  const slice = V2("/system.slice", 1_000 * MIB, 950 * MIB, 50 * MIB);
  assert.deepEqual(use(own, slice), { own: 200 * MIB, room: 100 * MIB, limit: 1_000 * MIB, above: "/system.slice" });
  // A tighter limit of a slice that is empty but for us, and a looser one that is nearly full.
  assert.deepEqual(use(own, V2("/system.slice", 256 * MIB, 210 * MIB, 5 * MIB))?.above, "/system.slice");
  assert.deepEqual(use(own, V2("/system.slice", 64_000 * MIB, 56_000 * MIB, 0)), alone);
  // A unit without a limit is held by its slice's; in a container the outermost that is seen is the container's.
  const free = V2(unit, "max", 200 * MIB, 0);
  assert.deepEqual(use(free, slice), { own: 200 * MIB, room: 100 * MIB, limit: 1_000 * MIB, above: "/system.slice" });
  assert.equal(use(free, V2("", 300 * MIB, 250 * MIB, 0))?.above, "/");
  // More than the limit, for a moment: no room.
  assert.equal(use(own, V2("/system.slice", 100 * MIB, 210 * MIB, 0))?.room, 0);
});

Deno.test("memoryUse() takes the first cgroup that counts memory for its own", () => {
  const files = {
    "/proc/self/cgroup": "0::/a/b/c\n",
    ...V2("/a/b", "max", 80 * MIB, 0),
    ...V2("/a", 100 * MIB, 90 * MIB, 0),
  };
  assert.deepEqual(memoryUse(reader(files)), { own: 80 * MIB, room: 10 * MIB, limit: 100 * MIB, above: "/a" });
  // In a container with the host's paths.
  const box = { "/proc/self/cgroup": "0::/pods/1/2\n", ...V2("", 100 * MIB, 90 * MIB, 0) };
  assert.deepEqual(memoryUse(reader(box)), { own: 90 * MIB, room: 10 * MIB, limit: 100 * MIB, above: "" });
});

Deno.test("memoryUse() reads version 1, whose largest number is no limit", () => {
  const files = (limit: string) => ({
    "/proc/self/cgroup": "9:cpu,cpuacct:/\n4:memory:/box\n0::/\n",
    "/sys/fs/cgroup/memory/box/memory.limit_in_bytes": limit,
    "/sys/fs/cgroup/memory/box/memory.usage_in_bytes": `${64 * MIB}\n`,
    "/sys/fs/cgroup/memory/box/memory.stat": `inactive_file 1\ntotal_inactive_file ${4 * MIB}\n`,
  });
  assert.deepEqual(memoryUse(reader(files(`${128 * MIB}\n`))), {
    own: 60 * MIB,
    room: 68 * MIB,
    limit: 128 * MIB,
    above: "",
  });
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
  assert.ok(use === undefined || (use.own >= 0 && use.room >= 0 && use.limit > 0));
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

Deno.test("watchMemory() is not told by a slice that others fill while there is much left, and names the slice when there is not", async () => {
  const scheduler = new FakeScheduler();
  let others = 0;
  const told: string[] = [];
  const read = (path: string) =>
    reader({
      "/proc/self/cgroup": "0::/system.slice/agent.service\n",
      ...V2("/system.slice/agent.service", 512 * MIB, 100 * MIB, 0),
      ...V2("/system.slice", 8_000 * MIB, (100 + others) * MIB, 0),
    })(path);
  const stop = watchMemory(read, scheduler, (problem) => told.push(problem));
  for (others of [0, 7_000, 7_800, 7_890, 7_000]) await scheduler.advance(5_000);
  assert.equal(told.length, 2);
  assert.match(told[0], /^only 10 of the 8000 MiB .* cgroup \/system\.slice .* with 100 MiB among them/);
  assert.equal(told[1], "");
  stop();
});
