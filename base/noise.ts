/**
 * The Noise symmetric state (Noise 5.2) over X25519, ChaChaPoly and BLAKE2s, as both Tailscale's control protocol
 * (`Noise_IK_25519_ChaChaPoly_BLAKE2s`) and WireGuard (`Noise_IKpsk2_…`) use it.
 *
 * ```
 *   initialize(name) ─ mixHash(prologue) ─┬─ mixHash / mixKey / mixKeyAndHash
 *                                         ├─ encryptAndHash / decryptAndHash      (nonce 0: every key seals once)
 *                                         └─ split() → two transport keys
 * ```
 * Each key encrypts one message only in both protocols, so the nonce is always zero; a second use throws.
 */
import { open, seal } from "./aead.ts";
import { blake2s, hkdf } from "./blake2s.ts";
import { concat, utf8 } from "./bytes.ts";

const ZERO_NONCE = new Uint8Array(12);

/** Chaining key, hash and the key of the next encryption. Failed input leaves the state unusable, never half-mixed. */
export class SymmetricState {
  #chainingKey: Uint8Array<ArrayBuffer>;
  #hash: Uint8Array<ArrayBuffer>;
  #key: Uint8Array<ArrayBuffer> | undefined;

  private constructor(chainingKey: Uint8Array<ArrayBuffer>, hash: Uint8Array<ArrayBuffer>) {
    this.#chainingKey = chainingKey;
    this.#hash = hash;
  }

  /** Noise 5.2 InitializeSymmetric. A name of up to 32 bytes is zero-padded, a longer one hashed. */
  static initialize(protocolName: string): SymmetricState {
    const name = utf8(protocolName);
    const hash = name.length <= 32 ? concat(name, new Uint8Array(32 - name.length)) : blake2s(name);
    return new SymmetricState(hash, hash.slice());
  }

  /** An independent copy, so that a started handshake can try an answer without being spoilt by a forged one. */
  clone(): SymmetricState {
    const copy = new SymmetricState(this.#chainingKey.slice(), this.#hash.slice());
    copy.#key = this.#key?.slice();
    return copy;
  }

  /** The handshake hash so far; at the end, the channel binding. */
  get hash(): Uint8Array<ArrayBuffer> {
    return this.#hash.slice();
  }

  mixHash(data: Uint8Array): void {
    this.#hash = blake2s(this.#hash, data);
  }

  mixKey(input: Uint8Array): void {
    const [chainingKey, key] = hkdf(this.#chainingKey, input, 2);
    this.#chainingKey = chainingKey;
    this.#key = key;
  }

  /** MixKey for WireGuard's `e` token, which takes no encryption key from it (whitepaper 5.4.2, Kdf1). */
  mixChainingKey(input: Uint8Array): void {
    this.#chainingKey = hkdf(this.#chainingKey, input, 1)[0];
  }

  /** Noise 9.2: the `psk` token. */
  mixKeyAndHash(input: Uint8Array): void {
    const [chainingKey, toHash, key] = hkdf(this.#chainingKey, input, 3);
    this.#chainingKey = chainingKey;
    this.mixHash(toHash);
    this.#key = key;
  }

  #takeKey(): Uint8Array<ArrayBuffer> {
    const key = this.#key;
    if (key === undefined) throw new TypeError("Cannot use a Noise key twice: mix a new one first");
    this.#key = undefined;
    return key;
  }

  /** Ciphertext with its tag. */
  encryptAndHash(plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
    const sealed = seal(this.#takeKey(), ZERO_NONCE, plaintext, this.#hash);
    this.mixHash(sealed);
    return sealed;
  }

  /** The plaintext, or undefined when the message is forged. */
  decryptAndHash(sealed: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    const plaintext = open(this.#takeKey(), ZERO_NONCE, sealed, this.#hash);
    if (plaintext !== undefined) this.mixHash(sealed);
    return plaintext;
  }

  /** The two transport keys: initiator to responder, responder to initiator. */
  split(): { initiatorToResponder: Uint8Array<ArrayBuffer>; responderToInitiator: Uint8Array<ArrayBuffer> } {
    const [initiatorToResponder, responderToInitiator] = hkdf(this.#chainingKey, new Uint8Array(0), 2);
    return { initiatorToResponder, responderToInitiator };
  }

  /** Overwrites all secrets; the state is of no use afterwards. */
  wipe(): void {
    this.#chainingKey.fill(0);
    this.#hash.fill(0);
    this.#key?.fill(0);
    this.#key = undefined;
  }
}
