/**
 * What an operator does with the lock: make it, sign, change its keys, end it, recover from a stolen key.
 *
 * Nothing is applied here that control has not taken: a change comes back with the next netmap, as for every other node.
 * Texts are Tailscale's, since its tools look for some of them. Source: ipnlocal/tailnet-lock.go.
 */
import { equalBytes, toHex } from "../../base/bytes.ts";
import { NodePublic } from "../../base/keys.ts";
import type { RandomBytes } from "../../base/keys.ts";
import type { LockPrivate } from "../../base/lock_key.ts";
import { Secret } from "../../base/secret.ts";
import type { Aum } from "../../tka/aum.ts";
import { Authority } from "../../tka/authority.ts";
import { UpdateBuilder } from "../../tka/builder.ts";
import { isDisablementValue } from "../../tka/disablement.ts";
import type { Key } from "../../tka/key.ts";
import { keyId } from "../../tka/key.ts";
import { MemChonk } from "../../tka/mem_chonk.ts";
import {
  decodeNodeKeySignature,
  encodeNodeKeySignature,
  signNodeKey,
  unverifiedAuthorizingKeyId,
} from "../../tka/node_key_signature.ts";
import { cosign, makeRetroactiveRevocation } from "../../tka/recovery.ts";
import type { RevocationOptions } from "../../tka/recovery.ts";
import { lockSigner } from "../../tka/signature.ts";
import { wrapAuthKey } from "../../tka/wrapped_auth_key.ts";
import type { Persist } from "../persist.ts";
import { chainLinks } from "./chain.ts";
import type { ChainLink } from "./chain.ts";
import { stateIdOf } from "./record.ts";
import type { TailnetLock } from "./tailnet_lock.ts";

/** What the actions need of the node. */
export interface ActionPorts {
  readonly lock: TailnetLock;
  readonly persist: () => Persist | undefined;
  readonly disallow: (stateIds: readonly string[]) => void;
  readonly random: RandomBytes;
}

/** A refusal with Tailscale's text. */
export class LockError extends Error {
  override readonly name = "LockError";
}

const NOT_ACTIVE = "tailnet-lock is not active";
/** tsconst.TailnetLockNotTrustedMsg, which clients look for. */
const NOT_TRUSTED = "this node is not trusted by Tailnet Lock";

function u64le(bytes: Uint8Array, at: number): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true);
}

/** All @throws LockError, TkaError, ControlError, LockStoreError; messages are for the operator. */
export class LockActions {
  readonly #ports: ActionPorts;

  constructor(ports: ActionPorts) {
    this.#ports = ports;
  }

  #authority(): Authority {
    const { authority } = this.#ports.lock;
    if (authority === undefined) throw new LockError(NOT_ACTIVE);
    return authority;
  }

  #lockKey(): LockPrivate {
    const key = this.#ports.persist()?.lockKey;
    if (key === undefined) throw new LockError("missing netmap: verify that you are logged in");
    return key;
  }

  /** Makes a lock for the tailnet: a genesis, and a signature of every node there is. */
  async init(keys: readonly Key[], disablementValues: readonly Uint8Array[], support?: Uint8Array): Promise<void> {
    const { lock, random } = this.#ports;
    const rpc = lock.rpc();
    const lockKey = this.#lockKey();
    const entropy = random(16);
    const state = {
      lastAumHash: null,
      keys,
      disablementValues,
      stateId1: u64le(entropy, 0),
      stateId2: u64le(entropy, 8),
    };
    const { genesis } = Authority.create(new MemChonk(), state, lockSigner(lockKey), 0);
    const signatures: Record<string, Uint8Array> = {};
    for (const { id, nodeKey, rotationKey } of await rpc.initBegin(genesis.bytes)) {
      const key = NodePublic.parse(nodeKey);
      if (key === undefined) throw new LockError(`Cannot sign node ${id}: control names no node key`);
      const rotation = rotationKey.length === 32 ? rotationKey : undefined;
      signatures[String(id)] = encodeNodeKeySignature(signNodeKey(lockKey, key, rotation));
    }
    await rpc.initFinish(signatures, support);
  }

  /** Signs a node key. @param rotation the node's own lock key, 32 bytes, or empty. */
  async sign(nodeKey: NodePublic, rotation: Uint8Array): Promise<void> {
    const lockKey = this.#lockKey();
    if (!this.#authority().trusts(lockKey.public.bytes)) {
      throw new LockError(NOT_TRUSTED);
    }
    const signature = signNodeKey(lockKey, nodeKey, rotation.length === 0 ? undefined : rotation);
    await this.#ports.lock.rpc().sign(encodeNodeKeySignature(signature));
  }

  async modify(add: readonly Key[], remove: readonly Key[]): Promise<void> {
    const { lock } = this.#ports;
    const rpc = lock.rpc();
    const lockKey = this.#lockKey();
    const authority = this.#authority();
    if (!authority.trusts(lockKey.public.bytes)) {
      throw new LockError("this node does not have a trusted tailnet lock key");
    }
    const builder = new UpdateBuilder(authority, lockSigner(lockKey));
    for (const key of add) builder.addKey(key);
    for (const key of remove) builder.removeKey(keyId(key));
    const updates = builder.finalize(this.#authority(), lock.chonk);
    if (updates.length === 0) return;
    const head = await rpc.send(authority.head, updates.map((aum) => aum.bytes), true);
    if (head !== updates.at(-1)!.hash) {
      throw new LockError("central tka head differs from submitted AUM, try again");
    }
  }

  /** Ends the lock for the whole tailnet. The secret is public from then on. */
  async disable(secret: Uint8Array): Promise<void> {
    const { lock } = this.#ports;
    const authority = this.#authority();
    const derived = await lock.derive(secret);
    if (!isDisablementValue(authority.state, derived)) throw new LockError("incorrect disablement secret");
    await lock.rpc().disable(authority.head, secret);
  }

  /** Ends the lock on this node alone, for good. */
  localDisable(): void {
    const { lock, persist, disallow } = this.#ports;
    const stateId = lock.authority === undefined ? lock.record?.anchor.stateId : stateIdOf(lock.authority);
    if (stateId === undefined) throw new LockError(NOT_ACTIVE);
    const known = persist()?.disallowedTkaStateIds ?? [];
    if (!known.includes(stateId)) disallow([...known, stateId]);
    lock.dropLocally();
  }

  /** The chain from the head back, newest first. */
  log(limit: number): Aum[] {
    const { chonk } = this.#ports.lock;
    const found: Aum[] = [];
    let at = chonk.aum(this.#authority().head);
    for (; at !== undefined && found.length < limit; at = at.parent && chonk.aum(at.parent)) found.push(at);
    return found;
  }

  /** The chain from the head back with the branches that lost, newest first. */
  chain(limit: number): ChainLink[] {
    return chainLinks(this.#authority(), this.#ports.lock.chonk, limit);
  }

  /** Hands a signature made elsewhere to control. @throws LockError unless it holds. */
  async submitSignature(bytes: Uint8Array): Promise<void> {
    const authority = this.#authority();
    const { pubkey } = decodeNodeKeySignature(bytes);
    if (pubkey?.length !== 34) throw new LockError("it is for no node key");
    const verdict = authority.nodeKeyAuthorized(new NodePublic(pubkey.subarray(2)), bytes);
    if (!verdict.authorized) throw new LockError(verdict.error.message);
    await this.#ports.lock.rpc().sign(bytes);
  }

  /** What control says of auth keys: "valid", "used", "expired" or "unknown", by ID. Only our coordinator tells. */
  authKeyStates(ids: readonly string[]): Promise<Readonly<Record<string, string>>> {
    return this.#ports.lock.rpc().authKeyStates(ids);
  }

  /** Signatures that would not hold without this key; each is checked. */
  async affectedSignatures(id: Uint8Array): Promise<readonly Uint8Array[]> {
    this.#authority();
    const signatures = await this.#ports.lock.rpc().affectedSignatures(id);
    const authority = this.#authority();
    signatures.forEach((bytes, i) => {
      const signature = decodeNodeKeySignature(bytes);
      const by = unverifiedAuthorizingKeyId(signature);
      if (!equalBytes(by, id)) {
        throw new LockError(`got signature with keyID ${toHex(by)} from request for ${toHex(id)}`);
      }
      if (signature.pubkey?.length !== 34) throw new LockError(`failed decoding pubkey for signature ${i}`);
      const verdict = authority.nodeKeyAuthorized(new NodePublic(signature.pubkey.subarray(2)), bytes);
      if (!verdict.authorized) throw new LockError(`signature ${i} is not valid: ${verdict.error.message}`);
    });
    return signatures;
  }

  /** A recovery AUM that takes trust back from these keys, signed by this node. */
  generateRecovery(revoked: readonly Uint8Array[], options: RevocationOptions): Aum {
    const authority = this.#authority();
    const lockKey = this.#lockKey();
    const { chonk } = this.#ports.lock;
    const aum = makeRetroactiveRevocation(authority, chonk, revoked, lockKey.public.bytes, options);
    return cosign(aum, lockSigner(lockKey));
  }

  cosignRecovery(aum: Aum): Aum {
    this.#authority();
    return cosign(aum, lockSigner(this.#lockKey()));
  }

  /** @throws LockError when control has taken it and follows another branch all the same. */
  async submitRecovery(aum: Aum): Promise<void> {
    this.#authority();
    const head = await this.#ports.lock.rpc().send(aum.hash, [aum.bytes], false);
    if (head === aum.hash) return;
    throw new LockError(
      `the recovery does not win: control has it, and follows ${head}. Its signers need more votes than those of the ` +
        "change it is against: have it co-signed on another signing node",
    );
  }

  /**
   * @param signer whose public key is then to be added to the trusted keys. Undefined: this node's own key, so that none is
   * left behind; the auth key can then be distrusted only by its end, or together with this node.
   */
  wrapAuthKey(authKey: string, signer: LockPrivate | undefined): Secret {
    const authority = this.#authority();
    const key = signer ?? this.#lockKey();
    if (signer === undefined && !authority.trusts(key.public.bytes)) throw new LockError(NOT_TRUSTED);
    return wrapAuthKey(new Secret(authKey), key, this.#ports.random);
  }
}
