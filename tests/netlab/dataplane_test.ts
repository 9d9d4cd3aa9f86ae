import assert from "node:assert/strict";
import { Lab, privilegedTest } from "./lab.ts";
import type { LabNamespace } from "./lab.ts";

const NODE = new URL("./engine_node.ts", import.meta.url).pathname;
const HASH = new URL("./tcp_hash.ts", import.meta.url).pathname;
const deno = (script: string, ...args: string[]) => [Deno.execPath(), "run", "-A", script, ...args];
const MEGABYTE = 1 << 20;

async function firstLine(child: Deno.ChildProcess): Promise<string> {
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return new TextDecoder().decode(value).split("\n")[0];
}

async function transfer(from: LabNamespace, to: string, up: number, down: number): Promise<void> {
  const result = JSON.parse(await from.must(deno(HASH, "ask", to, "7000", String(up), String(down))));
  assert.equal(result.taken, result.sent);
  // Both ends use one pattern: equal lengths must give equal hashes.
  if (up === down) assert.equal(result.received, result.sent);
  console.log(`  ${to}: ${up / MEGABYTE} MB up, ${down / MEGABYTE} MB down in ${result.ms} ms`);
}

for (const crypto of ["", "libcrypto", "wasm", "noble"]) {
  privilegedTest(
    `Two engines carry TCP both ways over a real TUN with ${crypto || "the fastest provider"}`,
    async () => {
      await using lab = await Lab.create();
      const a = lab.namespace("a"), b = lab.namespace("b");
      lab.link(a, ["10.9.0.1/24", "fd09::1/64"], b, ["10.9.0.2/24", "fd09::2/64"]);
      const env: Record<string, string> = crypto === "" ? {} : { AGENT_CRYPTO: crypto };
      const piped = { stdin: "piped", stdout: "piped", env } as const;
      const addresses = (n: number) => `100.64.0.${n}/32,fd7a:115c:a1e0::${n}/128`;
      // One outer family each way of asking: the first peer is configured over IPv4, the second over IPv6.
      const nodeA = a.spawn(deno(NODE, "1", addresses(1), "2", addresses(2), "10.9.0.2:41641", "41641"), piped);
      const nodeB = b.spawn(deno(NODE, "2", addresses(2), "1", addresses(1), "[fd09::1]:41641", "41641"), piped);
      for (const node of [nodeA, nodeB]) assert.deepEqual(JSON.parse(await firstLine(node)).ports.udp4, 41641);
      const server = b.spawn(deno(HASH, "serve", "::", "7000"), { stdout: "piped" });
      assert.equal(await firstLine(server), "ready");
      const size = crypto === "noble" ? 4 * MEGABYTE : 50 * MEGABYTE;
      await transfer(a, "100.64.0.2", size, size);
      await transfer(a, "fd7a:115c:a1e0::2", size, size);
      const writer = nodeA.stdin.getWriter();
      await writer.write(new TextEncoder().encode("\n"));
      const status = JSON.parse(await firstLine(nodeA));
      assert.equal(status.cryptoProvider, crypto || status.cryptoProvider);
      const { tun, ...harmless } = status.drops;
      assert.deepEqual(Object.keys(harmless).filter((reason) => reason !== "filter-multicast"), [], String(tun));
      await writer.close();
      await nodeB.stdin.close();
      assert.equal((await nodeA.status).code, 0);
      for (const child of [nodeA, nodeB, server]) await child.stdout.cancel();
    },
  );
}
