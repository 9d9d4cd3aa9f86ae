/** Tailnet Lock of a whole coordinator over the loopback, with our own control client as its nodes. */
import assert from "node:assert/strict";
import { fromBase64, toBase64 } from "../../../../base/bytes.ts";
import { checkTkaResponse, isMalformed } from "../../../../control/wire/decode.ts";
import type { TkaCall, TkaRequest, TkaResponse } from "../../../../control/wire/decode.ts";
import { disablementValue } from "../../../../tka/disablement.ts";
import { Aum } from "../../../../tka/aum.ts";
import { Authority } from "../../../../tka/authority.ts";
import { MemChonk } from "../../../../tka/mem_chonk.ts";
import { EMPTY_STATE } from "../../../../tka/state.ts";
import { ControlNode } from "../../../support/control_node.ts";
import { testKey } from "../../../support/lock_keys.ts";
import { signature } from "../../../support/lock_world.ts";
import { RunningCoordinator, until } from "../../../support/running_coordinator.ts";

const SIGNER = testKey(1);
const SECRET = new Uint8Array(32).fill(7);

async function call<C extends TkaCall>(
  node: ControlNode,
  name: C,
  fields: Omit<TkaRequest<C>, "Version" | "NodeKey">,
): Promise<TkaResponse<C>> {
  const body = { Version: 113, NodeKey: node.nodeKey.public.toString(), ...fields };
  const answer = await node.client.request({ method: "GET", path: `/machine/tka/${name}`, body, limit: 10 << 20 });
  const checked = checkTkaResponse(name, answer);
  if (isMalformed(checked)) throw new Error(checked.malformed);
  return checked.value;
}

function genesisOf(): Aum {
  const state = {
    ...EMPTY_STATE,
    disablementValues: [disablementValue(SECRET)],
    keys: [SIGNER.key()],
    stateId1: 2n ** 64n - 1n,
    stateId2: 5n,
  };
  return Authority.create(new MemChonk(), state, SIGNER, 0).genesis;
}

async function init(node: ControlNode): Promise<Aum> {
  const genesis = genesisOf();
  const { NeedSignatures } = await call(node, "init/begin", { GenesisAUM: toBase64(genesis.bytes) });
  const entries = (NeedSignatures ?? []).map((info) =>
    [String(info.NodeID), signature(SIGNER, info.NodePublic, fromBase64(info.RotationPubkey))] as const
  );
  await call(node, "init/finish", { Signatures: Object.fromEntries(entries) });
  return genesis;
}

async function joined(url: string, key: string, hostname: string): Promise<ControlNode> {
  const node = new ControlNode({ url, hostname });
  assert.equal((await node.register(key)).kind, "registered");
  node.poll();
  return node;
}

Deno.test("coordinator: once the lock is on, every map and patch carries the signatures, and a restart changes nothing", async () => {
  await using running = await RunningCoordinator.start();
  const { url } = running;
  const { key } = await running.coordinator.createKey({ reusable: true });
  await using one = await joined(url, key, "one");
  await using two = await joined(url, key, "two");
  await until(() => one.peer("two") !== undefined && two.peer("one") !== undefined, "both");
  assert.ok("https://tailscale.com/cap/tailnet-lock" in one.netmap!.self.CapMap!);
  assert.equal(one.netmap!.tkaInfo, undefined);

  const genesis = await init(one);
  await until(() => two.netmap!.tkaInfo?.Head === genesis.hash, "the head");
  await until(() => two.netmap!.self.KeySignature !== undefined, "its own signature");
  await until(() => two.peer("one")?.KeySignature !== undefined, "the signature of a peer");
  assert.equal(running.coordinator.lock.authorizes(two.peer("one")!.Key, two.peer("one")!.KeySignature!), true);

  // An unsigned node is shown as it is: without a signature, for its peers to refuse.
  await using three = await joined(url, key, "three");
  await until(() => one.peer("three") !== undefined && three.netmap !== undefined, "three");
  assert.equal(three.netmap!.tkaInfo?.Head, genesis.hash);
  assert.equal(one.peer("three")!.KeySignature, undefined);
  const { fullMaps } = one;
  const signed = signature(SIGNER, three.nodeKey.public.toString(), three.lockKey.bytes);
  await call(two, "sign", { Signature: signed });
  await until(() => one.peer("three")!.KeySignature === signed, "the patch");
  await until(() => three.netmap!.self.KeySignature === signed, "its own entry");
  assert.equal(one.fullMaps, fullMaps, "a signature travels as a patch");

  await running.restart();
  await using four = await joined(url, key, "four");
  await until(() => four.peer("three") !== undefined, "the first map after the restart");
  assert.equal(four.netmap!.tkaInfo?.Head, genesis.hash);
  const bare = [...four.netmap!.peers].filter(({ KeySignature }) => KeySignature === undefined);
  assert.deepEqual(bare.map(({ Name }) => Name), []);
  const { GenesisAUM } = await call(four, "bootstrap", { Head: "" });
  assert.equal(Aum.decode(fromBase64(GenesisAUM!)!).hash, genesis.hash);
});

Deno.test("coordinator: disablement over the wire, derived in a worker while maps go on being served (L12)", async () => {
  await using running = await RunningCoordinator.start();
  const { url } = running;
  const { key } = await running.coordinator.createKey({ reusable: true });
  await using one = await joined(url, key, "one");
  await until(() => one.netmap !== undefined, "a map");
  const { hash } = await init(one);
  const guess = (secret: Uint8Array) => call(one, "disable", { Head: hash, DisablementSecret: toBase64(secret) });
  let longest = 0;
  let last = performance.now();
  const watch = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 5);
  try {
    await assert.rejects(guess(new Uint8Array(32)), /incorrect disablement secret/);
    await guess(SECRET);
  } finally {
    clearInterval(watch);
  }
  console.log(`longest time nothing was served: ${longest.toFixed(0)} ms`);
  await until(() => one.netmap!.tkaInfo?.Disabled === true, "the end of the lock");
  assert.equal((await call(one, "bootstrap", { Head: hash })).DisablementSecret, toBase64(SECRET));
});

Deno.test("coordinator: a call of the lock is refused with a reason, and only machines of the tailnet may send much", async () => {
  await using running = await RunningCoordinator.start();
  const { url } = running;
  const { key } = await running.coordinator.createKey({ reusable: true });
  await using one = await joined(url, key, "one");
  await using stranger = new ControlNode({ url, hostname: "stranger" });
  await assert.rejects(call(one, "sync/offer", { Head: "", Ancestors: [] }), /tailnet lock is not on/);
  await assert.rejects(call(stranger, "bootstrap", { Head: "" }), /node not found/);
  const large = toBase64(new Uint8Array(1 << 20));
  await assert.rejects(call(stranger, "sign", { Signature: large }), /too large|413|broke|closed|cancel/i);
  await assert.rejects(call(one, "init/begin", { GenesisAUM: large }), /bytes, want at most/);
  const body = { Version: 113, NodeKey: one.nodeKey.public.toString(), Head: 5 };
  await assert.rejects(one.client.request({ method: "GET", path: "/machine/tka/bootstrap", body }), /Head is 5/);
  await assert.rejects(one.client.request({ method: "GET", path: "/machine/tka/other", body }), /404/);
});
