/**
 * Draws trees of AUMs as text.
 *
 *   const tree = drawChain(`
 *     G -> A -> B* -> C+4
 *          A -> X-2/1,3
 *   `);
 *   tree.aum("X")       the AUM drawn as X: removes key 2, signed by keys 1 and 3
 *   tree.to("C")        [A, B, C]: what a node that has the genesis is sent
 *
 * Each line is a path; a name seen before is where a branch leaves. The first name is the genesis, which trusts keys 1, 2
 * and 3 with one vote each. Behind a name:  * checkpoint  ·  +4 adds key 4  ·  -2 removes key 2  ·  ^2=5 gives key 2 five
 * votes  ·  ?77 an unknown kind 77  ·  nothing: a no-op  ·  /1,2 who signs, else key 1.
 */
import { Aum, aumAfter } from "../../tka/aum.ts";
import type { AumFields, AumSigner } from "../../tka/aum.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import { Authority } from "../../tka/authority.ts";
import type { WalkLimits } from "../../tka/limits.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import type { State } from "../../tka/state.ts";
import { applyVerifiedAum } from "../../tka/state.ts";
import { signers, testKey } from "./lock_keys.ts";

type Body = Omit<AumFields, "prevAumHash" | "signatures">;

/** A node of a test: its store and its authority, which `learn` moves on. */
export class TestNode {
  readonly chonk = new MemChonk();
  authority: Authority;

  constructor(genesis: Aum, now = 0, limits?: WalkLimits) {
    this.authority = Authority.bootstrap(this.chonk, genesis, now, limits);
  }

  learn(aums: readonly Aum[], now = 0): this {
    if (aums.length > 0) this.authority = this.authority.inform(this.chonk, aums, now);
    return this;
  }
}

export class DrawnChain {
  readonly genesis: Aum;
  readonly #aums = new Map<string, Aum>();
  readonly #states = new Map<string, State>();
  readonly #parents = new Map<string, string>();

  constructor(text: string, genesisState: Partial<State>) {
    const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    const first = lines[0].split("->")[0].trim();
    const state: State = { ...GENESIS_STATE, ...genesisState };
    const unsigned = new Aum({ kind: AUM_KIND.CHECKPOINT, prevAumHash: null, state, signatures: [] });
    this.genesis = unsigned.withSignatures(testKey(1).signAum(unsigned.sigHash));
    this.#aums.set(first, this.genesis);
    this.#states.set(first, { ...state, lastAumHash: this.genesis.hash });
    for (const line of lines) {
      const names = line.split("->").map((drawn) => drawn.trim());
      for (let i = 1; i < names.length; i++) this.#draw(nameOf(names[i - 1]), names[i]);
    }
  }

  #draw(parent: string, drawn: string): void {
    const [what, by = "1"] = drawn.split("/");
    const name = nameOf(drawn);
    if (this.#aums.has(name)) return;
    const before = this.#states.get(parent) as State;
    const aum = aumAfter(this.aum(parent).hash, body(what.slice(name.length), name, before));
    const signer = signers(...by.split(",").filter((key) => key !== "").map((key) => testKey(Number(key))));
    const signed = aum.withSignatures(signer.signAum(aum.sigHash));
    this.#aums.set(name, signed);
    this.#parents.set(name, parent);
    this.#states.set(name, applyVerifiedAum(before, signed));
  }

  aum(name: string): Aum {
    const aum = this.#aums.get(name);
    if (aum === undefined) throw new TypeError(`Cannot find ${name} in the drawing`);
    return aum;
  }

  /** The AUMs behind the genesis up to this one. */
  to(name: string): Aum[] {
    const path: Aum[] = [];
    for (let at: string | undefined = name; at !== undefined && this.#parents.has(at); at = this.#parents.get(at)) {
      path.push(this.aum(at));
    }
    return path.reverse();
  }

  /** A node that knows the genesis and the way to each of these. */
  node(...names: string[]): TestNode {
    const node = new TestNode(this.genesis);
    for (const name of names) node.learn(this.to(name));
    return node;
  }

  /** The drawn name of a hash: for messages that a person can follow. */
  nameOf(hash: string): string {
    for (const [name, aum] of this.#aums) if (aum.hash === hash) return name;
    return hash;
  }

  names(aums: readonly Aum[]): string {
    return aums.map((aum) => this.nameOf(aum.hash)).join(" ");
  }
}

const GENESIS_STATE: State = {
  lastAumHash: null,
  disablementValues: [new Uint8Array(32).fill(0xd1)],
  keys: [1, 2, 3].map((number) => testKey(number).key()),
  stateId1: 11n,
  stateId2: 12n,
};

function nameOf(drawn: string): string {
  return (/^\w+/.exec(drawn) as RegExpExecArray)[0];
}

function body(what: string, name: string, before: State): Body {
  const [, key = "", votes = ""] = /^.(\d+)(?:=(\d+))?/.exec(what) ?? [];
  switch (what[0]) {
    case undefined:
      return { kind: AUM_KIND.NO_OP, meta: new Map([["name", name]]) };
    case "*":
      return { kind: AUM_KIND.CHECKPOINT, state: { ...before, lastAumHash: null } };
    case "+":
      return { kind: AUM_KIND.ADD_KEY, key: testKey(Number(key)).key() };
    case "-":
      return { kind: AUM_KIND.REMOVE_KEY, keyId: testKey(Number(key)).public };
    case "^":
      return { kind: AUM_KIND.UPDATE_KEY, keyId: testKey(Number(key)).public, votes: BigInt(votes) };
    case "?":
      return { kind: Number(key), meta: new Map([["name", name]]) };
  }
  throw new TypeError(`Cannot draw "${what}"`);
}

/** @param state replaces parts of the genesis' state. */
export function drawChain(text: string, state: Partial<State> = {}): DrawnChain {
  return new DrawnChain(text, state);
}

/** `count` signed AUMs behind `parent`, a checkpoint every `every`, for long chains. @param by signs. */
export function longChain(parent: Aum, state: State, count: number, by: AumSigner, every = 50, salt = "n"): Aum[] {
  const out: Aum[] = [];
  let at = parent;
  for (let i = 1; i <= count; i++) {
    const fields = i % every === 0
      ? { kind: AUM_KIND.CHECKPOINT, state: { ...state, lastAumHash: null } }
      : { kind: AUM_KIND.NO_OP, meta: new Map([[salt, `${i}`]]) };
    const aum = aumAfter(at.hash, fields);
    at = aum.withSignatures(by.signAum(aum.sigHash));
    out.push(at);
  }
  return out;
}
