/** The tree of AUMs of a random world, some of them forged, and the states on it. */
import { toHex } from "../../base/bytes.ts";
import { Aum, aumAfter, validateAum } from "../../tka/aum.ts";
import type { AumFields, AumSignature } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { aumHashBytes } from "../../tka/aum_hash.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import type { State } from "../../tka/state.ts";
import { applyVerifiedAum, findKey } from "../../tka/state.ts";
import { testKey } from "./lock_keys.ts";
import type { SeededRandom } from "./random.ts";

/** All keys there are in any world. */
export const WORLD_KEYS = Array.from({ length: 8 }, (_, i) => testKey(i));

/** Grows a tree of AUMs and the states on it. */
export class Tree {
  readonly random: SeededRandom;
  readonly aums: Aum[] = [];
  /** Those a node that knows their parents accepts. */
  readonly sound: Aum[] = [];
  readonly #states = new Map<AumHash, State>();
  readonly #byHash = new Map<AumHash, Aum>();

  constructor(random: SeededRandom) {
    this.random = random;
    this.#plant();
  }

  #plant(): void {
    const { random } = this;
    const state = {
      lastAumHash: null,
      disablementValues: Array.from({ length: 1 + random.int(2) }, () => random.bytes(32)),
      keys: shuffled(random, WORLD_KEYS).slice(0, 1 + random.int(4)).map((key) => key.key(1 + random.int(3))),
      stateId1: random.chance(0.1) ? 0n : randomU64(random),
      stateId2: randomU64(random),
    };
    const genesis = new Aum({ kind: AUM_KIND.CHECKPOINT, prevAumHash: null, state, signatures: [] });
    this.#add(this.#signed(genesis, state), { ...state, lastAumHash: genesis.hash });
    this.#states.set(this.aums[0].hash, { ...state, lastAumHash: this.aums[0].hash });
    this.sound.push(this.aums[0]);
  }

  #add(aum: Aum, state: State): Aum {
    this.aums.push(aum);
    this.#byHash.set(aum.hash, aum);
    this.#states.set(aum.hash, state);
    return aum;
  }

  /** From just behind the genesis to this AUM. */
  pathTo(aum: Aum): Aum[] {
    const path: Aum[] = [];
    for (let at: Aum | undefined = aum; at?.parent !== undefined; at = this.#byHash.get(at.parent)) path.push(at);
    return path.reverse();
  }

  state(at: AumHash): State {
    return this.#states.get(at) as State;
  }

  /** Takes AUMs made elsewhere, where they fit. */
  graft(aum: Aum): void {
    const before = aum.parent === undefined ? undefined : this.#states.get(aum.parent);
    if (before === undefined || this.#byHash.has(aum.hash)) return;
    try {
      this.#add(aum, applyVerifiedAum(before, aum));
      const trusted = aum.signatures.every(({ keyId }) => findKey(before, keyId as Uint8Array) !== undefined);
      if (trusted && this.sound.some(({ hash }) => hash === aum.parent)) this.sound.push(aum);
    } catch {
      // One that nobody can apply has no place in the tree.
    }
  }

  /** A new AUM behind a random one, mostly near the end; sometimes it breaks a rule. */
  grow(): Aum {
    const { random } = this;
    const from = random.chance(0.97) ? this.sound : this.aums;
    const parent = from[from.length - 1 - (random.chance(0.7) ? 0 : random.int(from.length))];
    const before = this.state(parent.hash);
    const fields = this.#fields(before);
    let unsigned = aumAfter(parent.hash, fields);
    if (random.chance(0.03)) {
      const prev = random.pick([
        null,
        new Uint8Array(0),
        random.bytes(32),
        random.bytes(33),
        aumHashBytes(parent.hash),
      ]);
      unsigned = new Aum({ ...fields, prevAumHash: prev, signatures: [] });
    }
    const badly = random.chance(0.06);
    const aum = badly ? this.#badlySigned(unsigned, before) : this.#signed(unsigned, before);
    let after: State;
    try {
      validateAum(aum);
      after = applyVerifiedAum(before, aum);
      if (!badly && after.keys?.length !== 0 && this.sound.includes(parent)) this.sound.push(aum);
    } catch {
      after = { ...before, lastAumHash: aum.hash }; // children of what no node takes
    }
    return this.#add(aum, after);
  }

  #fields(state: State): Omit<AumFields, "prevAumHash" | "signatures"> {
    const { random } = this;
    const trusted = (state.keys ?? []).map((key) => key.public as Uint8Array);
    const someId = () =>
      random.chance(0.95) && trusted.length > 0 ? random.pick(trusted) : random.pick(WORLD_KEYS).public;
    const roll = random.int(100);
    if (roll < 25) return { kind: AUM_KIND.ADD_KEY, key: random.pick(WORLD_KEYS).key(1 + random.int(4), this.#meta()) };
    if (roll < 45) return { kind: AUM_KIND.REMOVE_KEY, keyId: someId() };
    if (roll < 60) {
      const votes = random.chance(0.7) ? BigInt(1 + random.int(5)) : undefined;
      return { kind: AUM_KIND.UPDATE_KEY, keyId: someId(), votes, meta: this.#meta() };
    }
    if (roll < 70) return { kind: AUM_KIND.NO_OP };
    if (roll < 74) return { kind: 6 + random.int(250), votes: randomU64(random), keyId: random.bytes(random.int(40)) };
    if (roll < 92) return { kind: AUM_KIND.CHECKPOINT, state: { ...state, lastAumHash: null } };
    return this.#lawless(state);
  }

  /** Fields that break a rule, or nearly. */
  #lawless(state: State): Omit<AumFields, "prevAumHash" | "signatures"> {
    const { random } = this;
    const key = random.pick(WORLD_KEYS);
    const own = { ...state, lastAumHash: null };
    return random.pick<() => Omit<AumFields, "prevAumHash" | "signatures">>([
      () => ({ kind: AUM_KIND.CHECKPOINT, state: { ...own, stateId1: own.stateId1 ^ 1n } }),
      () => ({ kind: AUM_KIND.CHECKPOINT, state }),
      () => ({ kind: AUM_KIND.CHECKPOINT, state: { ...own, keys: [] } }),
      () => ({ kind: AUM_KIND.CHECKPOINT, state: { ...own, keys: [...own.keys ?? [], ...own.keys ?? []] } }),
      () => ({ kind: AUM_KIND.CHECKPOINT, state: { ...own, disablementValues: null } }),
      () => ({ kind: AUM_KIND.CHECKPOINT, state: { ...own, disablementValues: [random.bytes(31)] } }),
      () => ({ kind: AUM_KIND.CHECKPOINT }),
      () => ({ kind: AUM_KIND.ADD_KEY, key: { ...key.key(), kind: random.int(4) } }),
      () => ({ kind: AUM_KIND.ADD_KEY, key: key.key(random.pick([0n, 4096n, 4097n, 2n ** 63n])) }),
      () => ({ kind: AUM_KIND.ADD_KEY, key: key.key(1, new Map([["k", "x".repeat(509 + random.int(4))]])) }),
      () => ({ kind: AUM_KIND.ADD_KEY, key: { kind: 1, votes: 1n, public: random.bytes(random.int(40)) } }),
      () => ({ kind: AUM_KIND.ADD_KEY, key: key.key(), keyId: key.public }),
      () => ({ kind: AUM_KIND.UPDATE_KEY, keyId: key.public }),
      () => ({ kind: AUM_KIND.UPDATE_KEY, keyId: key.public, meta: new Map() }),
      () => ({ kind: AUM_KIND.UPDATE_KEY, keyId: key.public, votes: random.pick([0n, 4097n, 2n ** 64n - 1n]) }),
      () => ({ kind: AUM_KIND.REMOVE_KEY, keyId: new Uint8Array(0) }),
      () => ({ kind: AUM_KIND.INVALID }),
    ])();
  }

  #meta(): ReadonlyMap<string, string> | undefined {
    const { random } = this;
    if (random.chance(0.6)) return undefined;
    const names = ["purpose", "a", "", "ключ", "\ufeffmark", "zz"];
    return new Map(shuffled(random, names).slice(0, random.int(4)).map((name) => [name, `${random.int(1000)}`]));
  }

  #signed(aum: Aum, state: State): Aum {
    const { random } = this;
    const trusted = WORLD_KEYS.filter((key) =>
      (state.keys ?? []).some((known) => toHex(known.public!) === toHex(key.public))
    );
    const chosen = shuffled(random, trusted).slice(0, 1 + random.int(Math.min(3, Math.max(1, trusted.length))));
    if (random.chance(0.05) && chosen.length > 0) chosen.push(chosen[0]); // twice counts once
    return aum.withSignatures(chosen.flatMap((key) => key.signAum(aum.sigHash)));
  }

  #badlySigned(aum: Aum, state: State): Aum {
    const { random } = this;
    const good = this.#signed(aum, state);
    const [first] = good.signatures;
    const removed = WORLD_KEYS.filter(({ public: id }) =>
      findKey(this.aums[0].state!, id) !== undefined && findKey(state, id) === undefined
    );
    const stranger = random.pick(removed.length > 0 && random.chance(0.5) ? removed : WORLD_KEYS);
    const bad: (readonly AumSignature[])[] = [
      [],
      [...good.signatures, ...stranger.signAum(aum.sigHash)],
      [...good.signatures, { keyId: stranger.public, signature: first?.signature ?? null }],
      [{ keyId: first?.keyId ?? null, signature: random.bytes(64) }],
      [{ keyId: first?.keyId ?? null, signature: random.bytes(63) }],
      [{ keyId: null, signature: null }],
      [...good.signatures, { keyId: random.bytes(31), signature: random.bytes(64) }],
    ];
    return aum.withSignatures(random.pick(bad));
  }
}

function randomU64(random: SeededRandom): bigint {
  return BigInt(random.u32()) << 32n | BigInt(random.u32());
}

/** The same items in a random order. */
export function shuffled<T>(random: SeededRandom, items: readonly T[]): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}
