/**
 * A node moves from Tailscale to us and back: a tsnet node with two logins, one of them under Tailnet Lock, is taken over
 * from its state directory, goes on as our agent, and is given back.
 */
import assert from "node:assert/strict";
import { AgentNode, until } from "./support/agent.ts";
import { buildTailscaleCli } from "./support/build.ts";
import type { GoJson } from "./support/control.ts";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { LockedPeer } from "./support/locked_peer.ts";
import { sceneTest } from "./support/scene.ts";
import { TailscaledNode } from "./support/tailscaled.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const WAIT_MS = 40_000;

sceneTest("migrate: a tsnet node with two logins and Tailnet Lock becomes ours, and is given back", async (scene) => {
  const built = await buildTailscaleCli();
  if (built.kind === "skip") throw new Error(built.reason);
  const args = ["--lock-init", "any"];
  await using one = await CoordinatorProcess.start({ namespace: scene.core, dir: scene.dir, host: "10.90.0.1", args });
  const second = `${scene.dir}/two`;
  const theirs = `${scene.dir}/theirs`;
  const ours = `${scene.dir}/ours`;
  for (const dir of [second, theirs, ours]) await Deno.mkdir(dir, { mode: 0o700 });
  await using two = await CoordinatorProcess.start({ namespace: scene.core, dir: second, host: "10.90.1.1" });
  const [aliceKey, bobKey] = [await one.createKey("--reusable"), await two.createKey("--user", "bob")];

  // A tsnet node under the lock of its neighbour, which is ours.
  const signer = await scene.agent("right", "signer");
  await signer.up(one.url, aliceKey);
  const localSocket = `${scene.dir}/theirs.sock`;
  const tsnet = (authkey: string) =>
    scene.peer("left", "moved", { control: one.url, authkey, dir: theirs, localSocket });
  const before = await tsnet(aliceKey);
  const { PublicKey } = await signer.local("tka/status");
  const trusted = PublicKey.replace("nlpub:", "tlpub:");
  await signer.cli("lock", "init", "--confirm", "--accept-risk=one-signer", trusted);
  const signed = ({ Enabled, NodeKeySigned }: GoJson) => Enabled && NodeKeySigned;
  await new LockedPeer(before).until("is under the lock, signed", signed);

  // Its second login, in another tailnet, without a lock.
  const stock = async (...args: string[]) => {
    const { code, stdout, stderr } = await scene.left.run([built.path, "--socket", localSocket, ...args], {
      timeout: 60_000,
    });
    assert.equal(code, 0, `tailscale ${args.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  };
  const profiles = async (): Promise<GoJson[]> => JSON.parse(await stock("switch", "--list", "--json"));
  const [first] = await profiles();
  const nodeOf = ({ Self, TailscaleIPs }: GoJson) => ({ key: Self.PublicKey, id: Self.ID, ips: TailscaleIPs });
  const alice = nodeOf(await before.status());
  await stock("login", "--login-server", two.url, "--auth-key", bobKey, "--nickname", "second", "--accept-dns=false");
  const bob = nodeOf(await before.status());
  assert.notEqual(bob.id, alice.id);
  await stock("switch", first.id);
  await until("alice is back", WAIT_MS, async () => (await before.status()).Self?.ID === alice.id);

  const migrate = (...args: string[]) =>
    scene.left.run([Deno.execPath(), "run", "-A", "--no-lock", MAIN, "migrate", "--statedir", ours, ...args], {
      timeout: 60_000,
    });
  const must = async (...args: string[]) => {
    const { code, stdout, stderr } = await migrate(...args);
    assert.deepEqual([code, stderr], [0, ""], `migrate ${args.join(" ")}`);
    return stdout;
  };
  const refused = async (pattern: RegExp, ...args: string[]) => {
    const { code, stdout, stderr } = await migrate(...args);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, pattern);
  };

  // Never while it runs.
  await refused(
    /^Cannot move while lab \(process \d+\) runs on \S+; stop it first: 'kill \d+'\n$/,
    "--from",
    theirs,
  );
  assert.deepEqual([...Deno.readDirSync(ours)], []);
  await before[Symbol.asyncDispose]();

  const left = snapshot(theirs);
  const looked = await must("--from", theirs, "--dry-run");
  assert.match(looked, /^Would take over /);
  assert.deepEqual([...Deno.readDirSync(ours)], [], "a look makes nothing");
  const said = await must("--from", theirs);
  assert.match(said, new RegExp(`\\(current\\)\n    control server  ${one.url}\n    node key        ${alice.key}\n`));
  assert.match(said, new RegExp(`second.*\n    control server  ${two.url}\n    node key        ${bob.key}\n`));
  assert.equal(said.match(/Tailnet Lock {4}1 updates, head [A-Z2-7]{52}\n/g)?.length, 1);
  assert.equal(said.match(/Tailnet Lock {4}not enabled\n/g)?.length, 1);
  assert.equal(Deno.statSync(`${ours}/agent.state`).mode! & 0o777, 0o600);
  await Deno.remove(`${theirs}/MOVED-TO-AGENT`);
  assert.deepEqual(snapshot(theirs), left, "the original stays as it was");
  await refused(/^Cannot take over into \S+agent\.state: it has .* already\. Give another place/, "--from", theirs);

  // The same node, now ours: key, address, lock, and traffic.
  await using agent = await AgentNode.start({
    namespace: scene.left,
    dir: scene.dir,
    name: "moved",
    args: ["--state", `${ours}/agent.state`],
  });
  const running = async () => {
    await until("it runs", WAIT_MS, async () => (await agent.status()).BackendState === "Running");
    return nodeOf(await agent.status());
  };
  const underLock = async (head: string) => {
    await until("the lock is there", WAIT_MS, async () => {
      const status = await agent.local("tka/status");
      return signed(status) && JSON.parse(await agent.cli("lock", "status", "--json")).Head === head;
    });
  };
  const headOf = async () => JSON.parse(await signer.cli("lock", "status", "--json")).Head as string;
  const [signerIp] = await signer.ips();
  const reaches = () =>
    until("it reaches the signer", WAIT_MS, async () => {
      const { Err } = await agent.local(`ping?ip=${signerIp}&type=TSMP`, "POST");
      return Err === "";
    });
  assert.deepEqual(await running(), alice);
  await underLock(await headOf());
  await reaches();
  await refused(/another daemon is using it/, "--back");
  await agent.cli("switch", "second");
  assert.deepEqual(await running(), bob);
  await agent.cli("switch", first.id);
  assert.deepEqual(await running(), alice);

  // The lock goes on without the original, and the node's key is renewed.
  await signer.cli("lock", "add", `tlpub:${"42".repeat(32)}`);
  await underLock(await headOf());
  const renewed = await renew();
  await reaches();
  await agent.stop();

  const given = await must("--back");
  assert.match(given, /: the node key was renewed here; the one before is no node's any more\.\n/);
  assert.match(given, /: Tailnet Lock has gone on here; its updates go along\.\n/);
  assert.equal(Deno.statSync(`${theirs}/tailscaled.state`).mode! & 0o777, 0o600);
  const [aside] = [...Deno.readDirSync(theirs)].map(({ name }) => name).filter((name) => name.startsWith("before-"));
  const kept = snapshot(`${theirs}/${aside}`);
  assert.deepEqual(kept.get("tailscaled.state"), left.get("tailscaled.state"), "a copy of what was there");
  await assert.rejects(agent.run(), /its node was given back to \S+theirs at /);

  // Tailscale's again, with what has changed.
  const after = await tsnet("");
  assert.deepEqual(nodeOf(await after.status()), renewed);
  await new LockedPeer(after).until("is under the lock, signed", signed);
  const heads = new Set([await headOf(), JSON.parse(await stock("lock", "status", "--json")).Head]);
  assert.equal(heads.size, 1, `${[...heads]}`);
  await until("it reaches the signer", WAIT_MS, async () => {
    return (await after.ping(signerIp, "TSMP").catch(() => undefined))?.Err === "";
  });
  assert.equal((await profiles()).length, 2);
  await after[Symbol.asyncDispose]();

  // And ours once more; beside the original it does not run.
  assert.match(await must("--from", theirs), /^Took over /);
  const twin = await tsnet("");
  await assert.rejects(agent.run(), /Cannot run: lab \(process \d+\) runs on \S+theirs, whose node was taken over/);
  await twin[Symbol.asyncDispose]();
  await agent.run();
  assert.deepEqual(await running(), renewed);
  await reaches();

  async function renew(): Promise<ReturnType<typeof nodeOf>> {
    await agent.cli("renew", "--auth-key", aliceKey);
    const now = await running();
    assert.notEqual(now.key, alice.key);
    assert.deepEqual({ ...now, key: "" }, { ...alice, key: "" });
    return now;
  }
});

sceneTest("migrate: a server's tailscaled becomes ours, and never do both run", async (scene) => {
  const args = ["--key-expiry", "never"];
  await using coordinator = await CoordinatorProcess.start({
    namespace: scene.core,
    dir: scene.dir,
    host: "10.90.0.1",
    args,
  });
  const key = await coordinator.createKey("--reusable");
  const neighbour = await scene.agent("right", "neighbour");
  await neighbour.up(coordinator.url, key);
  const [neighbourIp] = await neighbour.ips();
  await using theirs = await TailscaledNode.start({ namespace: scene.left, dir: scene.dir, name: "server" });
  await theirs.up(coordinator.url, key, "--shields-up", "--advertise-routes=10.77.0.0/24");
  const before = await theirs.status();
  const migrate = (...more: string[]) => {
    const argv = [
      Deno.execPath(),
      "run",
      "-A",
      "--no-lock",
      MAIN,
      "migrate",
      "--statedir",
      `${scene.dir}/ours`,
      ...more,
    ];
    return scene.left.run(argv, { timeout: 60_000 });
  };
  const from = ["--from", `${scene.dir}/server`];
  const busy = await migrate(...from);
  assert.equal(busy.code, 1);
  assert.match(
    busy.stderr,
    /^Cannot move while tailscaled \(process \d+\) runs on \S+; stop it first: 'systemctl disable --now tailscaled'/,
  );
  await theirs.stop();
  const taken = await migrate(...from);
  assert.equal(taken.code, 0, taken.stderr);

  await using agent = await AgentNode.start({
    namespace: scene.left,
    dir: scene.dir,
    name: "server",
    args: ["--state", `${scene.dir}/ours/agent.state`],
  });
  await until("it runs", WAIT_MS, async () => (await agent.status()).BackendState === "Running");
  const { Self, TailscaleIPs } = await agent.status();
  assert.deepEqual([Self.PublicKey, Self.ID, TailscaleIPs], [
    before.Self.PublicKey,
    before.Self.ID,
    before.TailscaleIPs,
  ]);
  const prefs = await agent.local("prefs");
  assert.deepEqual([prefs.ShieldsUp, prefs.AdvertiseRoutes, prefs.CorpDNS], [true, ["10.77.0.0/24"], false]);
  await until("it reaches its neighbour", WAIT_MS, async () => {
    return (await agent.local(`ping?ip=${neighbourIp}&type=TSMP`, "POST")).Err === "";
  });
  await agent.stop();

  await theirs.run();
  await assert.rejects(
    agent.run(),
    /Cannot run: tailscaled \(process \d+\) runs on \S+server, whose node was taken over/,
  );
  await theirs.cli("set", "--shields-up=false");
  await theirs.stop();
  await agent.run();
  await agent.stop();
  // Giving back would undo what was set there since.
  const undoing = await migrate("--back");
  assert.match(undoing.stderr, /it is not as it was left at \S+: tailscaled has run there since\. --force replaces it/);
  const given = await migrate("--back", "--force");
  assert.equal(given.code, 0, given.stderr);
  await theirs.run();
  await until("tailscaled runs", WAIT_MS, async () => (await theirs.status()).BackendState === "Running");
  assert.equal((await theirs.status()).Self.PublicKey, before.Self.PublicKey);
  assert.equal(JSON.parse(await theirs.cli("debug", "prefs")).ShieldsUp, true);
  assert.equal((await coordinator.nodes()).length, 2, "the same node all along");
});

/** Every file below a directory but the logs, with its bytes. */
function snapshot(directory: string, below = "", found = new Map<string, string>()): Map<string, string> {
  for (const { name, isDirectory } of Deno.readDirSync(`${directory}/${below}`)) {
    const path = `${below}${name}`;
    if (isDirectory) snapshot(directory, `${path}/`, found);
    else if (!/^tailscaled\.log/.test(name)) found.set(path, Deno.readFileSync(`${directory}/${path}`).toHex());
  }
  return found;
}
