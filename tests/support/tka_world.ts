/**
 * Random worlds for the differential oracle: a tree of AUMs, some of them forged, and a few nodes that learn of them in
 * random order, compact, offer, restart and judge node keys. A world is a list of steps; `OurNode` takes them with our
 * implementation, `tka-oracle` with upstream's.
 */
import { fromHex, toHex } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import { Aum, aumAfter, validateAum } from "../../tka/aum.ts";
import type { AumFields, AumSignature } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { aumHashBytes, parseAumHash } from "../../tka/aum_hash.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import { Authority } from "../../tka/authority.ts";
import { UpdateBuilder } from "../../tka/builder.ts";
import { TkaError } from "../../tka/errors.ts";
import type { WalkLimits } from "../../tka/limits.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import type { NodeKeySignature } from "../../tka/node_key_signature.ts";
import { encodeNodeKeySignature, nodeKeyBinary, SIG_KIND } from "../../tka/node_key_signature.ts";
import { makeRetroactiveRevocation } from "../../tka/recovery.ts";
import type { State } from "../../tka/state.ts";
import { applyVerifiedAum, findKey } from "../../tka/state.ts";
import { missingAums, syncOffer } from "../../tka/sync.ts";
import type { TestKey } from "./lock_keys.ts";
import { testKey } from "./lock_keys.ts";
import type { SeededRandom } from "./random.ts";
import { mutate } from "./random.ts";

/** One line of a world, as `tka-oracle` reads it: bytes are hex, times seconds. */
export interface Step {
  readonly Do: string;
  readonly Node: number;
  readonly Now: number;
  readonly AUMs?: readonly string[];
  readonly Head?: string;
  readonly Ancestors?: readonly string[];
  readonly Key?: string;
  readonly Sig?: string;
  readonly Remove?: readonly string[];
  readonly Fork?: string;
  readonly MinChain?: number;
  readonly MinAge?: number;
  readonly Priv?: string;
  readonly Edits?: readonly Edit[];
  readonly Text?: string;
}

export interface Edit {
  readonly Do: "add" | "remove" | "votes" | "meta";
  readonly Key: string;
  readonly Votes?: number;
  readonly Meta?: Readonly<Record<string, string>>;
}

/** What a step did; absent lists are empty ones. */
export interface Result {
  readonly OK: boolean;
  readonly Error?: string;
  readonly Head?: string;
  readonly Oldest?: string;
  readonly State?: string;
  readonly AUMs?: readonly string[];
  readonly Hashes?: readonly string[];
  readonly Ancestors?: readonly string[];
  readonly PrevKeys?: readonly string[];
}

/** A refusal's code stands in brackets at the beginning of `Error`. */
type Answer = Partial<Pick<Result, "AUMs" | "Hashes" | "Ancestors" | "PrevKeys">>;

/** A node that runs our implementation. */
export class OurNode {
  readonly chonk = new MemChonk();
  authority: Authority | undefined;
  readonly #limits: WalkLimits;

  constructor(limits: WalkLimits) {
    this.#limits = limits;
  }

  take(step: Step): Result {
    let outcome: Answer & { OK: boolean; Error?: string };
    try {
      outcome = { OK: true, ...this.#do(step) };
    } catch (error) {
      if (!(error instanceof TkaError)) throw error;
      outcome = { OK: false, Error: `[${error.code}] ${error.message}` };
    }
    const { authority } = this;
    if (authority === undefined) return outcome;
    const state = { ...authority.state, lastAumHash: null };
    return {
      ...outcome,
      Head: authority.head,
      Oldest: authority.oldestAncestor,
      State: aumAfter(authority.head, { kind: AUM_KIND.CHECKPOINT, state }).hash,
    };
  }

  #do(step: Step): Answer {
    const aums = (step.AUMs ?? []).map((hex) => Aum.decode(Uint8Array.fromHex(hex)));
    const now = step.Now * 1000;
    switch (step.Do) {
      case "bootstrap":
        this.authority = Authority.bootstrap(this.chonk, aums[0], now, this.#limits);
        return {};
      case "open":
        this.authority = Authority.open(this.chonk, this.#limits);
        return {};
      case "store":
        this.chonk.commit(aums, now);
        return {};
      case "wipe":
        this.chonk.removeAll();
        this.authority = undefined;
        return {};
    }
    const { authority } = this;
    if (authority === undefined) throw new TkaError("store-empty", "the node has no lock");
    switch (step.Do) {
      case "inform":
        this.authority = authority.inform(this.chonk, aums, now);
        return {};
      case "offer":
        return { Ancestors: syncOffer(authority, this.chonk).ancestors };
      case "missing": {
        const offer = { head: hash(step.Head), ancestors: (step.Ancestors ?? []).map(hash) };
        return { Hashes: missingAums(authority, this.chonk, offer).map((aum) => aum.hash) };
      }
      case "authorized": {
        const nodeKey = new NodePublic(fromHex(step.Key as string) as Uint8Array);
        const verdict = authority.nodeKeyAuthorized(nodeKey, Uint8Array.fromHex(step.Sig as string));
        if (!verdict.authorized) throw verdict.error;
        return { PrevKeys: verdict.rotation?.previousNodeKeys.map((key) => key.hex) };
      }
      case "compact": {
        const request = { minChain: step.MinChain as number, minAgeMs: (step.MinAge as number) * 1000 };
        this.authority = authority.compact(this.chonk, request, now);
        return { Hashes: [...this.chonk.all()].sort() };
      }
      case "revoke": {
        const remove = (step.Remove ?? []).map((hex) => Uint8Array.fromHex(hex));
        const ours = Uint8Array.fromHex(step.Key as string);
        const fork = step.Fork === undefined ? undefined : hash(step.Fork);
        return { AUMs: [toHex(makeRetroactiveRevocation(authority, this.chonk, remove, ours, fork).bytes)] };
      }
      case "build": {
        const signer = KEYS.find((key) => toHex(key.seed) === step.Priv) as TestKey;
        const builder = new UpdateBuilder(authority, signer);
        for (const edit of step.Edits ?? []) apply(builder, edit);
        return { AUMs: builder.finalize(authority, this.chonk).map((aum) => toHex(aum.bytes)) };
      }
    }
    throw new TypeError(`Cannot take step ${step.Do}`);
  }
}

function apply(builder: UpdateBuilder, edit: Edit): void {
  const id = Uint8Array.fromHex(edit.Key);
  if (edit.Do === "add") builder.addKey({ kind: 1, votes: BigInt(edit.Votes ?? 0), public: id });
  else if (edit.Do === "remove") builder.removeKey(id);
  else if (edit.Do === "votes") builder.setKeyVotes(id, BigInt(edit.Votes ?? 0));
  else builder.setKeyMeta(id, new Map(Object.entries(edit.Meta ?? {})));
}

function hash(text: string | undefined): AumHash {
  return parseAumHash(text as string) as AumHash;
}

/** All keys there are in any world. */
const KEYS = Array.from({ length: 8 }, (_, i) => testKey(i));
const DAY = 86400;

/** Grows a tree of AUMs and the states on it. */
class Tree {
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
      keys: shuffled(random, KEYS).slice(0, 1 + random.int(4)).map((key) => key.key(1 + random.int(3))),
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
    const someId = () => random.chance(0.95) && trusted.length > 0 ? random.pick(trusted) : random.pick(KEYS).public;
    const roll = random.int(100);
    if (roll < 25) return { kind: AUM_KIND.ADD_KEY, key: random.pick(KEYS).key(1 + random.int(4), this.#meta()) };
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
    const key = random.pick(KEYS);
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
    const trusted = KEYS.filter((key) =>
      (state.keys ?? []).some((known) => toHex(known.public!) === toHex(key.public))
    );
    const chosen = shuffled(random, trusted).slice(0, 1 + random.int(Math.max(1, trusted.length)));
    if (random.chance(0.05) && chosen.length > 0) chosen.push(chosen[0]); // twice counts once
    return aum.withSignatures(chosen.flatMap((key) => key.signAum(aum.sigHash)));
  }

  #badlySigned(aum: Aum, state: State): Aum {
    const { random } = this;
    const good = this.#signed(aum, state);
    const [first] = good.signatures;
    const stranger = random.pick(KEYS);
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

/** Steps of a world and what our nodes made of them. */
export interface World {
  readonly steps: readonly Step[];
  readonly results: readonly Result[];
}

/** Makes a world of `size` steps, taking each with our implementation as it is made. */
export function makeWorld(random: SeededRandom, size: number, limits: WalkLimits): World {
  const tree = new Tree(random);
  const nodes = Array.from({ length: 1 + random.int(3) }, () => new OurNode(limits));
  const steps: Step[] = [];
  const results: Result[] = [];
  let now = 1_700_000_000;
  const take = (node: number, step: Omit<Step, "Node" | "Now">): Result => {
    const full = { ...step, Node: node, Now: now };
    const result = nodes[node].take(full);
    steps.push(full);
    results.push(result);
    return result;
  };
  for (let i = 0; i < nodes.length; i++) take(i, { Do: "bootstrap", AUMs: [toHex(tree.aums[0].bytes)] });
  for (let i = 0; i < size; i++) {
    for (let born = random.int(4); born > 0; born--) tree.grow();
    now += random.chance(0.3) ? random.int(8 * DAY) : random.int(3600);
    const node = random.int(nodes.length);
    const { authority, chonk } = nodes[node];
    const roll = random.int(100);
    if (authority === undefined) {
      const start = random.chance(0.8) ? tree.aums[0] : random.pick(tree.aums);
      take(node, { Do: random.chance(0.9) ? "bootstrap" : "open", AUMs: [toHex(start.bytes)] });
    } else if (roll < 45) take(node, { Do: "inform", AUMs: someAums(tree).map((aum) => toHex(aum.bytes)) });
    else if (roll < 60) {
      const other = nodes[random.int(nodes.length)];
      const offer = other.authority !== undefined && random.chance(0.8)
        ? syncOffer(other.authority, other.chonk)
        : { head: random.pick(tree.aums).hash, ancestors: shuffled(random, tree.aums).slice(0, 4).map((a) => a.hash) };
      const { Hashes } = take(node, { Do: "missing", Head: offer.head, Ancestors: offer.ancestors });
      const to = nodes.indexOf(other);
      if (to >= 0 && to !== node && Hashes !== undefined && Hashes.length > 0 && random.chance(0.8)) {
        const found = Hashes.map((text) => toHex(chonk.aum(hash(text))!.bytes));
        take(to, { Do: "inform", AUMs: found });
      }
    } else if (roll < 64) take(node, { Do: "offer" });
    else if (roll < 75) take(node, { Do: "authorized", ...nodeKeySignature(random) });
    else if (roll < 84) {
      take(node, { Do: "compact", MinChain: 1 + random.int(6), MinAge: 1 + random.int(20 * DAY) });
    } else if (roll < 87) take(node, { Do: "open" });
    else if (roll < 89) {
      // It died while it wrote what it had verified, and starts again.
      const written = shuffled(random, tree.pathTo(random.pick(tree.sound))).slice(0, 1 + random.int(3));
      const known = written.filter((aum) => aum.parent !== undefined && chonk.aum(aum.parent) !== undefined);
      take(node, { Do: "store", AUMs: known.map((aum) => toHex(aum.bytes)) });
      take(node, { Do: "open" });
    } else if (roll < 94) {
      const key = random.pick(KEYS);
      const Remove = shuffled(random, KEYS).slice(0, 1 + random.int(2)).map((removed) => toHex(removed.public));
      const Fork = random.chance(0.3) ? random.pick(tree.aums).hash : undefined;
      const { AUMs } = take(node, { Do: "revoke", Key: toHex(key.public), Remove, Fork });
      for (const hex of AUMs ?? []) {
        const aum = Aum.decode(Uint8Array.fromHex(hex));
        const any = shuffled(random, KEYS);
        const able = any.filter((k) => nodes[node].authority?.trusts(k.public));
        const cosigners = (random.chance(0.9) ? able : any).slice(0, 1 + random.int(3));
        tree.graft(aum.withSignatures(cosigners.flatMap((cosigner) => cosigner.signAum(aum.sigHash))));
      }
    } else if (roll < 99) {
      const { AUMs } = take(node, { Do: "build", Priv: toHex(random.pick(KEYS).seed), Edits: edits(random) });
      for (const hex of AUMs ?? []) tree.graft(Aum.decode(Uint8Array.fromHex(hex)));
    } else take(node, { Do: "wipe" });
  }
  return { steps, results };
}

/** What a node may be sent: a piece of a branch, or anything. */
function someAums(tree: Tree): Aum[] {
  const { random } = tree;
  if (random.chance(0.08)) return shuffled(random, tree.aums).slice(0, 1 + random.int(4));
  const from = random.chance(0.85) ? tree.sound : tree.aums;
  const path = tree.pathTo(from[from.length - 1 - random.int(Math.min(6, from.length))]);
  const piece = random.chance(0.6) ? path : path.slice(random.int(path.length + 1));
  return random.chance(0.1) ? piece.slice(0, random.int(piece.length + 1)) : piece;
}

function edits(random: SeededRandom): Edit[] {
  return Array.from({ length: random.int(4) }, (): Edit => {
    const Key = toHex(random.pick(KEYS).public);
    const Do = random.pick(["add", "remove", "votes", "meta"] as const);
    if (Do === "meta") return { Do, Key, Meta: { name: `${random.int(100)}` } };
    return { Do, Key, Votes: random.int(5) };
  });
}

/** A node key and something that claims to authorize it. */
function nodeKeySignature(random: SeededRandom): { Key: string; Sig: string } {
  const nodeKey = () => new NodePublic(random.bytes(32));
  let authorized = nodeKey();
  const wrapping = random.pick(KEYS);
  const trusted = random.pick(KEYS);
  let sig: NodeKeySignature = trusted.signNks(
    random.chance(0.7)
      ? {
        kind: SIG_KIND.DIRECT,
        keyId: trusted.public,
        pubkey: nodeKeyBinary(authorized),
        ...(random.chance(0.9) ? { wrappingPubkey: wrapping.public } : {}),
      }
      : { kind: SIG_KIND.CREDENTIAL, keyId: trusted.public, wrappingPubkey: wrapping.public },
  );
  const depth = random.chance(0.5) ? random.int(3) : random.int(18);
  for (let i = 0; i < depth; i++) {
    authorized = nodeKey();
    const by = random.chance(0.97) ? wrapping : random.pick(KEYS);
    sig = by.signNks({ kind: SIG_KIND.ROTATION, pubkey: nodeKeyBinary(authorized), nested: sig });
  }
  const bytes = encodeNodeKeySignature(sig);
  const Key = (random.chance(0.95) ? authorized : nodeKey()).hex;
  return { Key, Sig: toHex(random.chance(0.2) ? mutate(random, bytes) : bytes) };
}

function randomU64(random: SeededRandom): bigint {
  return BigInt(random.u32()) << 32n | BigInt(random.u32());
}

function shuffled<T>(random: SeededRandom, items: readonly T[]): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}
