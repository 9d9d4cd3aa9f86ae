/** Tailnet-lock keys of tests: named by a number, fast to sign with. */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { concat } from "../../base/bytes.ts";
import { LockPrivate } from "../../base/lock_key.ts";
import type { AumSignature, AumSigner } from "../../tka/aum.ts";
import type { Key } from "../../tka/key.ts";
import { key25519 } from "../../tka/key.ts";
import type { NodeKeySignature } from "../../tka/node_key_signature.ts";
import { nodeKeySigHash } from "../../tka/node_key_signature.ts";

const PKCS8_PREFIX = Uint8Array.fromHex("302e020100300506032b657004220420");

/** A signing key whose seed is one number over and over. */
export class TestKey implements AumSigner {
  readonly seed: Uint8Array<ArrayBuffer>;
  readonly public: Uint8Array<ArrayBuffer>;
  readonly #key: KeyObject;

  constructor(number: number) {
    this.seed = new Uint8Array(32).fill(number + 1);
    this.seed[1] = number >> 8;
    this.#key = createPrivateKey({
      key: Buffer.from(concat(PKCS8_PREFIX, this.seed)),
      format: "der",
      type: "pkcs8",
    });
    const spki = createPublicKey(this.#key).export({ format: "der", type: "spki" });
    this.public = new Uint8Array(spki.subarray(-32));
  }

  /** As a trusted key of the state. */
  key(votes: bigint | number = 1n, meta?: ReadonlyMap<string, string>): Key {
    return key25519(this.public, votes, meta);
  }

  get lock(): LockPrivate {
    return new LockPrivate(this.seed);
  }

  sign(message: Uint8Array): Uint8Array<ArrayBuffer> {
    return new Uint8Array(sign(null, message, this.#key));
  }

  signAum(sigHash: Uint8Array): readonly AumSignature[] {
    return [{ keyId: this.public, signature: this.sign(sigHash) }];
  }

  signNks(sig: NodeKeySignature): NodeKeySignature {
    return { ...sig, signature: this.sign(nodeKeySigHash(sig)) };
  }
}

/** Signs with several keys at once. */
export function signers(...keys: readonly TestKey[]): AumSigner {
  return { signAum: (sigHash) => keys.flatMap((key) => key.signAum(sigHash)) };
}

const made = new Map<number, TestKey>();

/** The same key for the same number, always. */
export function testKey(number: number): TestKey {
  const known = made.get(number);
  if (known !== undefined) return known;
  const key = new TestKey(number);
  made.set(number, key);
  return key;
}
