import assert from "node:assert/strict";
import { ENGINE_PORT, pairedNode, startEngineNode } from "./engine_nodes.ts";
import { Lab, privilegedTest } from "./lab.ts";
import type { AskedProgram } from "./line_reader.ts";

const IDLE_MS = 4000;

/** Turns of a node's worker over a while, the one that answers the question left out. */
async function turnsWhileIdle(node: AskedProgram): Promise<number> {
  const turns = async () => JSON.parse(await node.ask("status")).turns.turns;
  const before = await turns();
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  return await turns() - before - 1;
}

privilegedTest("An idle data plane sleeps: nothing wakes its worker but what is due", async () => {
  await using lab = await Lab.create();
  const a = lab.namespace("a"), b = lab.namespace("b");
  lab.link(a, "10.9.0.1/24", b, "10.9.0.2/24");
  // Or the kernel looks for routers and multicast listeners through every device.
  for (const host of [a, b]) for (const  of of["all", "default"]) host.sysctl(`net/ipv6/conf/${of}/disable_ipv6`, "1");
  const inner = (n: 1 | 2, endpoint: string) => {
    const { addresses, peers, ...rest } = pairedNode(n, endpoint);
    return {
      ...rest,
      addresses: addresses.slice(0, 1),
      peers: peers.map((peer) => ({ ...peer, addresses: peer.addresses.slice(0, 1) })),
    };
  };
  const { node: left } = await startEngineNode(a, inner(1, `10.9.0.2:${ENGINE_PORT}`));
  const { node: right } = await startEngineNode(b, inner(2, `10.9.0.1:${ENGINE_PORT}`));
  assert.deepEqual(await Promise.all([turnsWhileIdle(left), turnsWhileIdle(right)]), [0, 0], "before the first packet");

  await a.must(["ping", "-c", "3", "-i", "0.2", "100.64.0.2"]);
  const [near, far] = await Promise.all([turnsWhileIdle(left), turnsWhileIdle(right)]);
  console.log(`  after a conversation: ${near} and ${far} turns in ${IDLE_MS} ms`);
  // WireGuard has no timer sooner than ten seconds after; a lone one of the path's may be due.
  assert.ok(near <= 2 && far <= 2, `${near} and ${far} turns`);
  for (const node of [left, right]) assert.equal(await node.end(), 0);
});
