/**
 * Plays a history with the daemon's own lock (`daemon/lock`) against the coordinator's answers. Whatever happens, the
 * node lets no unsigned peer pass while it is under lock; in the end control is honest, and the node comes into sync, or
 * says by name what to do, which is then done and must bring it into sync.
 */
import assert from "node:assert/strict";
import { NodePrivate, NodePublic } from "../../base/keys.ts";
import { toBase64 } from "../../base/bytes.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import type { ConditionName } from "../../daemon/lock/condition.ts";
import { isFine, remedyOf } from "../../daemon/lock/condition.ts";
import { diskStores } from "../../daemon/lock/stores.ts";
import type { LockStores } from "../../daemon/lock/stores.ts";
import { TailnetLock } from "../../daemon/lock/tailnet_lock.ts";
import { EMPTY_PERSIST } from "../../daemon/persist.ts";
import type { Persist } from "../../daemon/persist.ts";
import { MemoryState } from "../../daemon/state_file.ts";
import { encodeNodeKeySignature, signNodeKey } from "../../tka/node_key_signature.ts";
import { verifyByKey } from "../../tka/signature.ts";
import type { VerifySignature } from "../../tka/signature.ts";
import { stateIdText } from "../../tka/state.ts";
import { testNetmap, testNode } from "./fake_control.ts";
import { FakeScheduler } from "./fake_scheduler.ts";
import type { Deed, Lock, Script } from "./history.ts";
import { HistoryControl } from "./history_control.ts";
import { KnownSignatures } from "./known_signatures.ts";
import { testKey } from "./lock_keys.ts";
import { MortalStores } from "./mortal_stores.ts";
import { SeededRandom } from "./random.ts";

/** What one history came to: how the node came into sync. */
export interface Outcome {
  readonly end: "synced" | ConditionName;
  /** The lock it was under at first was retired on the way. */
  readonly newLock: boolean;
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };
const NODE_KEY = NodePrivate.generate(new SeededRandom(5).bytes);

/** Peer 2 is signed by key 1, which every lock trusts; peer 4 by nobody. */
const PEERS: readonly Node[] = [signed(2), testNode(4)];

function signed(id: number): Node {
  const node = testNode(id);
  const signature = signNodeKey(testKey(1).lock, NodePublic.parse(node.Key)!, testKey(id + 100).public);
  return { ...node, KeySignature: toBase64(encodeNodeKeySignature(signature)) };
}

class LostNode {
  readonly #scheduler = new FakeScheduler(1_700_000_000_000);
  readonly #store = new MemoryState();
  readonly #stores: LockStores;
  readonly #control: HistoryControl;
  readonly #verify: VerifySignature;
  #persist: Persist = { ...EMPTY_PERSIST, nodeKey: NODE_KEY, nodeId: "n1" };
  lock: TailnetLock;

  constructor(control: HistoryControl, stores: LockStores, verify: VerifySignature) {
    this.#control = control;
    this.#stores = stores;
    this.#verify = verify;
    this.lock = this.#start();
  }

  #start(): TailnetLock {
    const lock = new TailnetLock({
      store: this.#store,
      stores: this.#stores,
      derive: (secret) => Promise.resolve(secret),
      verify: this.#verify,
      capabilityVersion: 130,
      persist: () => this.#persist,
      isProfile: () => false,
      scheduler: this.#scheduler,
      random: new SeededRandom(1).bytes,
      log: SILENT,
    });
    lock.bind("ab12", "https://control.test");
    lock.connect({ request: this.#control.serve });
    return lock;
  }

  restart(): void {
    this.lock.close();
    this.lock = this.#start();
    this.check();
  }

  at(nowSeconds: number): void {
    this.#scheduler.advanceSync(Math.max(0, nowSeconds * 1000 - this.#scheduler.wall()));
  }

  get #netmap() {
    return testNetmap(PEERS, this.#control.netmapFields);
  }

  /** A session begins, and control sends a netmap. */
  async hear(): Promise<void> {
    this.lock.connect({ request: this.#control.serve });
    this.lock.gotNetmap(this.#netmap, "ab12");
    await this.lock.idle();
    this.check();
  }

  /** While there is a lock, nobody unsigned passes. */
  check(): void {
    const passed = [...this.lock.filter(this.#netmap).accepted].map(({ ID }) => ID);
    assert.ok(!passed.includes(4), `an unsigned peer passed: ${this.lock.condition.name}`);
  }

  get synced(): boolean {
    const { authority, condition } = this.lock;
    const passed = [...this.lock.filter(this.#netmap).accepted].map(({ ID }) => ID);
    return condition.name === "synced" && authority?.head === this.#control.head && passed.join() === "2";
  }

  /** Does what the remedy of the condition says. */
  follow(name: ConditionName): void {
    const { record } = this.lock;
    const { genesis } = this.#control.lock;
    const remade = record !== undefined && record.anchor.stateId !== stateIdText(genesis.state!);
    const says = (command: string) => remedyOf(name).includes(`\`agent lock ${command}\``);
    if (says("local-disable") && remade) {
      const disallowedTkaStateIds = [...this.#persist.disallowedTkaStateIds, record.anchor.stateId];
      this.#persist = { ...this.#persist, disallowedTkaStateIds };
      this.lock.dropLocally();
    } else if (says("doctor --refetch")) this.lock.refetch();
    else if (says("doctor --retry")) this.lock.tryAgain();
    else assert.fail(`nothing to be done about ${name}`);
  }
}

/** How a history is played. */
export interface Staging {
  /** The node's store is on disk, here, and not in memory. */
  readonly directory?: string | undefined;
  /** Signatures of the locks' chains, which are not verified again; without it every signature is verified. */
  readonly known?: KnownSignatures | undefined;
}

/** Plays a history. @param locks as `makeLocks` gives them. @throws AssertionError when the node is lost. */
export async function playHistory(
  script: Script,
  locks: readonly Lock[],
  { directory, known: before }: Staging = {},
): Promise<Outcome> {
  const known = before === undefined ? undefined : new KnownSignatures([], before);
  const control = new HistoryControl(locks, known);
  const stores = directory === undefined ? new MortalStores() : diskStores(directory);
  const node = new LostNode(control, stores, known?.verify ?? verifyByKey);
  await node.hear();
  const first = node.lock.record!.anchor.stateId;
  for (const [i, deed] of script.deeds.entries()) {
    node.at(deed.now);
    await take(deed, control, node, stores, `deed ${i}`);
    control.showTruth();
  }
  node.at(script.now);
  await node.hear();
  let end: Outcome["end"] = "synced";
  if (!node.synced) {
    end = node.lock.condition.name;
    assert.ok(!isFine({ name: end, since: 0, reason: "" }), `neither in sync nor named: ${end}`);
    assert.notEqual(remedyOf(end), "", `no remedy for ${end}`);
    node.follow(end);
    await node.hear();
  }
  assert.ok(node.synced, `${end}: the remedy did not help: ${JSON.stringify(node.lock.condition)}`);
  assert.deepEqual(node.lock.authority!.state, control.authority.state);
  node.restart();
  assert.equal(node.lock.head, control.head, "and so after a restart");
  node.lock.close();
  return { end, newLock: node.lock.record!.anchor.stateId !== first };
}

async function take(
  deed: Deed,
  control: HistoryControl,
  node: LostNode,
  stores: LockStores,
  salt: string,
): Promise<void> {
  switch (deed.do) {
    case "grow":
      return control.grow(deed.count, deed.now);
    case "sync":
      control.manners = deed.manners;
      return await node.hear();
    case "branch":
      control.showBranch(deed.back, deed.count, deed.keys, salt);
      return await node.hear();
    case "restart":
      return node.restart();
    case "die":
      if (stores instanceof MortalStores) stores.death = { while: deed.while, after: deed.after };
      await node.hear();
      if (stores instanceof MortalStores) stores.death = undefined;
      return node.restart();
    case "anew":
      return control.makeAnew(deed.forgetful);
    case "restore":
      return control.restore(deed.back);
    case "deny":
      control.denies = true;
      return await node.hear();
  }
}
