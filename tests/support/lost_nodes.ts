/**
 * Histories of a node and its control that try to lose the node: growth while it is away, branches of its own,
 * compaction at every moment, restarts, disabled and re-made locks, and a server that withholds, reorders, repeats and
 * forges. In the end control is honest, and the node must come into sync or say what to do.
 */
import assert from "node:assert/strict";
import { Aum } from "../../tka/aum.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { Authority } from "../../tka/authority.ts";
import { isDisablementValue } from "../../tka/disablement.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import { COMPACTION_DEFAULTS } from "../../tka/limits.ts";
import type { State } from "../../tka/state.ts";
import type { SyncOffer } from "../../tka/sync.ts";
import { missingAums } from "../../tka/sync.ts";
import { firstPage, offerFor } from "../../tka/sync_round.ts";
import { syncWithControl } from "../../daemon/lock/sync.ts";
import { longChain } from "./chain_dsl.ts";
import { signers, testKey } from "./lock_keys.ts";
import type { SeededRandom } from "./random.ts";

const DAY = 24 * 3600 * 1000;

/** What one history came to. */
export interface Outcome {
  /** `synced` by rounds alone; `re-bootstrapped` after a disablement secret retired the old lock. */
  readonly end: "synced" | "re-bootstrapped" | "remedy followed";
  readonly length: number;
}

/** A lock as its makers know it. */
interface Lock {
  readonly genesis: Aum;
  readonly state: State;
  /** Stands for what the lock's secret derives to: deriving takes half a second. */
  readonly derived: Uint8Array;
}

function makeLock(random: SeededRandom, number: number): Lock {
  const derived = random.bytes(32);
  const state: State = {
    lastAumHash: null,
    disablementValues: [derived],
    keys: [1, 2, 3].map((key) => testKey(key).key()),
    stateId1: BigInt(number + 1),
    stateId2: BigInt(random.u32()),
  };
  const unsigned = new Aum({ kind: AUM_KIND.CHECKPOINT, prevAumHash: null, state, signatures: [] });
  return { genesis: unsigned.withSignatures(testKey(1).signAum(unsigned.sigHash)), state, derived };
}

type Manners = "honest" | "withholds" | "reorders" | "repeats" | "forges" | "pages";
const MANNERS: readonly Manners[] = ["honest", "withholds", "reorders", "repeats", "forges", "pages"];

class Control {
  readonly #random: SeededRandom;
  readonly locks: Lock[] = [];
  chonk = new MemChonk();
  authority!: Authority;

  constructor(random: SeededRandom) {
    this.#random = random;
    this.enable();
  }

  get lock(): Lock {
    return this.locks[this.locks.length - 1];
  }

  /** Disables the lock there is, if any, and makes a new one. */
  enable(): void {
    this.locks.push(makeLock(this.#random, this.locks.length));
    this.chonk = new MemChonk();
    this.authority = Authority.bootstrap(this.chonk, this.lock.genesis, 0);
  }

  grow(count: number, now: number): void {
    if (count <= 0) return;
    const head = this.chonk.aum(this.authority.head) as Aum;
    const aums = longChain(head, this.authority.state, count, testKey(1), 50, `control ${now}`);
    this.authority = this.authority.inform(this.chonk, aums, now);
  }

  /** The answer to an offer. */
  answer(asker: SyncOffer, manners: Manners): { offer: SyncOffer; received: readonly Aum[] } {
    const random = this.#random;
    const offer = offerFor(this.authority, this.chonk, asker);
    let received: readonly Aum[] = [];
    try {
      received = missingAums(this.authority, this.chonk, asker);
    } catch {
      // Nothing in common.
    }
    if (manners === "withholds") received = [];
    if (manners === "reorders") received = [...received].sort(() => random.float() - 0.5);
    if (manners === "repeats") received = received.flatMap((aum) => random.chance(0.3) ? [aum, aum] : [aum]);
    if (manners === "forges" && received.length > 0) {
      const at = random.int(received.length);
      const forged = new Aum({ ...received[at], meta: new Map([["forged", "1"]]) });
      received = received.with(at, forged);
    }
    if (manners === "pages") received = firstPage(received, 4000);
    return { offer, received };
  }
}

class Node {
  chonk = new MemChonk();
  authority: Authority;
  acknowledged: AumHash;
  retired = 0;

  constructor(genesis: Aum) {
    this.authority = Authority.bootstrap(this.chonk, genesis, 0);
    this.acknowledged = this.authority.head;
  }

  /** One synchronization by the daemon's own code; true when the heads agree behind it. */
  async sync(control: Control, manners: Manners, now: number): Promise<boolean> {
    const outcome = await syncWithControl(this.authority, {
      rpc: {
        offer: (head, ancestors) => {
          const { offer, received } = control.answer({ head, ancestors } as SyncOffer, manners);
          return Promise.resolve({ ...offer, missing: received.map((aum) => aum.bytes) });
        },
        send: (_head, aums) => {
          const sent = aums.map((bytes) => Aum.decode(bytes));
          if (sent.length > 0) control.authority = control.authority.inform(control.chonk, sent, now);
          return Promise.resolve(control.authority.head);
        },
      },
      chonk: this.chonk,
      now: () => now,
      moved: () => {},
      check: () => {},
    });
    this.authority = outcome.authority;
    if (outcome.kind === "no-common-history") this.#bootstrapAgain(control, now);
    const synced = outcome.kind === "synced";
    if (synced) this.acknowledged = this.authority.head;
    return synced;
  }

  /** Control shows what retired our lock, if anything did; only that lets us drop it. */
  #bootstrapAgain(control: Control, now: number): void {
    const shown = control.locks.slice(0, -1).map((lock) => lock.derived);
    if (!shown.some((derived) => isDisablementValue(this.authority.state, derived))) return;
    this.restart(control.lock.genesis, now);
    this.retired++;
  }

  restart(genesis: Aum, now: number): void {
    this.chonk.removeAll();
    this.authority = Authority.bootstrap(this.chonk, genesis, now);
    this.acknowledged = this.authority.head;
  }
}

/** Runs one history. Control's chain is `length` AUMs in all. @throws AssertionError when the node is lost. */
export async function runHistory(random: SeededRandom, length: number): Promise<Outcome> {
  const control = new Control(random);
  const node = new Node(control.lock.genesis);
  let now = 0;
  const episodes = 4 + random.int(12);
  let left = length;
  for (let episode = 1; episode <= episodes; episode++) {
    now += random.int(20 * DAY);
    const grown = episode === episodes ? left : Math.min(left, random.int(Math.ceil(3 * length / episodes) + 1));
    control.grow(grown, now);
    left -= grown;
    for (let deeds = random.int(4); deeds > 0; deeds--) {
      const roll = random.int(100);
      if (roll < 40) await node.sync(control, random.pick(MANNERS), now);
      else if (roll < 60) {
        const request = { ...COMPACTION_DEFAULTS, keepFrom: node.acknowledged };
        node.authority = node.authority.compact(node.chonk, request, now);
      } else if (roll < 75) {
        const by = random.pick([signers(testKey(2)), signers(testKey(3)), signers(testKey(2), testKey(3))]);
        const head = node.chonk.aum(node.authority.head) as Aum;
        const own = longChain(head, node.authority.state, 1 + random.int(60), by, 50, `own ${now} ${deeds}`);
        node.authority = node.authority.inform(node.chonk, own, now);
      } else if (roll < 90) node.authority = Authority.open(node.chonk);
      else if (roll < 93) control.enable();
    }
  }
  let rounds = 0;
  while (!await node.sync(control, "honest", now) && rounds < 4) rounds++;
  let end: Outcome["end"] = node.retired > 0 ? "re-bootstrapped" : "synced";
  if (node.authority.head !== control.authority.head) {
    // "Disable the lock on this node and let it join again": what the named state advises.
    node.restart(control.lock.genesis, now);
    while (!await node.sync(control, "honest", now) && rounds < 9) rounds++;
    end = "remedy followed";
  }
  assert.equal(node.authority.head, control.authority.head);
  assert.deepEqual(node.authority.state, control.authority.state);
  assert.equal(Authority.open(node.chonk).head, node.authority.head, "and so after a restart");
  return { end, length };
}

/** Lengths from 1 to `most`, as many short as long ones. */
export function logUniform(random: SeededRandom, most: number): number {
  return Math.floor(Math.exp(random.float() * Math.log(most + 1)));
}
