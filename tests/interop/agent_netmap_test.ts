// What control says in map responses is what `agent status --json` shows and what packets obey: peers come, go, change,
// expire and get new keys; packet filters, users, the tailnet's name and the DERP map are replaced; control pings.

import assert from "node:assert/strict";
import { tunnelRoutes } from "../netlab/kernel_state.ts";
import { type AgentNode, until } from "./support/agent.ts";
import type { GoJson } from "./support/control.ts";
import type { LabPeer } from "./support/peer.ts";
import { type Scene, sceneTest } from "./support/scene.ts";

const DAY_MS = 24 * 3_600_000;
const goTime = (ms: number) => new Date(Math.round(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");

interface Joined {
  readonly agent: AgentNode;
  readonly peer: LabPeer;
  readonly ours: readonly string[];
  readonly theirs: string;
}

async function join(scene: Scene): Promise<Joined> {
  const [agent, peer] = await Promise.all([scene.joinedAgent("left", "ours"), scene.peer("right", "theirs")]);
  const ours = await agent.ips();
  await Promise.all([agent.awaitPeer(peer.ips[0]), peer.awaitPeer(ours[0])]);
  const joined = { agent, peer, ours, theirs: peer.ips[0] };
  await reached(joined);
  return joined;
}

/** What `agent status --json` says of the peer with an address; undefined when there is none. */
async function shown(agent: AgentNode, ip: string): Promise<GoJson | undefined> {
  const { Peer } = JSON.parse(await agent.cli("status", "--json"));
  return Object.values(Peer ?? {}).find((peer: GoJson) => peer.TailscaleIPs?.includes(ip));
}

/** Waits until `agent status --json` shows the peer, or its absence, as `fits` wants it. */
async function shows(agent: AgentNode, ip: string, what: string, fits: (peer: GoJson) => boolean): Promise<GoJson> {
  let last: GoJson;
  try {
    return await until(what, 8_000, async () => {
      last = await shown(agent, ip);
      return fits(last) ? { peer: last } : undefined;
    });
  } catch (cause) {
    throw new Error(`${(cause as Error).message}; shown: ${JSON.stringify(last)}`, { cause });
  }
}

/** Whether one echo of the kernel, through the TUN device, is answered. */
async function answers(agent: AgentNode, ip: string): Promise<boolean> {
  return (await agent.namespace.run(["ping", "-c", "1", "-W", "1", ip])).code === 0;
}

async function reached({ agent, theirs }: Joined, what = "the peer answers"): Promise<void> {
  await until(what, 12_000, () => answers(agent, theirs));
}

async function notReached({ agent, theirs }: Joined, what: string): Promise<void> {
  assert.equal(await answers(agent, theirs), false, what);
}

sceneTest(
  "agent: raw map responses remove, add, patch, expire and re-key a peer, in status and for packets",
  async (scene) => {
    const joined = await join(scene);
    const { agent, peer, theirs } = joined;
    const raw = (response: Record<string, unknown>) => scene.control.rawMapResponse("ours", response);
    const node = await scene.control.node("theirs");
    const patch = (fields: Record<string, unknown>) => raw({ PeersChangedPatch: [{ NodeID: node.ID, ...fields }] });

    await raw({ PeersRemoved: [node.ID] });
    await shows(agent, theirs, "the peer is gone", (shown) => shown === undefined);
    await notReached(joined, "a removed peer answers");
    const { code, stderr } = await agent.command("ping", "--c", "1", theirs);
    assert.deepEqual([code, stderr], [1, "no matching peer\n"]);

    await raw({ PeersChanged: [node] });
    await shows(agent, theirs, "the peer is back", (shown) => shown?.PublicKey === node.Key);
    await reached(joined, "a peer that was added answers");

    const lastSeen = goTime(Date.now() - 3_700_000);
    await patch({ Online: false, LastSeen: lastSeen });
    await shows(agent, theirs, "offline", (shown) => shown.Online === false && shown.LastSeen === lastSeen);
    assert.match(await agent.cli("status"), /^100\.64\.0\.\d+ +theirs .*offline, last seen 1h ago/m);
    const expiry = goTime(Date.now() + DAY_MS);
    await patch({ Online: true, KeyExpiry: expiry, DERPRegion: 9 });
    await shows(
      agent,
      theirs,
      "online, with an expiry and a new home",
      (shown) => shown.Online && shown.KeyExpiry === expiry && shown.Relay === "9",
    );
    await reached(joined, "a peer with a later expiry answers");

    // Nothing of the old paths is left: packets find the peer by the endpoint of the patch alone.
    await raw({ PeersRemoved: [node.ID] });
    await shows(agent, theirs, "the peer is gone again", (shown) => shown === undefined);
    await raw({ PeersChanged: [{ ...node, Endpoints: [], HomeDERP: 0, DiscoKey: undefined }] });
    await shows(agent, theirs, "a peer nobody knows the place of", (shown) => shown?.Relay === "");
    await patch({ DiscoKey: node.DiscoKey, Endpoints: node.Endpoints });
    await reached(joined, "a peer whose endpoints were patched answers");
    assert.match((await shown(agent, theirs)).CurAddr, /^(10\.90\.2\.2|\[fd90:2::2\]):\d+$/);

    await patch({ KeyExpiry: goTime(Date.now() - 60_000) });
    await shows(agent, theirs, "expired", (shown) => shown.Expired === true);
    await notReached(joined, "a peer with an expired key answers");
    await patch({ KeyExpiry: expiry, DERPRegion: 1 });
    await shows(agent, theirs, "no longer expired", (shown) => shown.Expired === undefined);
    await reached(joined, "a peer whose key was extended answers");

    // The peer logs in anew and has another key; until control says so here, its packets are nobody's.
    await peer.login();
    const newKey = await until("tsnet has a new key", 10_000, async () => {
      const { PublicKey } = (await peer.status()).Self;
      return PublicKey !== node.Key && PublicKey;
    });
    await notReached(joined, "a peer answers by a key it no longer has");
    await patch({ Key: newKey });
    await shows(agent, theirs, "the new key", (shown) => shown.PublicKey === newKey);
    await peer.awaitPeer(joined.ours[0]);
    await reached(joined, "a re-keyed peer answers");
    console.log(`  removed, added, patched, expired, extended, re-keyed: status and packets agree each time`);
  },
);

sceneTest("agent: a peer's new disco key by raw map response", async (scene) => {
  const joined = await join(scene);
  const { agent, peer, theirs } = joined;
  const discoPing = () => agent.local(`ping?ip=${theirs}&type=disco`, "POST", undefined);
  const node = await scene.control.node("theirs");
  // From here on the agent learns nothing by itself.
  await scene.control.rawMapResponse("ours", { KeepAlive: true });
  assert.equal((await discoPing()).Err, "");
  await peer.debug("rotate-disco-key");
  const { DiscoKey } = await until("control has the new disco key", 10_000, async () => {
    const now = await scene.control.node("theirs");
    return now.DiscoKey !== node.DiscoKey && now;
  });
  await scene.control.rawMapResponse("ours", { PeersChangedPatch: [{ NodeID: node.ID, DiscoKey }] });
  await until("the peer answers disco pings by its new key", 10_000, async () => (await discoPing()).Err === "");
  await reached(joined);
});

sceneTest("agent: nodes added, updated, expired and jailed at control", async (scene) => {
  const joined = await join(scene);
  const { agent, peer, ours, theirs } = joined;
  const ip = "100.101.102.103";
  const fake = await scene.control.addFakeNode({
    Name: "fake.scene.ts.net.",
    Addresses: [`${ip}/32`],
    AllowedIPs: [`${ip}/32`],
    HomeDERP: 1,
  });
  await shows(agent, ip, "the new node", (shown) => shown?.PublicKey === fake.Key);
  assert.ok(tunnelRoutes(agent.namespace).includes(`${ip}/32`));
  await scene.control.updateNode(fake.Key, { Name: "other.scene.ts.net.", Tags: ["tag:x"] });
  const { peer: updated } = await shows(agent, ip, "its new name", ({ DNSName }) => DNSName === "other.scene.ts.net.");
  assert.deepEqual(updated.Tags, ["tag:x"]);
  await scene.control.expire(fake.Key);
  await shows(agent, ip, "its expiry", ({ Expired }) => Expired === true);
  assert.equal(tunnelRoutes(agent.namespace).includes(`${ip}/32`), false);

  // A jailed peer may be spoken to and may not begin.
  assert.equal((await peer.ping(ours[0], "ICMP")).Err, "");
  await scene.control.setJailed("ours", "theirs", true);
  await until("the jail is shut", 8_000, () => peer.ping(ours[0], "ICMP", 700).then(() => false, () => true));
  assert.equal(await answers(agent, theirs), true, "an answer of a jailed peer is dropped");
  await scene.control.setJailed("ours", "theirs", false);
  await until("the jail is open", 8_000, () => peer.ping(ours[0], "ICMP", 700).then(() => true, () => false));
});

sceneTest("agent: packet filters, users, tailnet name and DERP map by raw map responses", async (scene) => {
  const joined = await join(scene);
  const { agent, peer, ours, theirs } = joined;
  const raw = (response: Record<string, unknown>) => scene.control.rawMapResponse("ours", response);
  const node = await scene.control.node("theirs");
  const kernel = await agent.traffic();
  await Promise.all([7001, 7002].map((port) => kernel.listen({ kind: "echo", port })));
  /** Which of our ports the peer gets to: each is tried until it is as wanted. */
  const open = async (...want: number[]) => {
    const enters = async (port: number) => {
      const order = { addr: `${ours[0]}:${port}`, send: 10, receive: 10, seed: 1, timeoutMs: 700 };
      return await peer.dial(order).then(({ received }) => received === 10, () => false);
    };
    await until(`the peer gets to ports ${want.join()} of 7001, 7002`, 10_000, async () => {
      const found = await Promise.all([7001, 7002].map(enters));
      return found.every((is, i) => is === want.includes(7001 + i));
    });
  };
  const rule = (port: number, from = "*") => ({
    SrcIPs: [from],
    DstPorts: [{ IP: "*", Ports: { First: port, Last: port } }],
  });
  await open(7001, 7002);
  await raw({ PacketFilters: { "*": null } });
  await open();
  assert.equal(await answers(agent, theirs), true, "what we begin is answered through a filter that blocks all");
  await raw({ PacketFilters: { web: [rule(7001)] } });
  await open(7001);
  await raw({ PacketFilters: { more: [rule(7002, theirs)] } });
  await open(7001, 7002);
  await raw({ PacketFilters: { web: null } });
  await open(7002);
  await raw({ PacketFilters: { "*": null, web: [rule(7001, "100.64.99.99")], icmp: [{ ...rule(0), IPProto: [1] }] } });
  await open();

  await raw({
    Domain: "renamed.example",
    UserProfiles: [{ ID: node.User, LoginName: "carol@renamed.example", DisplayName: "Carol" }],
  });
  const status = await until("the new user", 8_000, async () => {
    const status = JSON.parse(await agent.cli("status", "--json"));
    return status.User[node.User]?.DisplayName === "Carol" && status;
  });
  assert.equal(status.CurrentTailnet.Name, "renamed.example");
  assert.equal(status.User[node.User].LoginName, "carol@renamed.example");
  assert.match(await agent.cli("status"), /theirs +carol@ /);
  const whois = JSON.parse(await agent.cli("whois", "--json", theirs));
  assert.equal(whois.UserProfile.LoginName, "carol@renamed.example");

  const { derpMap } = scene.control.process.ready;
  const [region] = Object.values<GoJson>(derpMap.Regions);
  const moved = {
    ...region,
    RegionID: 5,
    RegionCode: "moved",
    Nodes: [{ ...region.Nodes[0], RegionID: 5, Name: "5" }],
  };
  await raw({
    DERPMap: { OmitDefaultRegions: true, Regions: { 5: moved } },
    PeersChangedPatch: [{ NodeID: node.ID, DERPRegion: 5 }],
  });
  await until("the home region is the new one", 10_000, async () => (await agent.status()).Self.Relay === "moved");
  assert.deepEqual(Object.keys((await agent.local("derpmap")).Regions), ["5"]);
  await shows(agent, theirs, "the peer's home", ({ Relay }) => Relay === "moved");
  const told = async () => (await scene.control.node("ours")).HomeDERP === 5;
  await until("control knows the home region", 10_000, told);
});

sceneTest("agent: control pings: a URL is called, c2n /echo answers", async (scene) => {
  const agent = await scene.joinedAgent("left", "ours");
  const { control } = scene;
  await control.awaitPolling("ours");
  await control.ping("ours", { URL: control.pingUrl("one"), Log: false });
  const pings = await until("the ping's URL is called", 8_000, async () => {
    const seen = await control.pings();
    return seen.length > 0 && seen;
  });
  assert.deepEqual(pings.map(({ method, path }) => [method, path]), [["HEAD", "/lab/ping/one"]]);
  const echo = await control.c2n("ours", { method: "POST", path: "/echo", body: "hello, node" });
  assert.deepEqual([echo.status, echo.body], [200, "hello, node"]);
  assert.equal((await control.c2n("ours", { path: "/no-such-thing" })).status, 400);
  assert.equal((await agent.status()).BackendState, "Running");
});
