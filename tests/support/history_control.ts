/**
 * Control of a history: the coordinator's own answers (`answerOffer` over its `LockChain`), spoilt as the script says.
 * Serves `LockRpc` as over the wire.
 */
import { fromBase64, toBase64 } from "../../base/bytes.ts";
import { ControlError } from "../../control/client/errors.ts";
import type { ControlRequest } from "../../control/client/types.ts";
import { answerOffer } from "../../control/server/lock/answer_offer.ts";
import { LockChain } from "../../control/server/lock/lock_chain.ts";
import { Aum } from "../../tka/aum.ts";
import type { AumSigner } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { Authority } from "../../tka/authority.ts";
import { WALK_LIMITS } from "../../tka/limits.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import type { State } from "../../tka/state.ts";
import { longChain } from "./chain_dsl.ts";
import { forge } from "./history.ts";
import type { Lock, Manners } from "./history.ts";
import type { KnownSignatures } from "./known_signatures.ts";
import { signers, testKey } from "./lock_keys.ts";

type Body = Record<string, unknown>;

export class HistoryControl {
  readonly #locks: readonly Lock[];
  readonly #known: KnownSignatures | undefined;
  #number = 0;
  #grown = 0;
  /** Its chain is that of the pool, as far as it grew. */
  #pooled = true;
  #chain: LockChain;
  /** What is shown instead of the true chain. */
  #shown: LockChain | undefined;
  /** Locks whose secret was kept, by number. */
  readonly #secrets = new Set<number>();
  manners: Manners = "honest";
  /** Netmaps say that there is no lock. */
  denies = false;

  /** @param known learns what is signed on the way; without it every signature is verified. */
  constructor(locks: readonly Lock[], known?: KnownSignatures) {
    this.#locks = locks;
    this.#known = known;
    this.#chain = this.#chainOf(locks[0].genesis, []);
  }

  get lock(): Lock {
    return this.#locks[this.#number];
  }
  get head(): AumHash {
    return this.#chain.head;
  }
  get authority(): Authority {
    return this.#chain.authority;
  }

  /** The lock as a netmap tells of it. */
  get netmapFields() {
    const on = !this.denies;
    return { tkaEnabled: on, tkaInfo: on ? { Head: (this.#shown ?? this.#chain).head, Disabled: false } : undefined };
  }

  grow(count: number, now: number): void {
    const { aums } = this.lock;
    const { chonk, authority } = this.#chain;
    const onPool = this.#pooled && this.#chain.head === (aums[this.#grown - 1]?.hash ?? this.lock.genesis.hash);
    const left = onPool ? aums.slice(this.#grown, this.#grown + count) : [];
    this.#grown += left.length;
    const head = chonk.aum(authority.head)!;
    // It is sound, and every node verifies it.
    chonk.commit(left.length > 0 ? left : this.#sign(head, authority.state, count, testKey(1), `more ${now}`), now);
    this.#chain.advance(Authority.open(chonk, WALK_LIMITS, this.#known?.verify));
  }

  /** Shows a branch, until `showTruth`. */
  showBranch(back: number, count: number, keys: readonly number[], salt: string): void {
    const place = Math.max(0, this.#chain.length - 1 - back);
    const path = Array.from({ length: place + 1 }, (_, i) => this.#chain.at(i)!);
    const from = path[place];
    const by = signers(...keys.map(testKey));
    this.#shown = this.#chainOf(path[0], [
      ...path.slice(1),
      ...this.#sign(from, this.authority.state, count, by, salt),
    ]);
  }

  /** Comes back from a copy without the newest AUMs. */
  restore(back: number): void {
    const kept = Math.max(1, this.#chain.length - back);
    const path = Array.from({ length: kept }, (_, i) => this.#chain.at(i)!);
    this.#chain = this.#chainOf(path[0], path.slice(1));
    this.#pooled = false;
  }

  showTruth(): void {
    this.#shown = undefined;
    this.manners = "honest";
    this.denies = false;
  }

  /** The lock there is is disabled, and a new one made. */
  makeAnew(forgetful: boolean): void {
    if (this.#number + 1 >= this.#locks.length) return;
    if (!forgetful) this.#secrets.add(this.#number);
    this.#number++;
    this.#grown = 0;
    this.#pooled = true;
    this.#chain = this.#chainOf(this.lock.genesis, []);
  }

  #sign(from: Aum, state: State, count: number, by: AumSigner, salt: string): Aum[] {
    const aums = longChain(from, state, count, by, 50, salt);
    this.#known?.add(aums);
    return aums;
  }

  /** A chain that is known to be sound. */
  #chainOf(genesis: Aum, aums: readonly Aum[]): LockChain {
    const chonk = new MemChonk();
    const verify = this.#known?.verify;
    const authority = Authority.bootstrap(chonk, genesis, 0, WALK_LIMITS, verify);
    chonk.commit(aums, 0);
    return new LockChain(chonk, aums.length === 0 ? authority : Authority.open(chonk, WALK_LIMITS, verify));
  }

  readonly serve = (request: ControlRequest): Promise<unknown> => {
    const call = request.path.slice("/machine/tka/".length);
    if (this.manners === "down") return Promise.reject(new ControlError("unreachable", "Cannot connect: down"));
    try {
      return Promise.resolve(this.#answer(call, request.body as Body));
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      return Promise.reject(new ControlError("http", `Cannot GET ${request.path}: HTTP 500: ${text}`, { status: 500 }));
    }
  };

  #answer(call: string, body: Body): Body {
    const chain = this.#shown ?? this.#chain;
    switch (call) {
      case "bootstrap": {
        const secret = body.Head === "" || this.denies ? undefined : this.#secretFor(body.Head as AumHash);
        return {
          GenesisAUM: toBase64(chain.at(0)!.bytes),
          ...(secret !== undefined && { DisablementSecret: toBase64(secret) }),
        };
      }
      case "sync/offer": {
        const asker = { head: body.Head as AumHash, ancestors: body.Ancestors as AumHash[] };
        const page = this.manners === "pages" ? 4000 : undefined;
        const { offer, missing } = answerOffer(chain, asker, { store: Infinity, page });
        const MissingAUMs = spoil(missing, this.manners).map(({ bytes }) => toBase64(bytes));
        return { Head: offer.head, Ancestors: offer.ancestors, MissingAUMs };
      }
      case "sync/send": {
        const sent = (body.MissingAUMs as string[]).map((text) => Aum.decode(fromBase64(text)!));
        if (sent.length > 0) chain.advance(chain.authority.inform(chain.chonk, sent, 0));
        return { Head: chain.head };
      }
    }
    throw new Error(`no such call: ${call}`);
  }

  /** Of the newest past lock whose secret was kept, as the coordinator guesses for a head it does not know. */
  #secretFor(head: AumHash): Uint8Array | undefined {
    if (this.#chain.chonk.aum(head) !== undefined) return undefined;
    for (const number of this.#secrets) {
      const { genesis, aums, secret } = this.#locks[number];
      if (head === genesis.hash || aums.some(({ hash }) => hash === head)) return secret;
    }
    const newest = Math.max(...this.#secrets, -1);
    return newest < 0 ? undefined : this.#locks[newest].secret;
  }
}

function spoil(aums: readonly Aum[], manners: Manners): readonly Aum[] {
  switch (manners) {
    case "withholds":
      return [];
    case "reorders":
      return aums.toReversed();
    case "repeats":
      return aums.flatMap((aum) => [aum, aum]);
    case "forges": {
      const at = aums.length >> 1;
      return aums.length === 0 ? aums : aums.with(at, forge(aums[at]));
    }
    default:
      return aums;
  }
}
