/** What a random world was about: the oracle's tests print a count of each, and fail where one is zero. */
import { Aum, aumWeight } from "../../tka/aum.ts";
import { AUM_KIND } from "../../tka/aum_kind.ts";
import { TkaError } from "../../tka/errors.ts";
import type { MemChonk } from "../../tka/mem_chonk.ts";
import { decodeNodeKeySignature, SIG_KIND } from "../../tka/node_key_signature.ts";
import { findKey } from "../../tka/state.ts";
import { stateAt } from "../../tka/walk.ts";
import type { Result, Step } from "./tka_node.ts";
import type { Tree } from "./tka_tree.ts";

export const COVERED = [
  "a fork decided by votes",
  "a fork decided by a remove-key",
  "a fork decided by the lowest hash",
  "a fork won by a revocation of several signers",
  "a signer that was removed before",
  "a signer nobody trusts",
  "a bad signature",
  "no signature",
  "a wrong or missing parent",
  "the last key's removal",
  "a form that is against the rules",
  "a checkpoint taken",
  "a checkpoint of another lock",
  "an unknown kind taken",
  "AUMs in several pieces",
  "compaction that purged",
  "compaction that refused",
  "compaction of the side that asks",
  "compaction of the side that offers",
  "a death between two commits",
  "a death while purging",
  "a restart",
  "a restart that refused",
  "a new beginning",
  "an offer",
  "AUMs that the other lacks",
  "nothing in common",
  "a node key: direct",
  "a node key: rotated",
  "a node key: by a credential",
  "a node key refused: signature",
  "a node key refused: signer not trusted",
  "a node key refused: for another node",
  "a node key refused: malformed",
  "a revocation made",
  "updates built",
  "updates refused",
] as const;

export type Covered = typeof COVERED[number];

function codeOf({ Error: text }: Result): string {
  return /^\[(.*?)\]/.exec(text ?? "")?.[1] ?? "";
}

const INFORM_REFUSED: Readonly<Record<string, Covered>> = {
  "bad-signature": "a bad signature",
  "unsigned": "no signature",
  "wrong-parent": "a wrong or missing parent",
  "missing-aum": "a wrong or missing parent",
  "last-key": "the last key's removal",
  "invalid": "a form that is against the rules",
  "wrong-state-id": "a checkpoint of another lock",
};

const NODE_KEY_REFUSED: Readonly<Record<string, Covered>> = {
  "bad-signature": "a node key refused: signature",
  "unknown-key": "a node key refused: signer not trusted",
  "wrong-node-key": "a node key refused: for another node",
  "malformed": "a node key refused: malformed",
};

/** Watches one world. */
export class Coverage {
  readonly covered = new Set<Covered>();
  readonly #tree: Tree;
  readonly #compacted = new Set<number>();
  readonly #informed = new Set<number>();
  #stored = false;
  #purging = false;

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  /** A step was taken. @param before AUMs in the node's store then, @param after now. */
  step(step: Step, result: Result, before: number, after: number): void {
    const add = (name: Covered | undefined, when = true) => when && name !== undefined && this.covered.add(name);
    const { OK } = result;
    switch (step.Do) {
      case "inform":
        if (OK) this.#taken(step, before < after);
        else this.#refused(step, codeOf(result));
        break;
      case "compact":
        if (OK && after < before) this.#compacted.add(step.Node);
        add("compaction that purged", OK && after < before);
        add("compaction that refused", !OK);
        this.#purging = OK && step.Text !== undefined && after < before;
        return;
      case "store":
        this.#stored = after > before;
        return;
      case "open":
        add(OK ? "a restart" : "a restart that refused");
        add("a death between two commits", OK && this.#stored);
        add("a death while purging", OK && this.#purging);
        break;
      case "bootstrap":
        add("a new beginning", OK && this.#informed.has(step.Node));
        break;
      case "offer":
        add("an offer", OK && (result.Ancestors?.length ?? 0) > 1);
        break;
      case "missing":
        add("AUMs that the other lacks", OK && (result.Hashes?.length ?? 0) > 0);
        add("nothing in common", codeOf(result) === "no-intersection");
        break;
      case "authorized":
        add(OK ? nodeKeyKind(step) : NODE_KEY_REFUSED[codeOf(result)]);
        break;
      case "revoke":
        add("a revocation made", OK);
        break;
      case "build":
        add(OK ? "updates built" : "updates refused", !OK || (result.AUMs?.length ?? 0) > 0);
    }
    this.#stored = this.#purging = false;
  }

  /** A node was asked what it has for the offer of another. */
  met(asked: number, offering: number): void {
    if (asked === offering) return;
    if (this.#compacted.has(asked)) this.covered.add("compaction of the side that asks");
    if (this.#compacted.has(offering)) this.covered.add("compaction of the side that offers");
  }

  #taken(step: Step, grew: boolean): void {
    if (!grew) return;
    if (this.#informed.has(step.Node)) this.covered.add("AUMs in several pieces");
    this.#informed.add(step.Node);
    for (const { kind } of step.AUMs!.map((hex) => Aum.decode(Uint8Array.fromHex(hex)))) {
      if (kind === AUM_KIND.CHECKPOINT) this.covered.add("a checkpoint taken");
      if (kind > AUM_KIND.CHECKPOINT) this.covered.add("an unknown kind taken");
    }
  }

  #refused(step: Step, code: string): void {
    const known = INFORM_REFUSED[code];
    if (known !== undefined) this.covered.add(known);
    if (code !== "unknown-key") return;
    const genesis = this.#tree.aums[0].state!;
    for (const aum of step.AUMs!.map((hex) => Aum.decode(Uint8Array.fromHex(hex)))) {
      const state = aum.parent === undefined ? undefined : this.#tree.state(aum.parent);
      for (const { keyId } of aum.signatures) {
        if (state === undefined || keyId === null || findKey(state, keyId) !== undefined) continue;
        this.covered.add(findKey(genesis, keyId) ? "a signer that was removed before" : "a signer nobody trusts");
      }
    }
  }

  /** What decided the forks in a store. */
  forks(chonk: MemChonk): void {
    for (const hash of chonk.all()) {
      const children = chonk.children(hash);
      if (children.length < 2) continue;
      try {
        const state = stateAt(chonk, hash, 2000);
        const weights = children.map((aum) => aumWeight(aum, state)).sort((a, b) => Number(b - a));
        const best = children.filter((aum) => aumWeight(aum, state) === weights[0]);
        const removing = best.filter(({ kind }) => kind === AUM_KIND.REMOVE_KEY).length;
        if (best.length === 1) {
          this.covered.add("a fork decided by votes");
          const [{ kind, state: revoked, signatures }] = best;
          const fewer = kind === AUM_KIND.CHECKPOINT && revoked!.keys!.length < state.keys!.length;
          if (fewer && signatures.length > 1) this.covered.add("a fork won by a revocation of several signers");
        } else if (removing > 0 && removing < best.length) this.covered.add("a fork decided by a remove-key");
        else this.covered.add("a fork decided by the lowest hash");
      } catch (cause) {
        // A fork whose state is not to be had: its checkpoint was purged.
        if (!(cause instanceof TkaError)) throw cause;
      }
    }
  }
}

function nodeKeyKind(step: Step): Covered {
  let sig = decodeNodeKeySignature(Uint8Array.fromHex(step.Sig!));
  if (sig.kind === SIG_KIND.DIRECT) return "a node key: direct";
  while (sig.nested !== undefined) sig = sig.nested;
  return sig.kind === SIG_KIND.CREDENTIAL ? "a node key: by a credential" : "a node key: rotated";
}
