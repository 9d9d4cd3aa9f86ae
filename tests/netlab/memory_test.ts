// A netmap of 10,000 peers in the memory that the README asks for: what the unit's MemoryMax would be.

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { AgentNode, until } from "../interop/support/agent.ts";
import { CoordinatorProcess } from "../interop/support/coordinator_process.ts";
import { builtAgent } from "../support/built_agent.ts";
import { Lab, privilegedTest } from "./lab.ts";

/** As README.md says it. */
const MINIMUM_MIB = 512;
const PEERS = 10_000;

/** A memory cgroup, of either kind, with a limit. */
class MemoryGroup implements Disposable {
  readonly path: string;
  readonly #peak: string;

  constructor(mib: number) {
    const v2 = exists("/sys/fs/cgroup/cgroup.controllers");
    const name = `agent-test-${crypto.getRandomValues(new Uint8Array(4)).toHex()}`;
    this.path = v2 ? `/sys/fs/cgroup/${name}` : `/sys/fs/cgroup/memory/${name}`;
    this.#peak = v2 ? "memory.peak" : "memory.max_usage_in_bytes";
    Deno.mkdirSync(this.path);
    Deno.writeTextFileSync(`${this.path}/${v2 ? "memory.max" : "memory.limit_in_bytes"}`, String(mib * 1048576));
  }

  /** What to put before a program's arguments to run it in the group. */
  within(program: string): string[] {
    return ["/bin/sh", "-c", `echo $$ >${this.path}/cgroup.procs; exec "$0" "$@"`, program];
  }

  /** The most that was used, MiB, the files it read included. */
  get peak(): number {
    return Math.round(Number(Deno.readTextFileSync(`${this.path}/${this.#peak}`)) / 1048576);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path);
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Makes copies of the one node there is, with keys and addresses of their own. */
function fillTailnet(file: string, count: number): void {
  const db = new DatabaseSync(file);
  const row = db.prepare("SELECT * FROM nodes LIMIT 1").get() as Record<string, string | number | null>;
  const { id: _id, ...columns } = row;
  const names = Object.keys(columns);
  const insert = db.prepare(`INSERT INTO nodes (${names.join(",")}) VALUES (${names.map(() => "?").join(",")})`);
  const fresh = (key: string) => key.replace(/[0-9a-f]{64}$/, crypto.getRandomValues(new Uint8Array(32)).toHex());
  db.exec("BEGIN");
  for (let i = 0; i < count; i++) {
    const copy: Record<string, string | number | null> = { ...columns, stable_id: `n${i}copied`, name: `copy-${i}` };
    for (const key of ["machine_key", "node_key", "disco_key", "lock_key"]) copy[key] = fresh(String(row[key]));
    copy.ipv4 = `100.${80 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
    copy.ipv6 = `fd7a:115c:a1e0::${(0x10000 + i).toString(16).replace(/(.{4})$/, ":$1")}`;
    insert.run(...names.map((name) => copy[name]));
  }
  db.exec("COMMIT");
  db.close();
}

privilegedTest(`a netmap of ${PEERS} peers is taken within the stated minimum of memory`, async () => {
  const dir = await Deno.makeTempDir({ prefix: "agent-memory-" });
  await using lab = await Lab.create();
  const ns = lab.namespace("one");
  using group = new MemoryGroup(MINIMUM_MIB);
  const file = `${await builtAgent()}/agent`;
  const env = { AGENT_UNPACK_DIR: `${dir}/cache` };
  try {
    // Unpacked before: a package's installation does that.
    await ns.must([file, "version"], { env });
    await using coordinator = await CoordinatorProcess.start({ namespace: ns, dir, host: "127.0.0.1" });
    const key = await coordinator.createKey("--reusable");
    {
      await using first = await AgentNode.start({ namespace: ns, dir, name: "first" });
      await first.up(coordinator.url, key);
    }
    await coordinator.kill();
    const stored = [...Deno.readDirSync(`${dir}/coordinator`)].find(({ name }) => /\.(db|sqlite3?)$/.test(name))!;
    fillTailnet(`${dir}/coordinator/${stored.name}`, PEERS);
    await coordinator.run();

    await using node = await AgentNode.start({ namespace: ns, dir, name: "node", program: group.within(file), env });
    const pid = node.pid;
    await ns.must(
      [file, "--socket", node.socket, "up", "--login-server", coordinator.url, "--auth-key", key, "--hostname", "node"],
      { env, timeout: 120_000 },
    );
    await until(
      "the netmap is there",
      240_000,
      async () => (await node.log(1_000)).includes(`netmap: ${PEERS + 1} peers`),
      500,
    );
    assert.equal(Object.keys((await node.status()).Peer).length, PEERS + 1);
    const heap = /--max-old-space-size=(\d+)/.exec(await Deno.readTextFile(`/proc/${pid}/cmdline`))?.[1];
    assert.equal(Number(heap), MINIMUM_MIB - 96);
    // Again, while the first is still held: what a reconnect does.
    await coordinator.kill();
    await coordinator.run();
    await until("it is online again", 120_000, async () => (await node.status()).Self.Online === true, 500);
    const resident = /^VmRSS:\s+(\d+)/m.exec(await Deno.readTextFile(`/proc/${pid}/status`))?.[1];
    console.log(
      `  ${PEERS} peers within ${MINIMUM_MIB} MiB: heap limit ${heap} MiB, resident ${
        Math.round(Number(resident) / 1024)
      } MiB, ` +
        `peak of the group with files ${group.peak} MiB`,
    );
    assert.equal(node.pid, pid);
    assert.equal(await node.stop(), 0, "the same process, and alive");
  } catch (error) {
    console.log(await Deno.readTextFile(`${dir}/node.log`).catch(() => "no log"));
    throw error;
  } finally {
    await lab.dispose();
    await Deno.remove(dir, { recursive: true });
  }
});
