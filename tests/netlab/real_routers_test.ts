// Routers with a real tailscaled at the other end: it uses our subnets and our exit node, and we use its.

import assert from "node:assert/strict";
import { type AgentNode, until } from "../interop/support/agent.ts";
import { buildTailscaled } from "../interop/support/build.ts";
import { TailscaledNode } from "../interop/support/tailscaled.ts";
import { countSources } from "./count_sources.ts";
import type { LabNamespace } from "./lab.ts";
import { groundTest, INTERNET, INTERNET6, reaches } from "./tailnet_ground.ts";

const tailscaled = await buildTailscaled();

/** 10.2.0.2 at site 7: `tailscale debug via 7 10.2.0.0/24`. */
const VIA_ROUTE = "fd7a:115c:a1e0:b1a:0:7:a02:0/120";
const VIA_HOST = "fd7a:115c:a1e0:b1a:0:7:a02:2";

/** Waits until `to` sees pings of `from` come from `source` alone. */
async function seenAs(from: LabNamespace, to: LabNamespace, address: string, source: string, not: string) {
  const seen = await countSources(to, [source, not]);
  await until(`${address} sees ${source}`, 30_000, async () => {
    await from.run(["ping", "-n", "-c", "1", "-W", "1", address]);
    const [wanted, other] = await seen();
    return wanted > 0 && other === 0;
  }, 200);
}

groundTest(
  "routers beside a real tailscaled: it uses our subnet and exit node, we use its, with source NAT and without",
  async (ground) => {
    await ground.startCoordinator("--approve-routes", "10.0.0.0/8,fd7a:115c:a1e0:b1a::/64,exit");
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    const lana = ground.behind(alpha, "lana", "10.1.0");
    const lanb = ground.behind(beta, "lanb", "10.2.0");
    const ours: AgentNode = await ground.joined(
      alpha,
      "ours",
      ...["--accept-routes", "--advertise-routes", "10.1.0.0/24", "--advertise-exit-node"],
    );
    await using theirs = await TailscaledNode.start({ namespace: beta, dir: ground.dir, name: "theirs" });
    const key = await ground.coordinator.createKey("--reusable");
    const routes = ["--advertise-routes", `10.2.0.0/24,${VIA_ROUTE}`];
    await theirs.up(ground.coordinator.url, key, "--accept-routes", ...routes, "--advertise-exit-node");
    const [[ourIp], [theirIp]] = await Promise.all([ours.ips(), theirs.ips()]);
    await ours.awaitPeer(theirIp);
    await reaches(alpha, theirIp);
    await reaches(beta, ourIp);

    // Subnets: through both routers, each host sees the router at its side.
    await reaches(lana, "10.2.0.2");
    await reaches(lanb, "10.1.0.2");
    await seenAs(lana, lanb, "10.2.0.2", "10.2.0.1", "10.1.0.2");
    await seenAs(lanb, lana, "10.1.0.2", "10.1.0.1", "10.2.0.2");
    await ours.cli("set", "--snat-subnet-routes=false");
    await theirs.cli("set", "--snat-subnet-routes=false");
    await seenAs(lana, lanb, "10.2.0.2", "10.1.0.2", "10.2.0.1");
    await seenAs(lanb, lana, "10.1.0.2", "10.2.0.2", "10.1.0.1");
    await ours.cli("set", "--snat-subnet-routes=true");
    await theirs.cli("set", "--snat-subnet-routes=true");
    // An IPv4 network of theirs as IPv6, which needs no more of us than a route.
    await reaches(alpha, VIA_HOST);

    // Exit nodes, one at a time: nobody may be one and use one.
    const bySource = await countSources(ground.core, ["10.90.1.2", "10.90.2.2"], INTERNET);
    const leavesBy = async (from: LabNamespace, router: 0 | 1) => {
      await reaches(from, INTERNET, 40_000);
      await reaches(from, INTERNET6, 40_000);
      await bySource();
      await from.must(["ping", "-n", "-c", "3", "-i", "0.2", INTERNET]);
      const counted = await bySource();
      assert.ok(counted[router] > 0, `${from.name} leaves by the router: ${counted}`);
      assert.equal(counted[1 - router], 0, `${from.name} leaves by the router alone: ${counted}`);
    };
    await until("theirs is an exit node to us", 20_000, async () => (await ours.peer(theirIp)).ExitNodeOption === true);
    await ours.cli("set", "--advertise-exit-node=false");
    await ours.cli("set", "--exit-node", theirIp);
    await leavesBy(alpha, 1);
    await ours.cli("set", "--exit-node=");
    await leavesBy(alpha, 0);
    await ours.cli("set", "--advertise-exit-node");
    await theirs.cli("set", "--advertise-exit-node=false");
    await until("ours is an exit node to them", 20_000, async () => {
      const peers: Record<string, { ExitNodeOption?: boolean }> = (await theirs.status()).Peer ?? {};
      return Object.values(peers).some((peer) => peer.ExitNodeOption === true);
    });
    await theirs.cli("set", "--exit-node", ourIp);
    await leavesBy(beta, 0);
    await theirs.cli("set", "--exit-node=");
    await leavesBy(beta, 1);
  },
  [tailscaled],
);
