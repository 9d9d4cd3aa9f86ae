import assert from "node:assert/strict";
import { ENGINE_PORT, pairedNode, startEngineNode } from "./engine_nodes.ts";
import { MEGABYTE, serveHashes, transfer } from "./hashed_transfer.ts";
import { Lab, privilegedTest } from "./lab.ts";

for (const crypto of ["", "libcrypto", "wasm", "noble"]) {
  privilegedTest(
    `Two engines carry TCP both ways over a real TUN with ${crypto || "the fastest provider"}`,
    async () => {
      await using lab = await Lab.create();
      const a = lab.namespace("a"), b = lab.namespace("b");
      lab.link(a, ["10.9.0.1/24", "fd09::1/64"], b, ["10.9.0.2/24", "fd09::2/64"]);
      const env: Record<string, string> = crypto === "" ? {} : { AGENT_CRYPTO: crypto };
      // One outer family each way of asking: the first peer is configured over IPv4, the second over IPv6.
      const { node: nodeA } = await startEngineNode(a, pairedNode(1, `10.9.0.2:${ENGINE_PORT}`), env);
      const { node: nodeB } = await startEngineNode(b, pairedNode(2, `[fd09::1]:${ENGINE_PORT}`), env);
      const server = await serveHashes(b);
      const size = crypto === "noble" ? 4 * MEGABYTE : 50 * MEGABYTE;
      await transfer(a, "100.64.0.2", size, size);
      await transfer(a, "fd7a:115c:a1e0::2", size, size);
      const status = JSON.parse(await nodeA.ask("status"));
      assert.equal(status.cryptoProvider, crypto || status.cryptoProvider);
      const { tun, ...harmless } = status.drops;
      assert.deepEqual(Object.keys(harmless).filter((reason) => reason !== "filter-multicast"), [], String(tun));
      assert.deepEqual([await nodeA.end(), await nodeB.end()], [0, 0]);
      await server.end();
    },
  );
}
