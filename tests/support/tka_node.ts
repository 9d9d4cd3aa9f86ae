/** A node of a random world: takes the world's steps with our implementation, as `tka-oracle` does with upstream's. */
import { fromHex, toHex } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import { Aum, aumAfter } from "../../tka/aum.ts";
import type { AumHash } from "../../tka/aum_hash.ts";
import { parseAumHash } from "../../tka/aum_hash.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import { Authority } from "../../tka/authority.ts";
import { UpdateBuilder } from "../../tka/builder.ts";
import { TkaError } from "../../tka/errors.ts";
import type { WalkLimits } from "../../tka/limits.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import { makeRetroactiveRevocation } from "../../tka/recovery.ts";
import { missingAums, syncOffer } from "../../tka/sync.ts";
import { WORLD_KEYS } from "./tka_tree.ts";

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

/** A store whose process may die while it purges: of what is to go, only hashes below `dieBefore` do. */
class MortalChonk extends MemChonk {
  dieBefore: string | undefined;

  override purge(hashes: readonly AumHash[], now: number): void {
    const { dieBefore } = this;
    super.purge(dieBefore === undefined ? hashes : hashes.filter((hash) => hash < dieBefore), now);
  }
}

/** A node that runs our implementation. */
export class OurNode {
  readonly chonk = new MortalChonk();
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
      // A store that a dead process left may end so; upstream gives no copy of such a state.
      State: (state.keys ?? []).length === 0
        ? "no trusted keys"
        : aumAfter(authority.head, { kind: AUM_KIND.CHECKPOINT, state }).hash,
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
        const offer = { head: hashOf(step.Head), ancestors: (step.Ancestors ?? []).map(hashOf) };
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
        this.chonk.dieBefore = step.Text;
        try {
          this.authority = authority.compact(this.chonk, request, now);
        } finally {
          this.chonk.dieBefore = undefined;
        }
        return { Hashes: [...this.chonk.all()].sort() };
      }
      case "revoke": {
        const remove = (step.Remove ?? []).map((hex) => Uint8Array.fromHex(hex));
        const ours = Uint8Array.fromHex(step.Key as string);
        const options = step.Fork === undefined ? {} : { forkFrom: hashOf(step.Fork) };
        return { AUMs: [toHex(makeRetroactiveRevocation(authority, this.chonk, remove, ours, options).bytes)] };
      }
      case "build": {
        const signer = WORLD_KEYS.find((key) => toHex(key.seed) === step.Priv);
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

export function hashOf(text: string | undefined): AumHash {
  return parseAumHash(text as string) as AumHash;
}
