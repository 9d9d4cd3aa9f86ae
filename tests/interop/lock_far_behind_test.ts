/** An agent of ours that was stopped while its lock went on for 3,000 changes (L16). */
import assert from "node:assert/strict";
import { toHex } from "../../base/bytes.ts";
import { LocalClient } from "../../cli/local_client.ts";
import { until } from "./support/agent.ts";
import { CoordinatorProcess } from "./support/coordinator_process.ts";
import { sceneTest } from "./support/scene.ts";

const CHANGES = 3000;
/** Keys added, and removed again, in one call. */
const AT_ONCE = 250;

sceneTest("lock (L16): a stopped agent that missed 3,000 AUMs is in sync at once when it is back", async (scene) => {
  await using coordinator = await CoordinatorProcess.start({
    namespace: scene.core,
    dir: scene.dir,
    host: "10.90.0.1",
  });
  const key = await coordinator.createKey("--reusable");
  const [ours, away] = await Promise.all([scene.agent("left", "ours"), scene.agent("right", "away")]);
  await Promise.all([ours.up(coordinator.url, key), away.up(coordinator.url, key)]);
  const [[ourIp], [awayIp]] = [await ours.ips(), await away.ips()];
  const { PublicKey } = await ours.local("tka/status");
  await ours.cli("lock", "init", "--confirm", "--accept-risk=one-signer", PublicKey.replace("nlpub:", "tlpub:"));
  for (const agent of [ours, away]) {
    await until(`${agent.name} is under the lock`, 40_000, async () => (await agent.local("tka/status")).NodeKeySigned);
  }
  await away.stop();

  const client = new LocalClient(ours.socket);
  const head = async () => toHex(Uint8Array.from((await ours.local("tka/status")).Head));
  const Keys = Array.from({ length: AT_ONCE }, (_, i) => {
    const Public = new Uint8Array(32).fill(7);
    new DataView(Public.buffer).setUint32(0, i);
    return { Kind: 1, Votes: 1, Public: Public.toBase64() };
  });
  for (let made = 0; made < CHANGES; made += AT_ONCE) {
    const before = await head();
    const adds = (made / AT_ONCE) % 2 === 0;
    await client.text("POST", "tka/modify", { AddKeys: adds ? Keys : null, RemoveKeys: adds ? null : Keys });
    await until("the head moves", 40_000, async () => await head() !== before);
  }
  const length = (await ours.local(`tka/log?limit=${2 * CHANGES}`)).length;
  assert.ok(length > CHANGES, `${length} AUMs`);

  const begun = performance.now();
  await away.run();
  await until("it has the head", 40_000, async () => {
    const { Head, Agent } = await away.local("tka/status");
    return Agent.Condition === "synced" && toHex(Uint8Array.from(Head ?? [])) === await head();
  });
  console.log(`  ${length - 1} AUMs behind: in sync ${(performance.now() - begun).toFixed(0)} ms after its start`);
  await until(
    "they reach each other",
    40_000,
    async () =>
      (await away.local(`ping?ip=${ourIp}&type=TSMP`, "POST").catch(() => ({ Err: "no" }))).Err === "" &&
      (await ours.local(`ping?ip=${awayIp}&type=TSMP`, "POST").catch(() => ({ Err: "no" }))).Err === "",
  );
});
