/**
 * The calls of Tailnet Lock to control: GET with a JSON body on `/machine/tka/…`, a minute each.
 * Source: ipnlocal/tailnet-lock.go, tailcfg/tka.go.
 */
import { fromBase64, toBase64 } from "../../base/bytes.ts";
import type { NodePublic } from "../../base/keys.ts";
import { checkTkaResponse, isMalformed } from "../wire/decode.ts";
import type { TkaCall, TkaRequest, TkaResponse } from "../wire/decode.ts";
import { ControlError } from "./errors.ts";
import type { ControlApi } from "./types.ts";

const TIMEOUT_MS = 60_000;

/** A node that wants a signature when the lock is made. */
export interface NodeToSign {
  /** Decimal text, or a number below 2^53. */
  readonly id: number | string;
  readonly nodeKey: string;
  /** The node's lock key, 32 bytes; empty when control knows none. */
  readonly rotationKey: Uint8Array;
}

/** What control says of its chain. Hashes are text, not checked. */
export interface RemoteOffer {
  readonly head: string;
  readonly ancestors: readonly string[];
  /** Serialized AUMs. */
  readonly missing: readonly Uint8Array[];
}

/** The lock's calls for one node key. All @throws ControlError. */
export class LockRpc {
  readonly #api: Pick<ControlApi, "request">;
  readonly #nodeKey: NodePublic;
  readonly #version: number;

  constructor(api: Pick<ControlApi, "request">, nodeKey: NodePublic, capabilityVersion: number) {
    this.#api = api;
    this.#nodeKey = nodeKey;
    this.#version = capabilityVersion;
  }

  async #call<C extends TkaCall>(call: C, fields: Omit<TkaRequest<C>, "Version" | "NodeKey">): Promise<TkaResponse<C>> {
    const path = `/machine/tka/${call}`;
    const body = { Version: this.#version, NodeKey: this.#nodeKey.toString(), ...fields };
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    let value: unknown;
    try {
      value = await this.#api.request({ method: "GET", path, body, nodeKeys: [this.#nodeKey] }, signal);
    } catch (cause) {
      if (cause instanceof ControlError) throw cause;
      if (signal.aborted) throw new ControlError("timeout", `Cannot GET ${path}: no answer in a minute`, { cause });
      throw cause;
    }
    const checked = checkTkaResponse(call, value);
    if (isMalformed(checked)) {
      throw new ControlError("malformed", `Cannot use the answer of ${path}: ${checked.malformed}`);
    }
    return checked.value;
  }

  async initBegin(genesis: Uint8Array): Promise<readonly NodeToSign[]> {
    const { NeedSignatures } = await this.#call("init/begin", { GenesisAUM: toBase64(genesis) });
    return (NeedSignatures ?? []).map(({ NodeID, NodePublic, RotationPubkey }) => ({
      id: NodeID,
      nodeKey: NodePublic,
      rotationKey: decode(RotationPubkey),
    }));
  }

  /** @param signatures by decimal node ID. */
  async initFinish(signatures: Readonly<Record<string, Uint8Array>>, supportDisablement?: Uint8Array): Promise<void> {
    const Signatures = Object.fromEntries(Object.entries(signatures).map(([id, bytes]) => [id, toBase64(bytes)]));
    await this.#call("init/finish", {
      Signatures,
      ...(supportDisablement !== undefined && { SupportDisablement: toBase64(supportDisablement) }),
    });
  }

  /** @param head "" when the node has none. */
  async bootstrap(head: string): Promise<{ readonly genesis?: Uint8Array; readonly disablementSecret?: Uint8Array }> {
    const { GenesisAUM, DisablementSecret } = await this.#call("bootstrap", { Head: head });
    return {
      ...(GenesisAUM && { genesis: decode(GenesisAUM) }),
      ...(DisablementSecret && { disablementSecret: decode(DisablementSecret) }),
    };
  }

  async offer(head: string, ancestors: readonly string[]): Promise<RemoteOffer> {
    const { Head, Ancestors, MissingAUMs } = await this.#call("sync/offer", { Head: head, Ancestors: ancestors });
    return { head: Head, ancestors: Ancestors ?? [], missing: (MissingAUMs ?? []).map(decode) };
  }

  /** Returns the head control has then. */
  async send(head: string, aums: readonly Uint8Array[], interactive: boolean): Promise<string> {
    const MissingAUMs = aums.map((aum) => toBase64(aum));
    return (await this.#call("sync/send", { Head: head, MissingAUMs, Interactive: interactive })).Head;
  }

  async sign(signature: Uint8Array): Promise<void> {
    await this.#call("sign", { Signature: toBase64(signature) });
  }

  async disable(head: string, secret: Uint8Array): Promise<void> {
    await this.#call("disable", { Head: head, DisablementSecret: toBase64(secret) });
  }

  /** By ID: "valid", "used", "expired" or "unknown". A call of our coordinator's own. */
  async authKeyStates(ids: readonly string[]): Promise<Readonly<Record<string, string>>> {
    const { States } = await this.#call("agent/auth-keys", { IDs: ids });
    return Object.fromEntries((States ?? []).map(({ ID, State }) => [ID, State]));
  }

  async affectedSignatures(keyId: Uint8Array): Promise<readonly Uint8Array[]> {
    return ((await this.#call("affected-sigs", { KeyID: toBase64(keyId) })).Signatures ?? []).map(decode);
  }
}

/** Base64 that the shape has checked already. */
function decode(text: string): Uint8Array<ArrayBuffer> {
  return fromBase64(text) ?? new Uint8Array(0);
}
