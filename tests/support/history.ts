/**
 * What may befall a node and its control, as a script: the same for our implementation (`lost_nodes.ts`) and for
 * upstream's (`tests/interop/tka/history.go`), so that both can be counted on the same seeds.
 *
 * Control's chain comes from a pool that was signed once: `grow` only says how much more of it control has.
 */
import { Aum } from "../../tka/aum.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import type { State } from "../../tka/state.ts";
import { longChain } from "./chain_dsl.ts";
import { testKey } from "./lock_keys.ts";
import type { SeededRandom } from "./random.ts";

/** How control answers an offer. All but the first are hostile, or broken. */
export const MANNERS = ["honest", "withholds", "reorders", "repeats", "forges", "pages", "down"] as const;
export type Manners = typeof MANNERS[number];

/** One thing that happens, at `now` seconds. */
export type Deed =
  & { readonly now: number }
  & (
    /** Control's chain gets longer while the node is away. */
    | { readonly do: "grow"; readonly count: number }
    | { readonly do: "sync"; readonly manners: Manners }
    /** Control shows the node another chain: its own less `back` AUMs, and then `count` of these keys. */
    | { readonly do: "branch"; readonly back: number; readonly count: number; readonly keys: readonly number[] }
    | { readonly do: "restart" }
    /** The node's process dies in the middle of a sync: after it wrote so many AUMs, or purged so many. */
    | { readonly do: "die"; readonly while: "writing" | "purging"; readonly after: number }
    /** The lock is disabled and made anew. A forgetful control cannot show the disablement secret. */
    | { readonly do: "anew"; readonly forgetful: boolean }
    /** Control comes back from a copy that lacks its newest AUMs, and makes others. */
    | { readonly do: "restore"; readonly back: number }
    /** Control says that the lock is off, and proves nothing. */
    | { readonly do: "deny" }
  );

export interface Script {
  readonly seed: number;
  readonly deeds: readonly Deed[];
  /** When control is honest again. */
  readonly now: number;
}

const DAY = 24 * 3600;

/** Lengths from 1 to `most`, as many short as long ones. */
export function logUniform(random: SeededRandom, most: number): number {
  return Math.floor(Math.exp(random.float() * Math.log(most + 1)));
}

/** @param length AUMs of control's own in all. @param remade the lock may be disabled and made anew. */
export function makeScript(random: SeededRandom, length: number, remade = true): Script {
  const deeds: Deed[] = [];
  const episodes = 4 + random.int(12);
  let now = 1_700_000_000;
  let left = length;
  for (let episode = 1; episode <= episodes; episode++) {
    now += random.int(20 * DAY);
    const count = episode === episodes ? left : Math.min(left, random.int(Math.ceil(3 * length / episodes) + 1));
    if (count > 0) deeds.push({ now, do: "grow", count });
    left -= count;
    for (let more = random.int(4); more > 0; more--) deeds.push({ now, ...deed(random, remade) });
  }
  return { seed: random.seed, deeds, now };
}

type Bare<D> = D extends Deed ? Omit<D, "now"> : never;

function deed(random: SeededRandom, remade: boolean): Bare<Deed> {
  const roll = random.int(100);
  if (roll < 40) return { do: "sync", manners: random.pick(MANNERS) };
  if (roll < 65) {
    const keys = random.pick([[2], [3], [2, 3]]);
    const back = random.chance(0.6) ? 0 : random.int(100);
    return { do: "branch", back, count: 1 + random.int(random.pick([10, 60, 150])), keys };
  }
  if (roll < 80) return { do: "restart" };
  if (roll < 90) return { do: "die", while: random.pick(["writing", "purging"]), after: random.int(30) };
  if (roll < 92 && remade) return { do: "restore", back: 1 + random.int(random.pick([20, 300])) };
  if (roll < 96 && remade) return { do: "anew", forgetful: random.chance(0.3) };
  return { do: "deny" };
}

/** A lock as its makers know it, and the chain it will have. */
export interface Lock {
  readonly genesis: Aum;
  /** Stands for the secret and for what it derives to: deriving takes half a second. */
  readonly secret: Uint8Array;
  readonly aums: readonly Aum[];
}

/** Keys 1, 2 and 3 are trusted; the chain is signed by key 1. @param votes of key 1: with 3 its chain wins every fork. */
export function makeLock(number: number, length: number, votes = 1): Lock {
  const secret = new Uint8Array(32).fill(0xa0 + number);
  const state: State = {
    lastAumHash: null,
    disablementValues: [secret],
    keys: [1, 2, 3].map((key) => testKey(key).key(key === 1 ? votes : 1)),
    stateId1: BigInt(number + 1),
    stateId2: 77n,
  };
  const unsigned = new Aum({ kind: AUM_KIND.CHECKPOINT, prevAumHash: null, state, signatures: [] });
  const genesis = unsigned.withSignatures(testKey(1).signAum(unsigned.sigHash));
  return { genesis, secret, aums: longChain(genesis, state, length, testKey(1), 50, `lock ${number}`) };
}

/** Locks in the order they are made; a script makes no more than the last but one. */
export function makeLocks(count: number, length: number): Lock[] {
  return Array.from({ length: count }, (_, i) => makeLock(i, length));
}

/** A forged AUM: it says something else and carries the old signatures. */
export function forge(aum: Aum): Aum {
  const { kind, prevAumHash, key, keyId, state, votes, signatures } = aum;
  const meta = new Map([["forged", "1"]]);
  return new Aum({ kind, prevAumHash, key, keyId, state, votes, signatures, meta });
}
