import assert from "node:assert/strict";
import { Lab, privilegedTest, programMissing } from "./lab.ts";
import type { LabNamespace } from "./lab.ts";

const NODE = new URL("./engine_node.ts", import.meta.url).pathname;
const HASH = new URL("./tcp_hash.ts", import.meta.url).pathname;
const deno = (script: string, ...args: string[]) => [Deno.execPath(), "run", "-A", script, ...args];
const MEGABYTES = 100;
/**
 * System calls for each megabyte of TCP, both ends together: about 130, half of them acknowledgements and polls. Without
 * one of TSO, GSO, GRO and coalescing a call or more for each packet is added, which is 800 a megabyte.
 */
const MOST_PER_MEGABYTE = 180;

async function firstLine(child: Deno.ChildProcess): Promise<string> {
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return new TextDecoder().decode(value).split("\n")[0];
}

/** The thread that moves packets: it alone reads the TUN. */
function workerThread(pid: number): string {
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    if (Deno.readTextFileSync(`/proc/${pid}/task/${name}/comm`).startsWith("worker-")) return name;
  }
  throw new Error(`process ${pid} has no worker`);
}

/** Counts the system calls of a thread until the answer is asked for. */
async function countCalls(where: LabNamespace, thread: string): Promise<() => Promise<Map<string, number>>> {
  const child = where.spawn(["strace", "-c", "-U", "calls,name", "-p", thread], { stderr: "piped" });
  const decoder = new TextDecoder();
  const reader = child.stderr.getReader();
  let text = "";
  while (!text.includes("attached")) text += decoder.decode((await reader.read()).value);
  return async () => {
    child.kill("SIGINT");
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += decoder.decode(part.value);
    await child.status;
    const counts = new Map([...text.matchAll(/^\s*(\d+) (\w+)$/gm)].map(([, calls, name]) => [name, Number(calls)]));
    counts.delete("total");
    return counts;
  };
}

const missing = programMissing("strace");
privilegedTest(
  `A megabyte of TCP takes few system calls${missing === undefined ? "" : ` [skipped: ${missing}]`}`,
  async () => {
    if (missing !== undefined && Deno.env.get("CI") !== "true") return;
    await using lab = await Lab.create();
    const a = lab.namespace("a"), b = lab.namespace("b");
    lab.link(a, "10.9.0.1/24", b, "10.9.0.2/24");
    const piped = { stdin: "piped", stdout: "piped" } as const;
    const ends = [
      a.spawn(deno(NODE, "1", "100.64.0.1/32", "2", "100.64.0.2/32", "10.9.0.2:41641", "41641"), piped),
      b.spawn(deno(NODE, "2", "100.64.0.2/32", "1", "100.64.0.1/32", "10.9.0.1:41641", "41641"), piped),
    ];
    for (const end of ends) await firstLine(end);
    const server = b.spawn(deno(HASH, "serve", "0.0.0.0", "7000"), { stdout: "piped" });
    assert.equal(await firstLine(server), "ready");
    const counts = [
      await countCalls(a, workerThread(ends[0].pid)),
      await countCalls(b, workerThread(ends[1].pid)),
    ];
    await a.must(deno(HASH, "ask", "100.64.0.2", "7000", String(MEGABYTES << 20), "0"));
    let total = 0;
    for (const [i, count] of counts.entries()) {
      const calls = await count();
      const perMegabyte = [...calls].map(([name, n]) => `${name} ${(n / MEGABYTES).toFixed(1)}`).join(", ");
      console.log(`  ${i === 0 ? "sender" : "receiver"}, a megabyte: ${perMegabyte}`);
      for (const n of calls.values()) total += n;
    }
    console.log(`  ${(total / MEGABYTES).toFixed(0)} system calls a megabyte`);
    assert.ok(total > 0 && total / MEGABYTES < MOST_PER_MEGABYTE, `${total / MEGABYTES} system calls a megabyte`);
    for (const child of [...ends, server]) await child.stdout.cancel();
    for (const end of ends) await end.stdin.close();
  },
);
