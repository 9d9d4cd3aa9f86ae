import assert from "node:assert/strict";
import { travel } from "./bad_road.ts";
import { ENGINE_PORT, pairedNode, startEngineNode } from "./engine_nodes.ts";
import { MEGABYTE, serveHashes, transfer } from "./hashed_transfer.ts";
import { Lab, privilegedTest } from "./lab.ts";

const BYTES = 50 * MEGABYTE;

privilegedTest("Two engines carry TCP both ways over a real TUN and drop nothing", async () => {
  await using lab = await Lab.create();
  const a = lab.namespace("a"), b = lab.namespace("b");
  lab.link(a, ["10.9.0.1/24", "fd09::1/64"], b, ["10.9.0.2/24", "fd09::2/64"]);
  // One outer family each way of asking: the first peer is configured over IPv4, the second over IPv6.
  const { node: nodeA } = await startEngineNode(a, pairedNode(1, `10.9.0.2:${ENGINE_PORT}`));
  const { node: nodeB } = await startEngineNode(b, pairedNode(2, `[fd09::1]:${ENGINE_PORT}`));
  const server = await serveHashes(b);
  for (const to of ["100.64.0.2", "fd7a:115c:a1e0::2"]) {
    const { ms } = await transfer(a, to, BYTES, BYTES);
    console.log(`  ${to}: 50 MB each way in ${ms} ms`);
  }
  const status = JSON.parse(await nodeA.ask("status"));
  const { tun, ...harmless } = status.drops;
  assert.deepEqual(Object.keys(harmless).filter((reason) => reason !== "filter-multicast"), [], String(tun));
  assert.deepEqual([await nodeA.end(), await nodeB.end()], [0, 0]);
  await server.end();
});

for (const crypto of ["", "libcrypto", "wasm", "noble"]) {
  privilegedTest(
    `Bytes come whole over a road that loses, doubles and delays, with ${crypto || "the fastest provider"}`,
    async () => {
      await using lab = await Lab.create();
      const passages = ([4, 6] as const).map((outer) => {
        // All four pairs of families for what is used nearly everywhere; the others have one code for both.
        const inner = crypto === "" ? [4, 6] as const : [outer];
        return travel(lab, String(outer), { crypto, outer, inner, bytes: BYTES, timeout: 120_000 });
      });
      await Promise.all(passages);
    },
  );
}

privilegedTest("Bytes come whole over a road that loses, doubles and delays, with crypto helpers", async () => {
  await using lab = await Lab.create();
  await travel(lab, "h", { crypto: "", helpers: 2, outer: 4, inner: [4, 6], bytes: BYTES, timeout: 120_000 });
});

privilegedTest("A netmap of 10,000 peers, five times over, holds the worker up in no turn", async () => {
  await using lab = await Lab.create();
  const { node } = await startEngineNode(lab.namespace("a"), pairedNode(1, `10.9.0.2:${ENGINE_PORT}`));
  // Status comes in its turn behind the peers, so by then the worker has all of them.
  const longest = async () => JSON.parse(await node.ask("status")).turns.longestCpuMs;
  const first = await longest();
  for (let round = 0; round < 5; round++) {
    assert.equal(JSON.parse(await node.ask("netmap 10000")).peers, 10_000);
    await longest();
    await node.ask("netmap 0");
  }
  const last = await longest();
  console.log(`  longest turn of CPU time: ${first.toFixed(1)} ms to begin with, then ${last.toFixed(1)}`);
  // Garbage collections of 10,000 peers as objects took 50 to 130 ms of it.
  assert.ok(last < Math.max(first, 20), `a turn of ${last} ms`);
  assert.equal(await node.end(), 0);
});
