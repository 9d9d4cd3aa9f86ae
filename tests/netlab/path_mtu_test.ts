import assert from "node:assert/strict";
import { ENGINE_PORT, pairedNode, startEngineNode } from "./engine_nodes.ts";
import { MEGABYTE, serveHashes, transfer } from "./hashed_transfer.ts";
import { Lab, privilegedTest, programMissing } from "./lab.ts";

/** Narrower than a full packet of the tunnel: 1280 and 32 of WireGuard, 8 of UDP, 20 or 40 of IP. */
const NARROW = 1300;
const BYTES = 100 * MEGABYTE;
/** From the start of the transfer to the change, and from there back. */
const CHANGE_AFTER_MS = 500;
/** Longest silence of a transfer that goes on. */
const GOES_ON_MS = 5000;

const missing = programMissing("nft");

for (const outer of [4, 6]) {
  for (const icmp of outer === 4 ? [true, false] : [true]) {
    const name = `A transfer goes on when the MTU of its IPv${outer} route falls${icmp ? "" : " and nobody says so"}`;
    privilegedTest(`${name}${missing === undefined ? "" : ` [skipped: ${missing}]`}`, async () => {
      if (missing !== undefined && Deno.env.get("CI") !== "true") return;
      await using lab = await Lab.create();
      const [a, gate, b] = ["a", "gate", "b"].map((host) => lab.namespace(host));
      lab.link(a, ["10.9.1.2/24", "fd09:1::2/64"], gate, ["10.9.1.1/24", "fd09:1::1/64"]);
      const narrow = lab.link(gate, ["10.9.2.1/24", "fd09:2::1/64"], b, ["10.9.2.2/24", "fd09:2::2/64"]);
      lab.router(gate);
      for (const [host, side] of [[a, 1], [b, 2]] as const) {
        host.route("0.0.0.0/0", `10.9.${side}.1`);
        host.route("::/0", `fd09:${side}::1`);
      }
      if (!icmp) {
        await gate.nft(
          "table inet mute { chain output { type filter hook output priority 0; meta l4proto { icmp, icmpv6 } drop; }; }",
        );
      }
      const at = (side: number) => `${outer === 4 ? `10.9.${side}.2` : `[fd09:${side}::2]`}:${ENGINE_PORT}`;
      const { node: left } = await startEngineNode(a, pairedNode(1, at(2)));
      const { node: right } = await startEngineNode(b, pairedNode(2, at(1)));
      const server = await serveHashes(b);

      const running = transfer(a, "100.64.0.2", BYTES, BYTES);
      await new Promise((resolve) => setTimeout(resolve, CHANGE_AFTER_MS));
      for (const [host, device] of [[gate, narrow.aDevice], [b, narrow.bDevice]] as const) {
        host.configure(device, [], NARROW);
      }
      const { ms, silenceMs } = await running;
      assert.ok(ms > CHANGE_AFTER_MS, "the transfer was over before the MTU fell");
      // Once more where the route is narrow from the first packet on; and by packets that leave one by one.
      const narrowed = await transfer(a, "100.64.0.2", 50 * MEGABYTE, 50 * MEGABYTE);
      console.log(
        `  IPv${outer}, ${icmp ? "told" : "not told"}: ${ms} ms, silent for ${silenceMs} ms at most; ` +
          `then 50 MB each way in ${narrowed.ms} ms`,
      );
      const pings = await a.run(["ping", "-c", "5", "-i", "0.1", "-W", "2", "-s", String(1280 - 28), "100.64.0.2"]);
      assert.match(pings.stdout, / 0% packet loss/);
      assert.ok(silenceMs < GOES_ON_MS, `silent for ${silenceMs} ms`);
      for (const node of [left, right]) {
        const { offloads } = JSON.parse(await node.ask("status"));
        assert.equal(offloads.gso, true, "GSO was given up");
        assert.equal(await node.end(), 0);
      }
      await server.end();
    });
  }
}
