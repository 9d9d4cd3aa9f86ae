/**
 * Tailnet Lock of a mixed tailnet under our coordinator: our agent makes the lock by its command line and tsnet nodes live
 * under it; tsnet signs an agent of ours, and our agent ends the lock for all.
 */
import assert from "node:assert/strict";
import { toBase64 } from "../../base/bytes.ts";
import { statusV1 } from "../../cli/lock/status.ts";
import type { LockStatus } from "../../cli/lock/types.ts";
import { type AgentNode, until } from "./support/agent.ts";
import type { GoJson } from "./support/control.ts";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { headOf, LockedPeer } from "./support/locked_peer.ts";
import { type Scene, sceneTest } from "./support/scene.ts";

const WAIT_MS = 40_000;

/** A node of either kind, as the lock's test asks it. */
interface Member {
  readonly name: string;
  readonly ip: string;
  /** ipnstate.TailnetLockStatus. */
  status(): Promise<GoJson>;
  /** Whether an address answers one packet through WireGuard. An agent waits 5 s for it, tsnet as long as is said. */
  pings(ip: string, timeoutMs: number): Promise<boolean>;
  /** Whether the lock lets the address into its netmap. */
  sees(ip: string): Promise<boolean>;
}

async function agentMember(agent: AgentNode): Promise<Member> {
  return {
    name: agent.name,
    ip: (await agent.ips())[0],
    status: () => agent.local("tka/status"),
    pings: (ip) => agent.local(`ping?ip=${ip}&type=TSMP`, "POST").then(({ Err }) => Err === "", () => false),
    sees: (ip) => agent.peer(ip).then(() => true, () => false),
  };
}

type TsnetMember = Member & { readonly locked: LockedPeer };

async function tsnetMember(scene: Scene, name: string, control: string, authkey: string): Promise<TsnetMember> {
  const peer = await scene.peer("right", name, { control, authkey });
  const locked = new LockedPeer(peer);
  return {
    name,
    locked,
    ip: peer.ips[0],
    status: () => locked.status(),
    pings: (ip, timeoutMs) => peer.ping(ip, "TSMP", timeoutMs).then(({ Err }) => Err === "", () => false),
    sees: async (ip) => {
      const { Peer } = await peer.status();
      return Object.values<GoJson>(Peer ?? {}).some(({ TailscaleIPs }) => TailscaleIPs.includes(ip));
    },
  };
}

/** Waits until the lock of every member is so. */
async function lockIs(what: string, members: readonly Member[], holds: (status: GoJson) => boolean): Promise<void> {
  await Promise.all(
    members.map((member) => until(`${member.name}: ${what}`, WAIT_MS, async () => holds(await member.status()))),
  );
}

/** Waits until each of `others` and `member` have an answer from each other. */
async function reach(member: Member, others: readonly Member[]): Promise<void> {
  const pairs = others.flatMap((other) => [[member, other], [other, member]]);
  await Promise.all(
    pairs.map(([from, to]) => until(`${from.name} reaches ${to.name}`, WAIT_MS, () => from.pings(to.ip, 1_000))),
  );
}

/** That the member has no answer from any of `others`, nor they from it, and that they do not have it in their netmaps. */
async function isShutOut(member: Member, others: readonly Member[]): Promise<void> {
  const tried = await Promise.all(
    others.map(async (other) => ({
      from: other.name,
      seen: await other.sees(member.ip),
      answers: await Promise.all([other.pings(member.ip, 3_000), member.pings(other.ip, 3_000)]),
    })),
  );
  assert.deepEqual(tried, others.map(({ name }) => ({ from: name, seen: false, answers: [false, false] })));
}

/** That `lock status --json` and `lock log --json` of the agent say what the tsnet node's lock says. */
async function agree(agent: AgentNode, tsnet: TsnetMember): Promise<void> {
  const [mine, log] = await Promise.all([
    agent.cli("lock", "status", "--json").then(JSON.parse),
    agent.cli("lock", "log", "--json").then(JSON.parse),
  ]);
  const theirs: GoJson = statusV1(await tsnet.status() as LockStatus);
  for (const field of ["SchemaVersion", "Enabled", "Head", "TrustedKeys"]) {
    assert.deepEqual(mine[field], theirs[field], field);
  }
  assert.equal(Number(mine.State), Number(theirs.State));
  // Each has the signature of the other as the other has it.
  const seen = (status: GoJson, nodeKey: string) =>
    status.VisiblePeers.find(({ NodeKey }: GoJson) => NodeKey === nodeKey).NodeKeySignature;
  assert.deepEqual(seen(theirs, mine.NodeKey), mine.NodeKeySignature);
  assert.deepEqual(seen(mine, theirs.NodeKey), theirs.NodeKeySignature);

  const chain = (await tsnet.locked.log()).map(({ Raw }) => Raw);
  const ours = log.Messages.map(({ Raw }: GoJson) => toBase64(Uint8Array.fromBase64(Raw, { alphabet: "base64url" })));
  assert.deepEqual(ours, chain);
  assert.deepEqual(await agent.local("tka/log?limit=50"), await tsnet.locked.log());
}

sceneTest("lock: made by our agent, lived by tsnet, signed by either, and ended by our agent", async (scene) => {
  await using coordinator = await CoordinatorProcess.start({
    namespace: scene.core,
    dir: scene.dir,
    host: "10.90.0.1",
    args: ["--lock-init", "alice"],
  });
  const key = await coordinator.createKey("--reusable", "--user", "alice");
  const tsnet = (name: string, authkey = key) => tsnetMember(scene, name, coordinator.url, authkey);
  const [agent, second, theirs] = await Promise.all([
    scene.agent("left", "ours"),
    scene.agent("right", "second"),
    tsnet("theirs"),
  ]);
  await agent.up(coordinator.url, key);
  const ours = await agentMember(agent);
  await reach(ours, [theirs]);

  // Our agent makes the lock. Both were in the tailnet, so both are signed.
  const { PublicKey } = await ours.status();
  const made = await agent.cli(
    "lock",
    "init",
    "--confirm",
    "--accept-risk=one-signer",
    PublicKey.replace("nlpub:", "tlpub:"),
  );
  const [secret] = /disablement-secret:[0-9A-F]{64}/.exec(made)!;
  await lockIs("is under the lock, signed", [ours, theirs], ({ Enabled, NodeKeySigned }) => Enabled && NodeKeySigned);
  await reach(ours, [theirs]);
  await agree(agent, theirs);

  // A tsnet node that nobody signed, and then our agent does.
  const late = await tsnet("late");
  await lockIs("is locked out", [late], ({ Enabled, NodeKeySigned }) => Enabled && !NodeKeySigned);
  await lockIs("filters late", [ours, theirs], ({ FilteredPeers }) => FilteredPeers?.length === 1);
  await isShutOut(late, [ours, theirs]);
  const { NodeKey } = await late.status();
  assert.match(NodeKey, /^nodekey:[0-9a-f]{64}$/);
  await agent.cli("lock", "sign", NodeKey);
  await lockIs("is signed", [late], ({ NodeKeySigned }) => NodeKeySigned);
  await reach(late, [ours, theirs]);

  // A tsnet node becomes a signer, and signs a second agent of ours.
  const theirKey = await theirs.locked.key();
  await agent.cli("lock", "add", theirKey.replace("nlpub:", "tlpub:"));
  await lockIs("trusts both", [ours, theirs, late], ({ TrustedKeys }) => TrustedKeys?.length === 2);
  await second.up(coordinator.url, key);
  const two = await agentMember(second);
  await lockIs("is locked out", [two], ({ Enabled, NodeKeySigned }) => Enabled && !NodeKeySigned);
  await isShutOut(two, [ours, theirs, late]);
  const unsigned = await two.status();
  await assert.rejects(second.cli("lock", "sign", unsigned.NodeKey), /not trusted by Tailnet Lock/);
  await theirs.locked.signKeys(unsigned.NodeKey, unsigned.PublicKey);
  await lockIs("is signed", [two], ({ NodeKeySigned }) => NodeKeySigned);
  await reach(two, [ours, theirs, late]);
  await Promise.all([agree(agent, theirs), agree(second, late)]);

  // An auth key wrapped by our agent: who joins by it signs itself.
  const wrapped = (await agent.cli("lock", "sign", key)).trim();
  const guest = await tsnet("guest", wrapped);
  await lockIs("signed itself", [guest], ({ Enabled, NodeKeySigned }) => Enabled && NodeKeySigned);
  await reach(guest, [ours, theirs, two]);
  // By our node's own key no other has to be trusted for it.
  const byOwn = (await agent.cli("lock", "sign", "--no-new-key", key)).trim();
  const visitor = await tsnet("visitor", byOwn);
  await lockIs("signed itself", [visitor], ({ Enabled, NodeKeySigned }) => Enabled && NodeKeySigned);
  await reach(visitor, [ours, theirs]);
  assert.equal((await ours.status()).TrustedKeys.length, 3, "two signers, and the guest's auth key");
  const listed = await coordinator.nodes();
  assert.deepEqual(listed.map(({ lock }) => lock?.signed), listed.map(() => true));
  const heads = await Promise.all(
    [ours, two, theirs, late, guest].map(async (member) => headOf(await member.status())),
  );
  assert.equal(new Set(heads).size, 1, `heads differ: ${heads}`);

  // The end of it: who is not signed reaches all.
  await assert.rejects(agent.cli("lock", "disable", `disablement-secret:${"00".repeat(32)}`), /incorrect disablement/);
  await agent.cli("lock", "disable", secret);
  await lockIs("has no lock", [ours, two, theirs, late, guest], ({ Enabled }) => !Enabled);
  await reach(await tsnet("free"), [ours, two, theirs, late, guest]);
});
