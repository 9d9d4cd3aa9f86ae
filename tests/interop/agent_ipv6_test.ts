// A network that has no IPv4 outside the tunnel: control, relay, STUN and the path between the peers are IPv6.

import assert from "node:assert/strict";
import { exchange } from "./support/exchange.ts";
import { sceneTest } from "./support/scene.ts";

sceneTest("agent: with IPv6 only outside it joins, is direct, and carries IPv4 and IPv6 inside", async (scene) => {
  const [agent, peer] = await Promise.all([scene.joinedAgent("left", "ours"), scene.peer("right", "theirs")]);
  assert.match(scene.control.url, /^http:\/\/\[fd90::1\]:8080$/);
  const ips = await agent.ips();
  await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ips[0])]);
  console.log(`  ${(await agent.cli("ping", "theirs")).trim()}`);
  const kernel = await agent.traffic();
  for (const [family, port] of [[0, 7001], [1, 7011]]) {
    await exchange(
      { name: `agent (IPv${family === 0 ? 4 : 6})`, end: kernel, ip: ips[family] },
      { name: "tsnet", end: peer, ip: peer.ips[family] },
      { bytes: 50_000_000, port, datagrams: 0.5 },
    );
  }
  assert.match((await agent.peer(peer.ips[0])).CurAddr, /^\[fd90:2::2\]:[0-9]+$/);
  const [us] = Object.values((await peer.status()).Peer) as { CurAddr: string }[];
  assert.match(us.CurAddr, /^\[fd90:1::2\]:[0-9]+$/);
}, { outside: "ipv6" });
