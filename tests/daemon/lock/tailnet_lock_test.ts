/** The lock session against control in memory: bootstrap, sync, disable, and every way it must fail closed (L3, L5, L16). */
import assert from "node:assert/strict";
import { diskStores, memoryStores } from "../../../daemon/lock/stores.ts";
import { lockStatusJson } from "../../../daemon/lock/status_json.ts";
import { TailnetLock } from "../../../daemon/lock/tailnet_lock.ts";
import { createLog } from "../../../daemon/log.ts";
import { EMPTY_PERSIST } from "../../../daemon/persist.ts";
import type { Persist } from "../../../daemon/persist.ts";
import { MemoryState } from "../../../daemon/state_file.ts";
import { NodePrivate, NodePublic } from "../../../base/keys.ts";
import { toBase64 } from "../../../base/bytes.ts";
import type { Netmap } from "../../../control/client/netmap.ts";
import type { Node } from "../../../control/wire/tailcfg.ts";
import type { Aum } from "../../../tka/aum.ts";
import { encodeNodeKeySignature, signNodeKey } from "../../../tka/node_key_signature.ts";
import { drawChain, longChain } from "../../support/chain_dsl.ts";
import { testNetmap, testNode } from "../../support/fake_control.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { testKey } from "../../support/lock_keys.ts";
import { LockServer } from "../../support/lock_server.ts";
import { SeededRandom } from "../../support/random.ts";

const URL = "https://control.test";
const SECRET = new Uint8Array(32).fill(0xd1); // derives to itself here, and is the genesis' disablement value

const tree = drawChain(`
  G -> A -> B -> C+4 -> D
       A -> X -> Y
`);
const other = drawChain(`G`, { stateId1: 99n, disablementValues: [new Uint8Array(32).fill(0xee)] });

function signed(id: number, by = 1): Node {
  const node = testNode(id);
  const signature = signNodeKey(testKey(by).lock, NodePublic.parse(node.Key)!, testKey(id + 100).public);
  return { ...node, KeySignature: toBase64(encodeNodeKeySignature(signature)) };
}

const PEERS = [signed(2), signed(3, 2), testNode(4), signed(5, 4)];

/** A lock with everything around it. */
class World {
  readonly scheduler = new FakeScheduler();
  readonly server = new LockServer();
  readonly logged: string[] = [];
  readonly store: MemoryState;
  readonly directory: string | undefined;
  persist: Persist;
  profiles: string[] = [];
  lock: TailnetLock;

  constructor(store = new MemoryState(), directory?: string) {
    this.store = store;
    this.directory = directory;
    this.persist = { ...EMPTY_PERSIST, nodeKey: NodePrivate.generate(new SeededRandom(5).bytes), nodeId: "n1" };
    this.lock = this.#make();
  }

  #make(): TailnetLock {
    const lock = new TailnetLock({
      store: this.store,
      stores: this.directory === undefined ? memoryStores() : diskStores(this.directory),
      derive: (secret) => Promise.resolve(secret),
      capabilityVersion: 130,
      persist: () => this.persist,
      isProfile: (id) => this.profiles.includes(id),
      scheduler: this.scheduler,
      random: new SeededRandom(1).bytes,
      log: createLog({ verbose: 1, wall: () => 0, bare: true, write: (line) => this.logged.push(line) }),
    });
    lock.bind("ab12", URL);
    lock.connect({ request: this.server.serve });
    return lock;
  }

  restart(): void {
    this.lock.close();
    this.lock = this.#make();
  }

  netmap(fields: Partial<Netmap> = {}): Netmap {
    return testNetmap(PEERS, { ...this.server.netmapFields, ...fields });
  }

  /** Control sends a netmap; everything that follows from it happens. */
  async tell(fields: Partial<Netmap> = {}, profileId = "ab12"): Promise<void> {
    this.lock.gotNetmap(this.netmap(fields), profileId);
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await this.scheduler.settle();
  }

  accepted(fields: Partial<Netmap> = {}): string {
    return [...this.lock.filter(this.netmap(fields)).accepted].map(({ ID }) => ID).sort().join(" ");
  }

  get state(): string {
    return this.lock.condition.name;
  }
}

Deno.test("TailnetLock lets all peers pass where there is no lock", async () => {
  const world = new World();
  await world.tell();
  assert.equal(world.accepted(), "2 3 4 5");
  assert.equal(world.state, "off");
  assert.deepEqual(world.server.calls, []);
});

Deno.test("TailnetLock bootstraps from control's genesis, syncs, and accepts whom a trusted key signed", async () => {
  const world = new World();
  world.server.start(tree.genesis, tree.to("D"));
  await world.tell();
  assert.equal(world.state, "synced");
  assert.equal(world.lock.head, tree.aum("D").hash);
  assert.deepEqual(world.server.calls, ["bootstrap", "sync/offer", "sync/send"]);
  assert.equal(world.server.bodies[0].Version, 130);
  assert.equal(world.accepted(), "2 3 5");
  assert.deepEqual(world.lock.rejected.map(({ node, why }) => [node.ID, why]), [[4, "it has no signature"]]);
});

Deno.test("TailnetLock follows control's head, and asks nothing while the heads are equal", async () => {
  const world = new World();
  world.server.start(tree.genesis);
  await world.tell();
  const before = world.server.calls.length;
  await world.tell();
  assert.equal(world.server.calls.length, before);
  world.server.learn(tree.to("D"));
  await world.tell();
  assert.equal(world.lock.head, tree.aum("D").hash);
});

Deno.test("L3: nobody passes while the bootstrap is under way, refused or failing", async () => {
  const world = new World();
  world.server.start(tree.genesis, tree.to("D"));
  assert.equal(world.accepted(), "", "before control was asked");
  world.server.down = true;
  await world.tell();
  assert.equal(world.accepted(), "");
  assert.equal(world.state, "unreachable");
  assert.match(world.lock.filter(world.netmap()).problem!, /unreachable/);
  world.server.down = false;
  world.server.tamper = (call, answer) => call === "bootstrap" ? {} : answer;
  await world.scheduler.advance(400_000);
  await world.settle();
  assert.equal(world.state, "bootstrap-failed");
  assert.equal(world.accepted(), "");
  world.server.tamper = (call, answer) => call === "bootstrap" ? { GenesisAUM: toBase64(tree.aum("A").bytes) } : answer;
  await world.scheduler.advance(400_000);
  await world.settle();
  assert.equal(world.state, "bootstrap-failed");
  assert.equal(world.accepted(), "");
  world.server.tamper = (_call, answer) => answer;
  await world.scheduler.advance(400_000);
  await world.settle();
  assert.equal(world.state, "synced");
  assert.equal(world.accepted(), "2 3 5");
});

Deno.test("L3: once under lock, a node stays under it when control says there is none", async () => {
  const world = new World();
  world.server.start(tree.genesis);
  await world.tell();
  for (const tkaInfo of [undefined, { Head: "", Disabled: true }]) {
    await world.tell({ tkaEnabled: false, tkaInfo });
    assert.equal(world.accepted({ tkaEnabled: false, tkaInfo }), "2 3");
    assert.equal(world.state, "disable-unproven");
  }
  world.server.disablementSecret = new Uint8Array(32).fill(1);
  await world.scheduler.advance(400_000);
  await world.settle();
  assert.equal(world.state, "disable-unproven", "a wrong secret proves nothing");
  assert.equal(world.accepted({ tkaEnabled: false }), "2 3");
});

Deno.test("TailnetLock ends with a disablement secret that verifies", async () => {
  const world = new World();
  world.server.start(tree.genesis);
  await world.tell();
  world.server.disablementSecret = SECRET;
  await world.tell({ tkaEnabled: false, tkaInfo: undefined });
  assert.equal(world.state, "off");
  assert.equal(world.lock.head, "");
  assert.equal(world.accepted({ tkaEnabled: false }), "2 3 4 5");
  world.restart();
  await world.tell({ tkaEnabled: false, tkaInfo: undefined });
  assert.equal(world.accepted({ tkaEnabled: false }), "2 3 4 5");
});

Deno.test("L3: a node whose AUMs were in memory only is under lock after a restart too (TS-2025-008)", async () => {
  const world = new World();
  world.server.start(tree.genesis, tree.to("C"));
  await world.tell();
  world.restart();
  assert.equal(world.accepted({ tkaEnabled: false, tkaInfo: undefined }), "");
  await world.tell({ tkaEnabled: false, tkaInfo: undefined });
  assert.equal(world.accepted({ tkaEnabled: false, tkaInfo: undefined }), "");
  assert.equal(world.state, "disable-unproven");
  // What it remembers is enough to tell the true secret.
  world.server.disablementSecret = SECRET;
  await world.scheduler.advance(400_000);
  await world.settle();
  assert.equal(world.accepted({ tkaEnabled: false, tkaInfo: undefined }), "2 3 4 5");
});

Deno.test("L3: a node that lost its AUMs takes the same lock again, no other, and nobody before all AUMs are back", async () => {
  const world = new World();
  world.server.start(tree.genesis, tree.to("D"));
  await world.tell();
  world.restart();
  const evil = new LockServer().start(other.genesis);
  world.lock.connect({ request: evil.serve });
  await world.tell(evil.netmapFields);
  assert.equal(world.state, "other-lock");
  assert.equal(world.accepted(), "");
  // The right genesis, but the AUMs behind it withheld.
  const withholding = new LockServer().start(tree.genesis, tree.to("A"));
  world.lock.connect({ request: withholding.serve });
  await world.tell(withholding.netmapFields);
  assert.equal(world.lock.head, tree.aum("A").hash);
  assert.equal(world.accepted(), "");
  world.lock.connect({ request: world.server.serve });
  await world.tell();
  assert.equal(world.lock.head, tree.aum("D").hash);
  assert.equal(world.accepted(), "2 3 5");
});

Deno.test("L3: a damaged store keeps everybody out and names the file; moved away, the lock comes back verified", async () => {
  const base = await Deno.makeTempDir({ prefix: "agent-lock-" });
  try {
    const world = new World(new MemoryState(), base);
    world.server.start(tree.genesis, tree.to("C"));
    await world.tell();
    const { hash } = tree.aum("B");
    const path = `${base}/ab12/${hash.slice(0, 2)}/${hash}`;
    Deno.writeFileSync(path, Deno.readFileSync(path).map((byte, i) => i === 30 ? byte ^ 1 : byte));
    world.restart();
    await world.tell();
    assert.equal(world.state, "store-damaged");
    assert.ok(world.lock.problem(undefined).includes(path));
    assert.equal(world.accepted(), "");
    assert.equal(world.accepted({ tkaEnabled: false, tkaInfo: undefined }), "");
    await Deno.rename(`${base}/ab12`, `${base}/away`);
    world.restart();
    await world.tell();
    assert.equal(world.state, "synced");
    assert.equal(world.accepted(), "2 3 5");
    world.restart();
    assert.equal(world.lock.head, tree.aum("C").hash, "from disk, before control is asked");
    assert.equal(world.accepted({ tkaEnabled: false, tkaInfo: undefined }), "2 3 5");
  } finally {
    await Deno.remove(base, { recursive: true });
  }
});

Deno.test("L3: what control says moves a node to no other profile", async () => {
  const world = new World();
  world.server.start(tree.genesis);
  await world.tell();
  world.lock.gotNetmap(world.netmap({ tkaEnabled: false, tkaInfo: undefined }), "cd34");
  assert.equal(world.accepted({ tkaEnabled: false, tkaInfo: undefined }), "2 3");
  world.lock.bind("cd34", URL);
  assert.equal(world.accepted({ tkaEnabled: false, tkaInfo: undefined }), "2 3");
});

Deno.test("L5: with --lock-required nobody passes before a lock is known", async () => {
  const world = new World();
  world.lock.setPolicy({ required: true, pins: [] });
  await world.tell();
  assert.equal(world.state, "required");
  assert.equal(world.accepted(), "");
  world.restart();
  await world.tell();
  assert.equal(world.accepted(), "", "also after a restart");
  world.server.start(tree.genesis);
  await world.tell();
  assert.equal(world.accepted(), "2 3");
  world.lock.setPolicy({ required: false, pins: [] });
  assert.equal(world.accepted(), "2 3");
});

Deno.test("L5: a pinned node takes no genesis of control's own making", async () => {
  const pins: Record<string, string> = {
    hash: tree.genesis.hash,
    key: testKey(1).lock.public.cliString(),
    "state ID": "11:12",
  };
  const forged = drawChain(`G`, { stateId1: 99n });
  for (const [kind, pin] of Object.entries(pins)) {
    const world = new World();
    world.lock.setPolicy({ required: false, pins: [pin] });
    // Signed by the same key in this drawing, so the key pin is shown below.
    if (kind !== "key") {
      world.server.start(forged.genesis);
      await world.tell();
      assert.equal(world.state, "pin-mismatch", kind);
      assert.equal(world.accepted(), "", kind);
      assert.equal(world.lock.head, "", "nothing of it was kept");
      world.lock.connect({ request: world.server.serve });
    }
    world.server.start(tree.genesis);
    await world.tell();
    assert.equal(world.accepted(), "2 3", kind);
  }
  const world = new World();
  world.lock.setPolicy({ required: false, pins: [testKey(2).lock.public.cliString()] });
  world.server.start(tree.genesis);
  await world.tell();
  assert.equal(world.state, "pin-mismatch");
  assert.equal(world.accepted(), "");
});

Deno.test("L5: a pin set later closes a node that is under another lock, and opens it when taken away", async () => {
  const world = new World();
  world.server.start(tree.genesis);
  await world.tell();
  world.lock.setPolicy({ required: false, pins: ["1:2"] });
  assert.equal(world.accepted(), "");
  assert.equal(world.state, "pin-mismatch");
  world.lock.setPolicy({ required: false, pins: [] });
  await world.tell();
  assert.equal(world.accepted(), "2 3");
});

Deno.test("L16: a local branch is sent before control's AUMs are applied, and both end at one head", async () => {
  const world = new World();
  world.server.start(tree.genesis, tree.to("A"));
  await world.tell();
  const mine = new LockServer().start(tree.genesis, tree.to("Y"));
  world.lock.connect({ request: mine.serve });
  await world.tell(mine.netmapFields);
  world.server.learn(tree.to("D"));
  world.lock.connect({ request: world.server.serve });
  await world.tell();
  assert.equal(world.state, "synced");
  assert.equal(world.lock.head, world.server.authority!.head);
  assert.ok(world.server.chonk.aum(tree.aum("Y").hash), "the losing branch was handed over");
});

Deno.test("L16: control's AUMs are applied although it cannot be told what control lacks", async () => {
  const world = new World();
  const { state } = drawChain(`G -> A`).node("A").authority;
  const chain = longChain(tree.genesis, state, 120, testKey(1));
  world.server.start(tree.genesis, chain.slice(0, 20));
  await world.tell();
  world.server.learn(chain.slice(20));
  // An offer that shows nothing we have, as of a server that samples its chain sparsely.
  world.server.tamper = (call, answer) =>
    call === "sync/offer" ? { ...answer, Ancestors: [chain.at(-2)!.hash] } : answer;
  await world.tell();
  assert.equal(world.lock.head, chain.at(-1)!.hash);
  assert.equal(world.state, "synced");
  assert.deepEqual(world.server.bodies.at(-1)!.MissingAUMs, []);
});

Deno.test("L16: disable and re-enable while a node was away: a true secret retires the old lock", async () => {
  const world = new World();
  world.server.start(other.genesis);
  await world.tell();
  assert.equal(world.lock.head, other.genesis.hash);
  world.server.start(tree.genesis, tree.to("D"));
  world.server.tamper = (call, answer) =>
    call === "sync/offer" ? { ...answer, MissingAUMs: [], Ancestors: [tree.genesis.hash] } : answer;
  // Upstream's server cannot even answer such an offer.
  const serve = world.server.serve;
  const lenient = (request: Parameters<typeof serve>[0]) =>
    request.path.endsWith("sync/offer") && (request.body as { Head: string }).Head === other.genesis.hash
      ? Promise.resolve({ Head: world.server.authority!.head, Ancestors: [tree.genesis.hash], MissingAUMs: [] })
      : (world.server.tamper = (_call, answer) => answer, serve(request));
  world.lock.connect({ request: lenient });
  await world.tell();
  assert.equal(world.state, "no-common-history");
  assert.equal(world.accepted(), "2 3", "still judged by the old lock");
  world.server.disablementSecret = new Uint8Array(32).fill(0xee);
  const passed = new Set<string>();
  world.lock.connect({
    request: (request) => {
      passed.add(world.accepted());
      return lenient(request);
    },
  });
  await world.tell();
  assert.equal(world.state, "synced");
  assert.equal(world.lock.head, tree.aum("D").hash);
  assert.equal(world.accepted(), "2 3 5");
  assert.deepEqual([...passed], ["2 3", "2 3 5"], "by the old lock, then by the new one, and at no time by none");
});

Deno.test("L8: AUMs that no trusted key signed change nothing and are named", async () => {
  const world = new World();
  world.server.start(tree.genesis, tree.to("A"));
  await world.tell();
  const forged = longChain(tree.aum("A"), world.server.authority!.state, 1, testKey(77));
  world.server.tamper = (call, answer) =>
    call === "sync/offer"
      ? {
        Head: forged[0].hash,
        Ancestors: [tree.genesis.hash],
        MissingAUMs: forged.map((aum: Aum) => toBase64(aum.bytes)),
      }
      : answer;
  await world.tell({ tkaInfo: { Head: forged[0].hash } });
  assert.equal(world.state, "bad-updates");
  assert.equal(world.lock.head, tree.aum("A").hash);
  assert.equal(world.accepted(), "2 3");
  const calls = world.server.calls.length;
  await world.tell({ tkaInfo: { Head: forged[0].hash } });
  await world.scheduler.advance(3_600_000);
  assert.equal(world.server.calls.length, calls, "not tried again before control says something else");
});

Deno.test("L16: heads that stay different are named, and not asked about again before something changed", async () => {
  const world = new World();
  world.server.start(tree.genesis, tree.to("A"));
  await world.tell();
  world.server.tamper = (call, answer) =>
    call.startsWith("sync/") ? { ...answer, Head: tree.aum("Y").hash, Ancestors: [tree.genesis.hash] } : answer;
  world.server.learn(tree.to("D"));
  await world.tell();
  assert.equal(world.state, "diverged");
  const calls = world.server.calls.length;
  await world.tell();
  assert.equal(world.lock.head, tree.aum("D").hash);
  await world.scheduler.advance(3_600_000);
  assert.ok(world.server.calls.length - calls <= 3);
});

Deno.test("L6: the age of the head and when control last confirmed it are known, and outlive a restart", async () => {
  const world = new World();
  world.server.start(tree.genesis, tree.to("A"));
  await world.tell();
  const first = world.scheduler.wall();
  await world.scheduler.advance(86_400_000);
  await world.tell();
  assert.equal(world.lock.record!.headSince, first);
  assert.equal(world.lock.confirmedAt, world.scheduler.wall());
  world.restart();
  assert.equal(world.lock.record!.headSince, first);
});

Deno.test("L7: that others are shown another chain is seen by peers a key signed that ours never trusted", async () => {
  const world = new World();
  const forked = drawChain(`
    G -> A -> B
         A -> X+4 -> Y-2
  `);
  // Peer 5 is signed by key 4, which only the branch that others are shown trusts.
  world.server.start(forked.genesis, forked.to("B"));
  await world.tell();
  const since = world.scheduler.wall();
  await world.scheduler.advance(3_600_000);
  assert.equal(world.accepted(), "2 3");
  const key = testKey(4).lock.public.cliString();
  assert.deepEqual(world.lock.unknownSigners, [{ key, peers: [testNode(5).Name] }]);
  const seen = world.lock.problem(world.netmap());
  assert.ok(seen.includes(key) && seen.includes(forked.aum("B").hash), seen);
  assert.ok(seen.includes(new Date(since).toISOString()), "the age of the head");
  const { Agent } = lockStatusJson(world.lock, world.persist, world.netmap(), []) as { Agent: Record<string, unknown> };
  assert.deepEqual(Agent.UnknownSigners, [{ Key: key, Peers: [testNode(5).Name] }]);
  assert.deepEqual([Agent.HeadFrom, Agent.HeadSince], [URL, new Date(since).toISOString()]);

  // Both branches in one hand: every node chooses alike, and nothing is strange any more.
  world.server.learn(forked.to("Y"));
  await world.tell();
  assert.equal(world.lock.head, world.server.authority!.head);
  assert.equal(world.accepted(), world.lock.authority!.trusts(testKey(4).public) ? "2 5" : "2 3");
  assert.deepEqual(world.lock.unknownSigners, []);
  assert.equal(world.lock.problem(world.netmap()), "");
});

Deno.test("L7: a signature that is not valid, or by a key that was removed, says nothing of another chain", async () => {
  const world = new World();
  const tree = drawChain(`G -> A-2`);
  world.server.start(tree.genesis, tree.to("A"));
  await world.tell();
  const forged = { ...signed(6, 77), Key: testNode(7).Key };
  const peers = testNetmap([signed(3, 2), testNode(4), forged], world.server.netmapFields);
  assert.deepEqual([...world.lock.filter(peers).accepted], []);
  assert.deepEqual(world.lock.unknownSigners, []);
});

Deno.test("TailnetLock takes a lock that was switched off here for none, and only that one", async () => {
  const world = new World();
  world.server.start(tree.genesis);
  await world.tell();
  world.persist = { ...world.persist, disallowedTkaStateIds: ["11:12"] };
  world.lock.dropLocally();
  await world.settle();
  assert.equal(world.state, "disabled-here");
  assert.equal(world.accepted(), "2 3 4 5");
  world.restart();
  assert.equal(world.accepted(), "", "not before control has said which lock it is");
  await world.tell();
  assert.equal(world.accepted(), "2 3 4 5");
  world.server.start(drawChain(`G`, { stateId1: 98n }).genesis);
  await world.tell();
  assert.equal(world.accepted(), "2 3", "another lock is enforced");
});

Deno.test("TailnetLock: another login at the same server is not under the first one's lock, until that login is gone", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "agent-logins-" });
  try {
    const world = new World(new MemoryState(), directory);
    world.profiles = ["ab12"];
    world.server.start(tree.genesis, tree.to("A"));
    await world.tell();
    assert.equal(world.accepted(), "2 3");
    const off = { tkaEnabled: false, tkaInfo: undefined };
    world.lock.bind("", URL);
    await world.tell(off, "cd34");
    assert.equal(world.accepted(off), "2 3 4 5");
    world.lock.bind("ab12", URL);
    await world.tell(off);
    assert.equal(world.accepted(off), "2 3", "changed back to, it is in force as before");
    world.profiles = [];
    world.lock.bind("ef56", URL);
    assert.equal(world.accepted(off), "2 3", "the login went, but nobody gave its lock up");
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("TailnetLock.forgetProfile() takes the store and the record of a deleted login, and no other", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "agent-forget-" });
  try {
    const world = new World(new MemoryState(), directory);
    world.profiles = ["ab12", "cd34"];
    world.server.start(tree.genesis, tree.to("A"));
    await world.tell();
    world.lock.bind("cd34", URL);
    await world.tell({}, "cd34");
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), ["ab12", "cd34"]);
    world.lock.forgetProfile("ab12");
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name), ["cd34"]);
    assert.equal(world.lock.head, tree.aum("A").hash);
    world.profiles = ["cd34"];
    world.restart();
    assert.equal(world.lock.record, undefined, "of the deleted one");
    world.lock.bind("cd34", URL);
    assert.equal(world.lock.head, tree.aum("A").hash);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});

Deno.test("TailnetLock drops what an exchange brings that another session overtook", async () => {
  const world = new World();
  world.server.start(tree.genesis, tree.to("D"));
  const held = Promise.withResolvers<void>();
  world.lock.connect({ request: async (request) => (await held.promise, await world.server.serve(request)) });
  world.lock.gotNetmap(world.netmap(), "ab12");
  world.lock.connect(undefined);
  held.resolve();
  await world.settle();
  assert.equal(world.lock.head, "");
  assert.equal(world.accepted(), "");
});

Deno.test("TailnetLock never says a secret or a private key in its log", async () => {
  const world = new World();
  world.server.start(tree.genesis, tree.to("D"));
  await world.tell();
  world.server.disablementSecret = SECRET;
  await world.tell({ tkaEnabled: false, tkaInfo: undefined });
  const text = world.logged.join("\n");
  assert.ok(text.length > 0);
  assert.doesNotMatch(text, /d1d1d1d1|nlpriv:|privkey:/i);
});
