import assert from "node:assert/strict";
import { ENGINE_PORT, pairedNode, startEngineNode } from "./engine_nodes.ts";
import { MEGABYTE, serveHashes, transfer } from "./hashed_transfer.ts";
import { Lab, privilegedTest, programMissing } from "./lab.ts";
import type { LabNamespace } from "./lab.ts";

const MEGABYTES = 100;
/**
 * System calls for each megabyte of TCP, both ends together: about 130, half of them acknowledgements and polls. Without
 * one of TSO, GSO, GRO and coalescing a call or more for each packet is added, which is 800 a megabyte.
 */
const MOST_PER_MEGABYTE = 180;

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
    const ends = [
      (await startEngineNode(a, pairedNode(1, `10.9.0.2:${ENGINE_PORT}`))).node,
      (await startEngineNode(b, pairedNode(2, `10.9.0.1:${ENGINE_PORT}`))).node,
    ];
    const server = await serveHashes(b);
    const counts = [
      await countCalls(a, workerThread(ends[0].child.pid)),
      await countCalls(b, workerThread(ends[1].child.pid)),
    ];
    await transfer(a, "100.64.0.2", MEGABYTES * MEGABYTE, 0);
    let total = 0;
    for (const [i, count] of counts.entries()) {
      const calls = await count();
      const perMegabyte = [...calls].map(([name, n]) => `${name} ${(n / MEGABYTES).toFixed(1)}`).join(", ");
      console.log(`  ${i === 0 ? "sender" : "receiver"}, a megabyte: ${perMegabyte}`);
      for (const n of calls.values()) total += n;
    }
    console.log(`  ${(total / MEGABYTES).toFixed(0)} system calls a megabyte`);
    assert.ok(total > 0 && total / MEGABYTES < MOST_PER_MEGABYTE, `${total / MEGABYTES} system calls a megabyte`);
    for (const program of [...ends, server]) await program.end();
  },
);
