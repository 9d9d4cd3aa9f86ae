/** Why the lock refused something, as a code that programs branch on and a text for operators. */

/** Stable names of refusals; texts may change, these may not. */
export type TkaErrorCode =
  /** Not CBOR that Go's decoder takes, or not of the wanted shape. */
  | "malformed"
  /** Decoded, but a field breaks a rule that needs no state: `StaticValidate` upstream. */
  | "invalid"
  | "unsigned"
  /** A signature by a key that the state does not trust, or an operation on such a key. */
  | "unknown-key"
  | "bad-signature"
  /** The update does not follow the state it was applied to. */
  | "wrong-parent"
  /** A checkpoint of another lock. */
  | "wrong-state-id"
  | "key-exists"
  | "last-key"
  | "too-many-keys"
  /** An AUM that the operation needs is not in the store. */
  | "missing-aum"
  | "store-not-empty"
  | "store-empty"
  /** Several chains without a common ancestor, and no hint which one was active. */
  | "several-chains"
  | "invalid-genesis"
  /** A walk over the AUM tree was longer than allowed. */
  | "iteration-limit"
  /** No AUM known to both sides. */
  | "no-intersection"
  /** A node-key signature that does not authorize the key it came with. */
  | "wrong-node-key"
  | "credential-alone"
  | "already-signed"
  /** The head moved between building updates and finishing them. */
  | "stale-update"
  | "bad-compaction";

/** Thrown by everything in this room; `message` is safe to show and holds no secret. */
export class TkaError extends Error {
  override readonly name = "TkaError";
  readonly code: TkaErrorCode;

  constructor(code: TkaErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
