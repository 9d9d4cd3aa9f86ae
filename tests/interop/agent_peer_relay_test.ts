// Peer relays: two sites behind hard NATs, where no direct path is, and a third on the Internet that relays for them. Its
// relay server is ours, then Tailscale's; the pairs are of ours, of tsnet and of both.

import assert from "node:assert/strict";
import { labUnavailable, programMissing } from "../netlab/lab.ts";
import { Internet, type SideKind } from "../netlab/matrix.ts";
import { AgentNode, until } from "./support/agent.ts";
import type { GoJson } from "./support/control.ts";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { labTest } from "./support/lab_test_case.ts";
import { agentOf, NatWorld, type Node, type Place, tsnetOf } from "./support/nat_world.ts";
import { LabPeer } from "./support/peer.ts";
import { seededSha256 } from "./support/seeded_bytes.ts";
import type { TrafficEnd } from "./support/traffic.ts";

const BYTES = 20_000_000;
const RELAY_PORT = 7777;
const PATIENCE_MS = 45_000;

const missing = labUnavailable() ??
  ["nft", "nsenter", "conntrack"].map(programMissing).find((text) => text !== undefined);
const name = "agent: peer relays, ours and Tailscale's, between hard NATs";

if (missing !== undefined) {
  if (Deno.env.get("CI") === "true") throw new Error(`Cannot skip under CI: ${missing}`);
  Deno.test({ name: `${name} [skipped: ${missing}]`, ignore: true, fn: () => {} });
} else {
  labTest(name, async (path, t) => {
    await using world = await NatWorld.create(path, 1, { peerRelay: true });
    const [left, right, middle] = await Promise.all([
      world.place("hard", "left"),
      world.place("hard", "right"),
      world.place("public", "middle"),
    ]);
    try {
      await steps(t, world, left, right, middle);
    } catch (error) {
      console.log(await world.logs());
      throw error;
    }
  });
}

if (missing === undefined) {
  labTest("our coordinator: a node that runs a relay server relays for ours and for stock nodes", async (path) => {
    await using internet = await Internet.create();
    const dir = await Deno.makeTempDir({ prefix: "relay-" });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => Deno.remove(dir, { recursive: true }));
    const host = internet.server(1, 0)[0].split(":")[0];
    await using coordinator = await CoordinatorProcess.start({
      namespace: internet.core,
      dir,
      host,
      args: ["--insecure-http"],
    });
    const authkey = await coordinator.createKey("--reusable", "--user", "alice");
    await using left = await coordinated(path, internet, coordinator.url, authkey, dir, "left", "hard");
    await using right = await coordinated(path, internet, coordinator.url, authkey, dir, "right", "hard");
    await using middle = await coordinated(path, internet, coordinator.url, authkey, dir, "middle", "public");
    const { agent } = middle.place;
    await Promise.all([
      left.place.agent.awaitPeer(right.place.agentIp),
      left.place.agent.awaitPeer(right.place.peerIp),
      left.place.peer.awaitPeer(right.place.peerIp),
    ]);
    await agent.cli("set", "--relay-server-port", "0");
    const { udp4 } = await until("the relay server runs", 20_000, async () => {
      const found = /peer relay server on UDP ports (\d+)/.exec(await agent.log(200));
      return found === null ? undefined : { udp4: found[1] };
    });
    const address = `${middle.place.site.hostAddress.split("/")[0]}:${udp4}`;
    const [a, b] = [left.place, right.place];
    await relayed(agentOf(a), tsnetOf(b), await a.agent.traffic(), b.peer, address);
    await relayed(tsnetOf(a), tsnetOf(b), a.peer, b.peer, address);
  });
}

if (missing === undefined) {
  labTest("agent: a peer relay joins a node that has IPv4 only with one that has IPv6 only", async (path) => {
    await using world = await NatWorld.create(path, 1, { peerRelay: true });
    const { core } = world.internet;
    await using relay = await AgentNode.start({ namespace: core, dir: world.dir, name: "core-agent" });
    const [v4, v6] = await Promise.all([
      world.place("easy", "v4"),
      world.place("ipv6", "v6"),
      world.join(relay),
    ]);
    await Promise.all([v4.agent.awaitPeer(v6.agentIp), v4.agent.awaitPeer(v6.peerIp)]);
    await relay.cli("set", "--relay-server-port", String(RELAY_PORT));
    const there = new RegExp(`^20\\.\\d+\\.\\d+\\.\\d+:${RELAY_PORT}:vni:`);
    await relayed(agentOf(v4), agentOf(v6), await v4.agent.traffic(), await v6.agent.traffic(), there, /^\[2600:90:/);
    await relayed(agentOf(v4), tsnetOf(v6), await v4.agent.traffic(), v6.peer, there, /^\[2600:90:/);
    assert.match(await v6.agent.metrics(), /tailscaled_inbound_bytes_total\{path="peer_relay_ipv6"\} [2-9]\d{7}/);
    const mixed = /tailscaled_peer_relay_forwarded_bytes_total\{transport_in="udp4",transport_out="udp6"\} (\d+)/;
    assert.ok(Number(mixed.exec(await relay.metrics())?.[1]) > 2 * BYTES);
  });
}

/** A site with an agent and a tsnet peer of a tailnet of our coordinator. */
async function coordinated(
  path: string,
  internet: Internet,
  control: string,
  authkey: string,
  dir: string,
  name: string,
  kind: SideKind,
): Promise<AsyncDisposable & { readonly place: Place }> {
  const site = await internet.site(kind, name);
  const agent = await AgentNode.start({ namespace: site.host, dir, name: `${name}-agent` });
  await agent.up(control, authkey);
  const prefix = ["nsenter", `--net=/run/netns/${site.host.name}`, "--"];
  const peer = await LabPeer.start({ path, prefix }, { control, authkey, hostname: `${name}-tsnet` });
  return {
    place: { site, agent, peer, agentIp: (await agent.ips())[0], peerIp: peer.ips[0] },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([agent[Symbol.asyncDispose](), peer[Symbol.asyncDispose]()]);
    },
  };
}

async function steps(
  t: Deno.TestContext,
  world: NatWorld,
  left: Place,
  right: Place,
  middle: Place,
): Promise<void> {
  await Promise.all([
    left.agent.awaitPeer(right.agentIp),
    left.agent.awaitPeer(right.peerIp),
    left.peer.awaitPeer(right.peerIp),
    right.peer.awaitPeer(left.peerIp),
    right.peer.awaitPeer(left.agentIp),
  ]);
  const [ourLeft, ourRight] = [await left.agent.traffic(), await right.agent.traffic()];
  const oursAddress = `20.0.${middle.site.hostAddress.split(".")[2]}.2:${RELAY_PORT}`;

  await t.step("by our relay server", async () => {
    await middle.agent.cli("set", "--relay-server-port", String(RELAY_PORT));
    assert.equal((await middle.agent.cli("get", "relay-server-port")).trim(), String(RELAY_PORT));
    await relayed(tsnetOf(left), tsnetOf(right), left.peer, right.peer, oursAddress);
    await relayed(agentOf(left), agentOf(right), ourLeft, ourRight, oursAddress);
    await relayed(agentOf(left), tsnetOf(right), ourLeft, right.peer, oursAddress);
    assert.match(await left.agent.cli("status"), new RegExp(`active; peer-relay ${oursAddress}:vni:\\d+`));
    const ping = await left.agent.command("ping", "-c", "1", right.agentIp);
    assert.match(ping.stdout, new RegExp(`via peer-relay\\(${oursAddress}:vni:\\d+\\)`));
    const session = `${oursAddress}:vni:\\d+`;
    const story = await left.agent.cli("debug", "path", right.agentIp);
    for (
      const line of [
        `^in use +peer relay ${session}, answers in `,
        `s ago  +(asked for a session at the peer relay of middle-agent|it told us by DERP of the session vni:)`,
        `s ago  +asked the peer relay to be let in at ${session}`,
        `s ago  +the peer relay answered at ${session}`,
        `s ago  +answered ${session} in `,
        `s ago  +packets now go by ${session}`,
      ]
    ) assert.match(story, new RegExp(line, "m"));
    const verbose = await left.agent.command("ping", "-c", "1", "--verbose", right.agentIp);
    assert.match(verbose.stderr, new RegExp(`^in use +peer relay ${session}`, "m"));
    const metrics = await middle.agent.metrics();
    assert.match(metrics, /tailscaled_peer_relay_endpoints\{state="open"\} [3-9]/);
    const forwarded = /tailscaled_peer_relay_forwarded_bytes_total\{transport_in="udp4",transport_out="udp4"\} (\d+)/
      .exec(metrics);
    assert.ok(Number(forwarded?.[1]) > 3 * BYTES, metrics);
    assert.match(
      await left.agent.metrics(),
      /tailscaled_outbound_bytes_total\{path="peer_relay_ipv4"\} [1-9]\d{7}/,
    );
    const sessions = await middle.agent.local("debug-peer-relay-sessions");
    assert.equal(sessions.UDPPort, RELAY_PORT);
    assert.ok(sessions.Sessions.length >= 3);
  });

  await t.step("our relay server refuses whom the packet filter grants nothing", async () => {
    const everything = [{ SrcIPs: ["*"], DstPorts: [{ IP: "*", Ports: { First: 0, Last: 65535 } }] }];
    const denied = async () => (await middle.agent.status()).Agent.Drops["relay-denied"] ?? 0;
    assert.equal(await denied(), 0);
    await world.control.rawMapResponse(middle.agent.name, { PacketFilter: everything });
    await until("the relay has the filter without grants", 20_000, async () => {
      return (await middle.agent.local(`whois?addr=${left.peerIp}`)).CapMap === null;
    });
    const [from, to] = [tsnetOf(left), agentOf(right)];
    // Both believe that they may ask it, and do; the pairs before have their sessions already.
    await until("the relay refused", PATIENCE_MS, async () => {
      await from.knock(to.ip);
      return await denied() > 0;
    }, 300);
    assert.ok(await from.knock(to.ip), "DERP carries them");
    assert.deepEqual([(await from.peer(to.ip)).PeerRelay ?? "", (await to.peer(from.ip)).PeerRelay], ["", ""]);
  });

  await t.step("killed while it carries a connection: DERP carries on", async () => {
    await ourRight.listen({ kind: "echo", port: 7301 });
    const flow = await ourLeft.flow({ addr: `${right.agentIp}:7301`, seed: 5, rate: 200_000 });
    let longestMs = 0;
    const look = async (what: string) => {
      const state = await flow.state();
      assert.equal(state.error, undefined, what);
      longestMs = Math.max(longestMs, state.longestStallMs);
      return state.received;
    };
    const progress = async (what: string) => {
      const received = await look(what);
      await until(what, 60_000, async () => await look(what) - received > 400_000, 200);
    };
    await progress("the flow by the relay");
    assert.notEqual((await left.agent.peer(right.agentIp)).PeerRelay, "");
    longestMs = 0;
    await middle.agent.kill();
    await until("the relay is left", 30_000, async () => (await left.agent.peer(right.agentIp)).PeerRelay === "");
    await progress("the flow by DERP");
    const { sent, received } = await flow.end();
    assert.equal(received, sent);
    console.log(`  relay killed: ${(longestMs / 1000).toFixed(1)} s without progress, no connection lost`);
  });

  await t.step("by Tailscale's relay server", async () => {
    await middle.peer.editPrefs({ RelayServerPort: RELAY_PORT + 1, RelayServerPortSet: true });
    // A node that looks at the network anew looks for relays anew, before the 30 s are over.
    Deno.kill(left.agent.pid, "SIGHUP");
    const theirs = oursAddress.replace(/:\d+$/, `:${RELAY_PORT + 1}`);
    await relayed(agentOf(left), agentOf(right), ourLeft, ourRight, theirs);
    Deno.kill(right.agent.pid, "SIGHUP");
    await relayed(tsnetOf(left), agentOf(right), left.peer, ourRight, theirs);
  });

  await t.step("left for a direct path as soon as there is one", async () => {
    const port = ports++;
    await ourRight.listen({ kind: "echo", port });
    const flow = await ourLeft.flow({ addr: `${right.agentIp}:${port}`, seed: 6, rate: 100_000 });
    const startedAt = performance.now();
    for (const { site } of [left, right]) {
      await site.routers[0].translate("easy");
      await site.routers[0].namespace.must(["conntrack", "-F"]);
    }
    await until("both are direct", 60_000, async () => {
      const [there, back] = [await left.agent.peer(right.agentIp), await right.agent.peer(left.agentIp)];
      return there.CurAddr !== "" && back.CurAddr !== "" && there.PeerRelay === "" && back.PeerRelay === "";
    }, 200);
    const { sent, received } = await flow.end();
    assert.equal(received, sent);
    console.log(
      `  NATs made easy: direct after ${((performance.now() - startedAt) / 1000).toFixed(1)} s, nothing lost`,
    );
  });
}

let ports = 7200;

/**
 * Waits until both ends say that the relay at `address` carries them, and sends 20 MB through it.
 * @param back where the other end sees it, `address` too unless given
 */
async function relayed(
  from: Node,
  to: Node,
  sender: TrafficEnd,
  receiver: TrafficEnd,
  address: string | RegExp,
  back = address,
): Promise<void> {
  const what = `${from.name} to ${to.name}`;
  const startedAt = performance.now();
  let over = false;
  const knocking = (async () => {
    while (!over) {
      await from.knock(to.ip);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  })();
  const carriedBy = async (one: Node, other: Node) => {
    const { PeerRelay = "" } = await one.peer(other.ip);
    const wanted = one === from ? address : back;
    return typeof wanted === "string" ? PeerRelay.startsWith(`${wanted}:vni:`) : wanted.test(PeerRelay);
  };
  try {
    await until(
      `${what} by ${address}`,
      PATIENCE_MS,
      async () => await carriedBy(from, to) && await carriedBy(to, from),
      200,
    ).catch(async (error) => {
      const seen = [await from.peer(to.ip), await to.peer(from.ip)].map(({ CurAddr, PeerRelay, Relay }: GoJson) => ({
        CurAddr,
        PeerRelay,
        Relay,
      }));
      throw new Error(`${error.message}: ${JSON.stringify(seen)}`);
    });
    const seconds = (performance.now() - startedAt) / 1000;
    const port = ports++;
    await receiver.listen({ kind: "sink", port });
    const sent = await sender.dial({
      addr: `${to.ip}:${port}`,
      send: BYTES,
      receive: -1,
      seed: port,
      timeoutMs: 60_000,
    });
    const taken = (await receiver.transfers("sink", 1)).find(({ local }) => local.endsWith(`:${port}`));
    assert.deepEqual([sent.error, taken?.error], [undefined, undefined], what);
    assert.equal(taken?.receivedSha256, seededSha256(port, BYTES), what);
    assert.ok(await carriedBy(from, to), `${what} is relayed to the end`);
    console.log(`  ${what}: relayed after ${seconds.toFixed(1)} s, ${(BYTES / 1000 / sent.ms).toFixed(1)} MB/s`);
  } finally {
    over = true;
    await knocking;
  }
}
