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
