// Our agent under testcontrol with a tsnet node: joins, and both ping each other in every way there is.

import assert from "node:assert/strict";
import { DOMAIN, sceneTest } from "./support/scene.ts";

sceneTest(
  "agent: joins testcontrol by auth key; agent and tsnet ping each other by disco, TSMP and ICMP",
  async (scene) => {
    const [agent, peer] = await Promise.all([scene.joinedAgent("left", "ours"), scene.peer("right", "theirs")]);
    const status = JSON.parse(await agent.cli("status", "--json"));
    assert.equal(status.BackendState, "Running");
    assert.equal(status.Self.DNSName, `ours.${DOMAIN}.`);
    const ips = await agent.ips();
    assert.deepEqual((await scene.control.node("ours")).Addresses, [`${ips[0]}/32`, `${ips[1]}/128`]);
    await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ips[0])]);

    for (const type of ["disco", "TSMP", "ICMP"] as const) {
      for (const family of [0, 1]) {
        const theirs = await peer.ping(ips[family], type);
        assert.equal(theirs.Err, "", `${type} from tsnet`);
        assert.equal(theirs.NodeIP, ips[type === "disco" ? 0 : family]);
        const ours = await agent.local(`ping?ip=${peer.ips[family]}&type=${type}`, "POST");
        assert.equal(ours.Err, "", `${type} from the agent`);
        assert.equal(ours.NodeIP, peer.ips[type === "disco" ? 0 : family]);
        console.log(
          `  ${type} IPv${family === 0 ? 4 : 6}: agent ${(ours.LatencySeconds * 1e3).toFixed(1)} ms` +
            `, tsnet ${(theirs.LatencySeconds * 1e3).toFixed(1)} ms`,
        );
      }
    }
    const pinged = await agent.cli("ping", "theirs");
    assert.match(
      pinged,
      /^pong from theirs \(100\.64\.[0-9.]+\) via (10\.90\.2\.2|\[fd90:2::2\]):[0-9]+ in [0-9]+m?s$/m,
    );
    console.log(`  ${pinged.trim().replaceAll("\n", "\n  ")}`);

    await agent.namespace.must(["ping", "-c", "2", "-W", "2", peer.ips[0]]);
    await agent.namespace.must(["ping", "-6", "-c", "2", "-W", "2", peer.ips[1]]);

    // The kernel's sockets on our side, netstack on the other; the page comes from either.
    await peer.listen({ kind: "http", port: 80, body: "hello from tsnet" });
    const page = await agent.namespace.must([
      Deno.execPath(),
      "eval",
      `console.log(await (await fetch("http://${peer.ips[0]}/")).text())`,
    ]);
    assert.equal(page.trim(), "hello from tsnet");
    assert.equal((await peer.whois(`${ips[0]}:1`)).Node.ComputedName, "ours");
  },
);
