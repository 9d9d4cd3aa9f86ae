/**
 * The lock as one node sees it: the head of the active chain, the state there, and the oldest AUM it goes back to.
 *
 *   create ──▶ genesis ──bootstrap──▶ authority ──inform(AUMs)──▶ authority ──compact──▶ authority
 *                                        ▲                            │
 *                        open ───────────┘                            └─ nodeKeyAuthorized(key, signature)
 *
 * Immutable: `inform` and `compact` return the next one and write to the store. An AUM is accepted if it is well formed,
 * follows an AUM that the store has, carries at least one signature, and every signature is valid and by a key trusted
 * there. What is accepted may still lose a fork. Source: tka/tka.go.
 */
import type { NodePublic } from "../base/keys.ts";
import type { AumSigner } from "./aum.ts";
import { Aum, validateAum } from "./aum.ts";
import type { AumHash } from "./aum_hash.ts";
import { compareAumHashes } from "./aum_hash.ts";
import { AUM_KIND, aumKindName } from "./aum_kind.ts";
import type { Chonk, CompactableChonk } from "./chonk.ts";
import { compact } from "./compaction.ts";
import type { CompactionRequest } from "./compaction.ts";
import { TkaError } from "./errors.ts";
import type { Key } from "./key.ts";
import { keyId, sameBytes } from "./key.ts";
import type { WalkLimits } from "./limits.ts";
import { WALK_LIMITS } from "./limits.ts";
import type { RotationDetails } from "./node_key_signature.ts";
import {
  decodeNodeKeySignature,
  nodeKeyBinary,
  rotationDetails,
  SIG_KIND,
  unverifiedAuthorizingKeyId,
  verifyNodeKeySignature,
} from "./node_key_signature.ts";
import { verifyByKey } from "./signature.ts";
import type { VerifySignature } from "./signature.ts";
import type { State } from "./state.ts";
import { applyVerifiedAum, findKey, getKey } from "./state.ts";
import type { Position } from "./walk.ts";
import { fastForward, limitExceeded, requireAum, stateAt } from "./walk.ts";

/** What the lock says of a node key. */
export type NodeKeyVerdict =
  | { readonly authorized: true; readonly rotation: RotationDetails | undefined }
  | { readonly authorized: false; readonly error: TkaError };

/** Verifies form and signatures. @param state at the parent, or of a genesis itself. @throws TkaError. */
function verifyAum(aum: Aum, state: State, isGenesis: boolean, verify: VerifySignature): void {
  validateAum(aum);
  if (!isGenesis && (aum.parent === undefined || aum.parent !== state.lastAumHash)) {
    throw new TkaError(
      "wrong-parent",
      `Cannot apply ${aum.hash}: its parent is ${aum.parent}, want ${state.lastAumHash}`,
    );
  }
  if (aum.signatures.length === 0) throw new TkaError("unsigned", `Cannot apply ${aum.hash}: nobody signed it`);
  for (const { keyId, signature } of aum.signatures) {
    verify(getKey(state, keyId ?? new Uint8Array(0)), aum.sigHash, signature);
  }
  const [last, ...others] = state.keys ?? [];
  const removesLast = aum.kind === AUM_KIND.REMOVE_KEY && last !== undefined && others.length === 0 &&
    sameBytes(keyId(last), aum.keyId ?? new Uint8Array(0));
  if (removesLast) throw new TkaError("last-key", `Cannot apply ${aum.hash}: it removes the last trusted key`);
}

export class Authority {
  readonly #head: Position;
  readonly #oldest: Aum;
  readonly #limits: WalkLimits;
  readonly #verify: VerifySignature;

  private constructor(head: Position, oldest: Aum, limits: WalkLimits, verify: VerifySignature) {
    this.#head = head;
    this.#oldest = oldest;
    this.#limits = limits;
    this.#verify = verify;
  }

  /** Makes a new lock: a signed genesis, committed to an empty store. The signer's key must be in the state. */
  static create(
    chonk: Chonk,
    state: State,
    signer: AumSigner,
    now: number,
    limits: WalkLimits = WALK_LIMITS,
  ): { readonly authority: Authority; readonly genesis: Aum } {
    const unsigned = new Aum({ kind: AUM_KIND.CHECKPOINT, prevAumHash: null, state, signatures: [] });
    validateAum(unsigned);
    const genesis = unsigned.withSignatures(signer.signAum(unsigned.sigHash));
    return { authority: Authority.bootstrap(chonk, genesis, now, limits), genesis };
  }

  /**
   * Joins a lock others made, from its genesis or any later checkpoint. It is believed as it stands: whoever hands it
   * over chooses the lock, which pins guard against (L5). The store must be empty.
   * @param verify a test that plays many chains remembers what verified.
   */
  static bootstrap(
    chonk: Chonk,
    checkpoint: Aum,
    now: number,
    limits: WalkLimits = WALK_LIMITS,
    verify: VerifySignature = verifyByKey,
  ): Authority {
    if (chonk.heads().length !== 0) {
      throw new TkaError("store-not-empty", "Cannot bootstrap: the store holds a lock already");
    }
    if (checkpoint.kind !== AUM_KIND.CHECKPOINT || checkpoint.state === undefined) {
      throw new TkaError("invalid-genesis", `Cannot bootstrap from ${aumKindName(checkpoint.kind)}: want a checkpoint`);
    }
    verifyAum(checkpoint, checkpoint.state, true, verify);
    chonk.commit([checkpoint], now);
    chonk.setLastActiveAncestor(checkpoint.hash);
    return Authority.open(chonk, limits, verify);
  }

  /** The lock of a store that has one. @throws TkaError "store-empty", "several-chains", … */
  static open(chonk: Chonk, limits: WalkLimits = WALK_LIMITS, verify: VerifySignature = verifyByKey): Authority {
    return Authority.#fromStore(chonk, chonk.lastActiveAncestor(), limits, verify);
  }

  static #fromStore(chonk: Chonk, hint: AumHash | undefined, limits: WalkLimits, verify: VerifySignature): Authority {
    const oldest = requireAum(chonk, activeAncestor(chonk, hint, limits.scan));
    const head = fastForward(chonk, stateAt(chonk, oldest.hash, limits.scan), limits.scan);
    return new Authority(head, oldest, limits, verify);
  }

  /** The newest AUM of the active chain. */
  get head(): AumHash {
    return this.#head.aum.hash;
  }

  /** The oldest AUM known of the active chain: the genesis, or where compaction cut. */
  get oldestAncestor(): AumHash {
    return this.#oldest.hash;
  }

  get state(): State {
    return this.#head.state;
  }

  get keys(): readonly Key[] {
    return this.state.keys ?? [];
  }

  get limits(): WalkLimits {
    return this.#limits;
  }

  trusts(id: Uint8Array): boolean {
    return findKey(this.state, id) !== undefined;
  }

  /**
   * Verifies and stores AUMs and moves the head. All are accepted or, with an error thrown, none is stored.
   * @param updates parents first; what the store has already is passed over.
   */
  inform(chonk: Chonk, updates: readonly Aum[], now: number): Authority {
    if (updates.length === 0) throw new TkaError("invalid", "Cannot apply an empty list of AUMs");
    const states = new Map<AumHash, State>([[this.head, this.state]]);
    const added: Aum[] = [];
    let tip: Aum = this.#head.aum;
    let extendsHead = true;
    for (const update of updates) {
      if (chonk.aum(update.hash) !== undefined) {
        extendsHead = false;
        continue;
      }
      const { parent } = update;
      if (parent === undefined) {
        throw new TkaError("wrong-parent", `Cannot apply ${update.hash}: it has no parent`);
      }
      const before = states.get(parent) ?? stateAt(chonk, parent, this.#limits.scan);
      states.set(parent, before);
      verifyAum(update, before, false, this.#verify);
      states.set(update.hash, applyVerifiedAum(before, update));
      if (parent !== tip.hash) extendsHead = false;
      tip = update;
      added.push(update);
    }
    chonk.commit(added, now);
    // What extends the head alone is the new head: no need to look at the rest of the tree.
    if (extendsHead) {
      const head = { aum: tip, state: states.get(tip.hash) as State };
      return new Authority(head, this.#oldest, this.#limits, this.#verify);
    }
    return Authority.#fromStore(chonk, this.oldestAncestor, this.#limits, this.#verify);
  }

  /** Whether a signature authorizes a node key now. Never throws. @param signature as in `Node.KeySignature`. */
  nodeKeyAuthorized(nodeKey: NodePublic, signature: Uint8Array): NodeKeyVerdict {
    try {
      const sig = decodeNodeKeySignature(signature);
      if (sig.kind === SIG_KIND.CREDENTIAL) {
        throw new TkaError("credential-alone", "Cannot authorize a node by a credential signature on its own");
      }
      const trusted = getKey(this.state, unverifiedAuthorizingKeyId(sig));
      verifyNodeKeySignature(sig, nodeKeyBinary(nodeKey), trusted);
      return { authorized: true, rotation: rotationDetails(sig) };
    } catch (error) {
      if (error instanceof TkaError) return { authorized: false, error };
      throw error;
    }
  }

  /** Purges what is old (`compaction.ts`) and returns the authority that goes back to the new oldest AUM. */
  compact(chonk: CompactableChonk, request: CompactionRequest, now: number): Authority {
    const ancestor = compact(chonk, this.head, request, now);
    return new Authority(this.#head, requireAum(chonk, ancestor), this.#limits, this.#verify);
  }
}

/**
 * Where the active chain begins: the one oldest AUM all heads go back to, or, when compaction or a re-made lock left
 * several, the one on whose way the hint lies.
 */
function activeAncestor(chonk: Chonk, hint: AumHash | undefined, limit: number): AumHash {
  const throughHint = new Map<AumHash, boolean>();
  for (const head of [...chonk.heads()].sort((a, b) => compareAumHashes(a.hash, b.hash))) {
    let oldest = head;
    let through = head.hash === hint;
    for (let steps = 0;; steps++) {
      if (steps >= limit) throw limitExceeded(limit);
      const parent = oldest.parent === undefined ? undefined : chonk.aum(oldest.parent);
      if (parent === undefined) break;
      oldest = parent;
      through ||= oldest.hash === hint;
    }
    throughHint.set(oldest.hash, through || throughHint.get(oldest.hash) === true);
  }
  if (throughHint.size === 0) throw new TkaError("store-empty", "Cannot open the lock: the store holds no AUM");
  if (throughHint.size === 1) return [...throughHint.keys()][0];
  for (const [ancestor, through] of throughHint) if (through) return ancestor;
  throw new TkaError("several-chains", `Cannot open the lock: ${throughHint.size} chains, none known to be active`);
}
