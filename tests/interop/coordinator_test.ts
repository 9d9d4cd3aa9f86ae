/**
 * Tailscale's own clients at our coordinator: `control/tsp` speaks its protocol, `tsnet` nodes join it, find each other
 * through its maps, and move packets through its relay and directly.
 */
import assert from "node:assert/strict";
import { makeSelfSigned } from "../../derp/self_signed.ts";
import { RunningCoordinator, until } from "../support/running_coordinator.ts";
import type { GoJson } from "./support/control.ts";
import { runLab } from "./support/lab.ts";
import { labTest } from "./support/lab_test_case.ts";
import { LabPeer } from "./support/peer.ts";
import { seededSha256 } from "./support/seeded_bytes.ts";

labTest("coordinator: control/tsp registers, updates and reads its map", async (path) => {
  await using world = await RunningCoordinator.start();
  const { url, createKey } = world.coordinator;
  const { key } = await createKey({ tags: ["tag:lab"], user: "alice" });
  const args = ["tsp", "-server", url, "-authkey", key, "-hostname", "Tsp Box.local", "-update", "-count", "1"];
  const lines = await runLab({ path }, args) as GoJson[];
  const registered = lines.find((line) => line.registered)!.registered;
  assert.equal(registered.MachineAuthorized, true);
  assert.equal(registered.Login.LoginName, "tagged-devices");
  const map = lines.find((line) => line.map)!.map;
  assert.equal(map.Node.Name, "tsp-box.tailnet.internal.");
  assert.deepEqual(map.Node.Addresses, ["100.64.0.1/32", "fd7a:115c:a1e0::6440:1/128"]);
  assert.deepEqual(map.Node.Tags, ["tag:lab"]);
  assert.equal(map.Node.KeyExpiry, undefined);
  assert.match(map.Node.DiscoKey, /^discokey:[0-9a-f]{64}$/);
  assert.equal(map.Domain, "tailnet.internal");

  const again = ["tsp", "-server", url, "-authkey", key, "-count", "1"];
  await assert.rejects(runLab({ path }, again), /was for one use and has been used/);
});

for (const derpOnly of [true, false]) {
  const way = derpOnly ? "through our relay" : "directly";
  labTest(`coordinator: two tsnet nodes ping and move 4 MB each way ${way}`, async (path) => {
    await using world = await RunningCoordinator.start();
    const { key } = await world.coordinator.createKey({ reusable: true });
    const join = { control: world.coordinator.url, authkey: key, derpOnly };
    const [one, two] = await Promise.all(
      ["one", "two"].map((hostname) => LabPeer.start({ path }, { ...join, hostname })),
    );
    await using _one = one;
    await using _two = two;
    await Promise.all([one.awaitPeer(two.ips[0]), two.awaitPeer(one.ips[0])]);
    // A node is Running before its peers know where to send to it; WireGuard would try again only after 5 s.
    await until(
      async () => (await peer(one))?.Relay === "agent" && (await peer(two))?.Relay === "agent",
      "home regions",
    );

    for (const ip of two.ips) {
      const pong = await one.ping(ip, "TSMP");
      assert.equal(pong.Err, "");
    }
    const disco = await two.ping(one.ips[0], "disco");
    assert.equal(disco.Err, "");
    if (derpOnly) assert.equal(disco.DERPRegionID, 900);
    const size = 4 << 20;
    await two.listen({ kind: "duplex", port: 7001, seed: 2, bytes: size });
    const transfer = await one.dial({ addr: `${two.ips[0]}:7001`, send: size, receive: size, seed: 1 });
    assert.equal(transfer.error ?? "", "");
    assert.equal(transfer.receivedSha256, seededSha256(2, size));
    const [served] = await two.transfers("duplex", 1);
    assert.equal(served.receivedSha256, seededSha256(1, size));

    const status = await one.status();
    assert.equal(status.CurrentTailnet.MagicDNSSuffix, "tailnet.internal");
    assert.equal(status.Self.DNSName, "one.tailnet.internal.");
    assert.equal(Object.values<GoJson>(status.Peer)[0].Online, true);
    if (!derpOnly) assert.notEqual((await one.ping(two.ips[0], "disco")).Endpoint, "");
    assert.deepEqual((await world.coordinator.admin.listNodes()).map(({ online }) => online), [true, true]);
  });
}

labTest("coordinator: changes reach tsnet nodes: rename, restart, expiry, removal, logout", async (path) => {
  await using world = await RunningCoordinator.start();
  const { key } = await world.coordinator.createKey({ reusable: true, ephemeral: true });
  const join = { control: world.coordinator.url, authkey: key };
  const [one, two] = await Promise.all(
    ["one", "two"].map((hostname) => LabPeer.start({ path }, { ...join, hostname })),
  );
  await using _one = one;
  await using _two = two;
  await one.awaitPeer(two.ips[0]);

  await two.editPrefs({ HostnameSet: true, Hostname: "Two Renamed" });
  await until(async () => (await peer(one))?.DNSName === "two-renamed.tailnet.internal.", "the new name");

  const before = await world.coordinator.admin.listNodes();
  // A Go client that finds the port closed waits 10 s before it tries again.
  await world.restart();
  await until(
    async () => (await world.coordinator.admin.listNodes()).every(({ online }) => online),
    "both nodes",
    25_000,
  );
  const after = await world.coordinator.admin.listNodes();
  assert.deepEqual(after.map(stable), before.map(stable));
  assert.equal((await one.ping(two.ips[0], "TSMP")).Err, "");

  await world.coordinator.admin.expireNode("two-renamed");
  await two.await("NeedsLogin");
  await until(async () => (await peer(one))?.Expired === true, "the expiry");

  await world.coordinator.admin.deleteNode("two-renamed");
  await until(async () => await peer(one) === undefined, "the removal");

  await one.logout();
  await until(async () => (await world.coordinator.admin.listNodes()).length === 0, "the logout");
});

labTest("coordinator: interactive login of a tsnet node is approved by an operator", async (path) => {
  await using world = await RunningCoordinator.start();
  const { admin, url } = world.coordinator;
  await using node = await LabPeer.start({ path }, { control: url, hostname: "asks", wait: "0" });
  await node.login();
  // tsnet may begin once by itself and again when asked, with another key: the last login is the one it shows.
  const shown = async () => (await node.status()).AuthURL;
  await until(async () => {
    const [waiting] = await admin.listLogins();
    return waiting !== undefined && await shown() === `${url}/register/${waiting.id}`;
  }, "the login URL");
  const [login] = await admin.listLogins();
  assert.equal(login.hostname, "asks");
  const page = await fetch(`${url}/register/${login.id}`);
  assert.match(await page.text(), new RegExp(`agent coordinator nodes approve ${login.id}`));
  await admin.approveLogin({ id: login.id, user: "alice" });
  await node.await("Running");
  assert.deepEqual((await admin.listNodes()).map(({ name, user }) => [name, user]), [["asks", "alice"]]);
});

labTest("coordinator: a tsnet node joins over TLS, with the relay on the same listener", async (path) => {
  const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  const pair = await makeSelfSigned(["127.0.0.1"], Date.now(), random);
  await using world = await RunningCoordinator.start({ tlsCert: pair.certPem, tlsKey: pair.keyPem });
  const caFile = `${world.stateDir}/ca.pem`;
  await Deno.writeTextFile(caFile, pair.certPem);
  const { key } = await world.coordinator.createKey({ reusable: true });
  const join = { control: world.url, authkey: key, caFile, derpOnly: true };
  const [one, two] = await Promise.all(
    ["one", "two"].map((hostname) => LabPeer.start({ path }, { ...join, hostname })),
  );
  await using _one = one;
  await using _two = two;
  await until(async () => (await peer(one))?.Relay === "agent" && (await peer(two))?.Relay === "agent", "home regions");
  assert.equal((await one.ping(two.ips[0], "TSMP")).Err, "");
});

/** The only peer in a node's status. */
async function peer(node: LabPeer): Promise<GoJson | undefined> {
  return Object.values<GoJson>((await node.status()).Peer ?? {})[0];
}

function stable(node: { id: number; stableId: string; name: string; addresses: readonly string[]; nodeKey: string }) {
  const { id, stableId, name, addresses, nodeKey } = node;
  return { id, stableId, name, addresses, nodeKey };
}
