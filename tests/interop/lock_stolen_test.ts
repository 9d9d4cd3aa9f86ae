/**
 * A signing key is stolen in a mixed tailnet under our coordinator: an agent of ours and a tsnet node take trust back from
 * it, and what it signed is worthless on every node. Around it what only a live scene shows: auth keys wrapped by tsnet for
 * an agent, their keys pruned, nodes signed by a key on no network - and no secret of all this in any log.
 */
import assert from "node:assert/strict";
import { toBase64, toHex } from "../../base/bytes.ts";
import { type AgentNode, until } from "./support/agent.ts";
import { buildTailscaleCli } from "./support/build.ts";
import type { GoJson } from "./support/control.ts";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { LockedPeer } from "./support/locked_peer.ts";
import { type Scene, sceneTest } from "./support/scene.ts";

const WAIT_MS = 40_000;

/** A node of either kind, as people drive it. */
interface Member {
  readonly name: string;
  readonly ip: string;
  status(): Promise<GoJson>;
  /** `lock …` by the node's own command line. @throws Error for another exit code than 0. */
  lock(...args: string[]): Promise<string>;
  pings(ip: string): Promise<boolean>;
}

async function agentMember(agent: AgentNode): Promise<Member> {
  return {
    name: agent.name,
    ip: (await agent.ips())[0],
    status: () => agent.local("tka/status"),
    lock: (...args) => agent.cli("lock", ...args),
    pings: (ip) => agent.local(`ping?ip=${ip}&type=TSMP`, "POST").then(({ Err }) => Err === "", () => false),
  };
}

/** A tsnet node, driven by Tailscale's own command line. */
async function tsnetMember(scene: Scene, name: string, control: string, authkey: string, stock: string) {
  const localSocket = `${scene.dir}/${name}.sock`;
  const peer = await scene.peer("right", name, { control, authkey, localSocket });
  const locked = new LockedPeer(peer);
  const member: Member = {
    name,
    ip: peer.ips[0],
    status: () => locked.status(),
    lock: (...args) => scene.right.must([stock, "--socket", localSocket, "lock", ...args]),
    pings: (ip) => peer.ping(ip, "TSMP", 2_000).then(({ Err }) => Err === "", () => false),
  };
  return member;
}

async function lockIs(what: string, members: readonly Member[], holds: (status: GoJson) => boolean): Promise<void> {
  await Promise.all(
    members.map((member) => until(`${member.name}: ${what}`, WAIT_MS, async () => holds(await member.status()))),
  );
}

async function reach(from: Member, to: Member): Promise<void> {
  await until(`${from.name} reaches ${to.name}`, WAIT_MS, () => from.pings(to.ip));
}

const trusts = (key: string) => ({ TrustedKeys }: GoJson): boolean =>
  (TrustedKeys ?? []).some(({ Key }: GoJson) => Key === key.replace("tlpub:", "nlpub:"));
const keyOf = async (member: Member) => (await member.status()).PublicKey.replace("nlpub:", "tlpub:");

sceneTest(
  "lock: a stolen signer is revoked by an agent and a tsnet node; no secret is in a log (L9)",
  async (scene) => {
    const built = await buildTailscaleCli();
    // Without Go there is no lab program either, and the test was ignored before.
    if (built.kind === "skip") throw new Error(built.reason);
    await using coordinator = await CoordinatorProcess.start({
      namespace: scene.core,
      dir: scene.dir,
      host: "10.90.0.1",
      args: ["--lock-init", "node:ours"],
    });
    const key = await coordinator.createKey("--reusable");
    const oneOff = await coordinator.createKey("--expiry", "1h");
    const tsnet = (name: string, authkey = key) => tsnetMember(scene, name, coordinator.url, authkey, built.path);
    const [agent, secondAgent, theirs, thief] = await Promise.all([
      scene.agent("left", "ours", { args: ["--verbose", "2"] }),
      scene.agent("right", "second", { args: ["--verbose", "2"] }),
      tsnet("theirs"),
      tsnet("thief"),
    ]);
    await agent.up(coordinator.url, key);
    const ours = await agentMember(agent);
    const [ourKey, theirKey, thiefKey] = await Promise.all([ours, theirs, thief].map(keyOf));

    await assert.rejects(
      theirs.lock("init", "--confirm", theirKey),
      /node theirs \(operator\) may not lock the tailnet: this coordinator lets node:ours;/,
    );
    // Two signers; what the tsnet node signs has two votes.
    const made = await ours.lock("init", "--confirm", "--gen-disablements", "2", ourKey, `${theirKey}?2`);
    const secrets = made.match(/(?<=disablement-secret:)[0-9A-F]{64}/g)!;
    await lockIs(
      "is under the lock, signed",
      [ours, theirs, thief],
      ({ Enabled, NodeKeySigned }) => Enabled && NodeKeySigned,
    );

    // An auth key for one node, wrapped by tsnet: an agent of ours joins by it, and signs itself.
    const wrapped = (await theirs.lock("sign", oneOff)).trim();
    await secondAgent.up(coordinator.url, wrapped);
    const second = await agentMember(secondAgent);
    await lockIs("signed itself", [second], ({ Enabled, NodeKeySigned }) => Enabled && NodeKeySigned);
    await reach(second, theirs);
    await reach(ours, second);
    // The key is used, so its signer goes; the node stays, by the signature of ours.
    await lockIs("trusts the auth key's signer", [ours], ({ TrustedKeys }) => TrustedKeys.length === 3);
    assert.match(
      await ours.lock("prune"),
      /used, says control +1 [^]*Nothing was changed\. To do it: agent lock prune --yes/,
    );
    await ours.lock("prune", "--yes");
    await lockIs("trusts two keys", [ours, second, theirs, thief], ({ TrustedKeys }) => TrustedKeys.length === 2);
    await lockIs(
      "is signed anew",
      [second],
      ({ NodeKeySigned, NodeKeySignature }) => NodeKeySigned && NodeKeySignature.SigKind === 1,
    );
    await reach(second, theirs);

    // A third signer, added by tsnet, whose key is stolen: it adds a key of its own, and signs a mole.
    await theirs.lock("add", thiefKey);
    await lockIs("trusts the thief", [ours, second, theirs, thief], trusts(thiefKey));
    const evil = (await agent.command("lock", "keygen", `${scene.dir}/evil.key`)).stdout.trim();
    await thief.lock("add", evil);
    await lockIs("trusts the evil key", [ours, second, theirs, thief], trusts(evil));
    const mole = await tsnet("mole");
    const { NodeKey: moleKey, PublicKey: moleLock } = await mole.status();
    await thief.lock("sign", moleKey, moleLock.replace("nlpub:", "tlpub:"));
    await lockIs("is signed", [mole], ({ NodeKeySigned }) => NodeKeySigned);
    await Promise.all([reach(ours, mole), reach(second, mole), reach(theirs, mole)]);
    // Held back for later: the thief distrusts the honest two, on the branch that is now the chain.
    const [{ Hash: head }] = JSON.parse(await thief.lock("log", "--json", "--limit", "1")).Messages;
    const counter = blobOf(await thief.lock("revoke-keys", "--fork-from", head, ourKey, theirKey));

    // One vote is not enough against the two that let the thief in.
    const headHash = async () => JSON.parse(await ours.lock("log", "--json", "--limit", "1")).Messages[0].Hash;
    const alone = blobOf(await ours.lock("revoke-keys", thiefKey, evil));
    await assert.rejects(ours.lock("revoke-keys", "--finish", alone), /does not win/);
    assert.equal(await headHash(), head);
    await reach(ours, mole);
    // The thief removes both honest keys: all that they signed is locked out, and no honest key is left to recover with.
    await thief.lock("remove", "--re-sign=false", ourKey, theirKey);
    await lockIs("is locked out", [ours, second, theirs], ({ NodeKeySigned }) => !NodeKeySigned);
    await assert.rejects(ours.lock("revoke-keys", thiefKey, evil), /name those to keep/);
    // As they were before the theft, and co-signed by the tsnet node, they win.
    const generated = blobOf(await ours.lock("revoke-keys", "--keep", `${ourKey},${theirKey}`, thiefKey, evil));
    const cosigned = blobOf(await theirs.lock("revoke-keys", "--cosign", generated));
    assert.match(await ours.lock("revoke-keys", "--finish", cosigned), /^Recovery completed\.\n$/);
    const honest = [ours, second, theirs, mole, thief];
    await lockIs("trusts the thief no longer", honest, (status) => !trusts(thiefKey)(status) && !trusts(evil)(status));
    const recovered = await headHash();
    await lockIs("is locked out", [mole], ({ NodeKeySigned }) => !NodeKeySigned);
    await lockIs(
      "filters the mole",
      [ours, second, theirs],
      ({ FilteredPeers }) => (FilteredPeers ?? []).some(({ NodeKey }: GoJson) => NodeKey === moleKey),
    );
    assert.deepEqual(
      await Promise.all([ours, second, theirs].flatMap((node) => [node.pings(mole.ip), mole.pings(node.ip)])),
      Array(6).fill(false),
    );
    await Promise.all([reach(ours, theirs), reach(second, ours), reach(theirs, second)]);

    // What the thief still tries: signing, adding, and the branch it held back.
    await assert.rejects(thief.lock("sign", moleKey), /not trusted by Tailnet Lock/);
    await assert.rejects(thief.lock("add", evil), /does not have a trusted/);
    assert.equal(await thief.lock("revoke-keys", "--finish", counter), "Recovery completed.\n", "control takes it");
    const forged = await agent.command("lock", "sign", "--key", `file:${scene.dir}/evil.key`, moleKey);
    await Deno.writeTextFile(`${scene.dir}/forged.json`, forged.stdout);
    await assert.rejects(second.lock("sign", "--submit", `${scene.dir}/forged.json`), /Cannot find key/);
    assert.equal(await headHash(), recovered);
    const drawn = await ours.lock("log", "--graph");
    assert.match(drawn, /^● update [A-Z2-7]{52} \(checkpoint\)\n/);
    assert.match(drawn, /│ ○ update [A-Z2-7]{52} \(add-key\), \d more behind it\n[^]*├─╯ lost: 2 votes against 3\n/);

    // A key on no network, trusted by tsnet's word, signs an honest node; a node that is no signer hands it in.
    const offline = (await agent.command("lock", "keygen", `${scene.dir}/offline.key`)).stdout.trim();
    await theirs.lock("add", offline);
    await lockIs("trusts the offline key", [ours, second], trusts(offline));
    const late = await tsnet("late");
    await lockIs("filters late", [ours], ({ FilteredPeers }) => FilteredPeers?.length === 2);
    const file = (name: string) => `${scene.dir}/${name}.json`;
    await ours.lock("request", "--all-unsigned", "--name", "late", "--out", file("request"));
    await ours.lock(
      "sign",
      "--key",
      `file:${scene.dir}/offline.key`,
      "--in",
      file("request"),
      "--yes",
      "--out",
      file("made"),
    );
    assert.match(await second.lock("sign", "--submit", file("made")), /^submitted {2}late\./);
    await lockIs("is signed", [late], ({ NodeKeySigned }) => NodeKeySigned);
    await reach(late, second);
    const all = await ours.lock("status", "--all");
    assert.match(all, /mole\S* +100\.\S+ +LOCKED OUT: /);
    console.log(`  ${all.split("\n\n").at(-1)!.trim().replaceAll("\n", "\n  ")}`);
    // The tsnet node takes the offline key away again, and signs anew what hangs on it.
    await theirs.lock("remove", offline);
    await lockIs("trusts the offline key no longer", [ours, second, late], (status) => !trusts(offline)(status));
    await lockIs("is signed by tsnet", [late], ({ NodeKeySigned }) => NodeKeySigned);
    await reach(late, second);
    // The honest signer takes the mole in after all, by a list that it confirms.
    assert.match(await ours.lock("sign", "--all-unsigned", "--yes"), /^No unsigned node is there\.\n$/);
    assert.match(await ours.lock("sign", "--all-unsigned", "--distrusted", "--name=mole", "--yes"), /^signed {2}mole/m);
    await lockIs("is signed again", [mole], ({ NodeKeySigned }) => NodeKeySigned);

    // The end, by tsnet.
    await theirs.lock("disable", `disablement-secret:${secrets[0]}`);
    await lockIs("has no lock", [ours, second, theirs, thief, mole, late], ({ Enabled }) => !Enabled);

    // None of the secrets of all this is in a log of ours.
    const privateKeys = await Promise.all(
      ["ours.state", "second.state", "evil.key", "offline.key"].map((name) =>
        Deno.readTextFile(`${scene.dir}/${name}`)
      ),
    );
    const hidden = [
      ...secrets.flatMap(spellings),
      ...privateKeys.flatMap((text) => keysIn(text).flatMap(spellings)),
      ...[key, oneOff, wrapped].flatMap((text) => [text, text.split("-")[3]]),
      wrapped.split("--TL")[1],
    ];
    assert.ok(hidden.length > 20 && hidden.every((text) => text.length >= 20), "there is something to look for");
    const logs = [await coordinator.log(), await agent.log(Infinity), await secondAgent.log(Infinity)];
    for (const log of logs) {
      assert.ok(log.length > 500);
      for (const secret of hidden) assert.ok(!log.includes(secret), "a secret is in a log");
    }
  },
);

function blobOf(said: string): string {
  return /(?<=--cosign )[0-9A-F]+/.exec(said)![0];
}

/** A secret of 32 bytes in every spelling it might be logged in. */
function spellings(hex: string): string[] {
  const bytes = Uint8Array.fromHex(hex);
  return [toHex(bytes), toHex(bytes).toUpperCase(), toBase64(bytes), bytes.toBase64({ alphabet: "base64url" })];
}

/** Private keys in a state file or a key file: 32 bytes in hex. */
function keysIn(text: string): string[] {
  const plain = text.startsWith("{")
    ? Object.values(JSON.parse(text) as Record<string, string>).map((value) => atob(value)).join("\n")
    : text;
  return [...plain.matchAll(/(?:nlpriv|privkey):([0-9a-f]{64})/g)].map(([, hex]) => hex);
}
