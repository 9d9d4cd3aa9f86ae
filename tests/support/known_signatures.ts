/**
 * Signatures of AUMs that a test just made, so that whoever plays thousands of histories need not verify each again:
 * that is more than half of what a history costs. Whatever else it is asked about, forged and altered ones above all,
 * goes to the verifier itself.
 */
import { toHex } from "../../base/bytes.ts";
import type { Aum } from "../../tka/aum.ts";
import { KEY_25519, sameBytes } from "../../tka/key.ts";
import { verifyByKey } from "../../tka/signature.ts";
import type { VerifySignature } from "../../tka/signature.ts";

/** What a signature is good for: nothing else. */
interface Signed {
  readonly keyId: Uint8Array;
  readonly sigHash: Uint8Array;
}

export class KnownSignatures {
  /** By the signature in hex. */
  readonly #known = new Map<string, Signed>();
  readonly #before: ReadonlyMap<string, Signed>;

  /** @param before what is known there is known here too. */
  constructor(aums: Iterable<Aum> = [], before?: KnownSignatures) {
    this.#before = before === undefined ? new Map() : before.#known;
    this.add(aums);
  }

  /** @param aums signed by the test itself, soundly. */
  add(aums: Iterable<Aum>): void {
    for (const { signatures, sigHash } of aums) {
      for (const { keyId, signature } of signatures) this.#known.set(toHex(signature!), { keyId: keyId!, sigHash });
    }
  }

  /** As `verifyByKey`. */
  readonly verify: VerifySignature = (key, sigHash, signature) => {
    const hex = signature === null ? "" : toHex(signature);
    const known = this.#before.get(hex) ?? this.#known.get(hex);
    const holds = known !== undefined && key.kind === KEY_25519 && key.public !== null &&
      sameBytes(key.public, known.keyId) && sameBytes(sigHash, known.sigHash);
    if (!holds) verifyByKey(key, sigHash, signature);
  };
}
