/**
 * Who may send disco messages: the disco keys of known peers, with the box shared with each. Several nodes may have one
 * disco key: a node that is in this network twice, shared or by another account.
 */
import { BoxKey } from "../../base/box.ts";
import { type DiscoPrivate, DiscoPublic } from "../../base/keys.ts";
import { BoxBudget } from "./box_budget.ts";
import type { Endpoint } from "./endpoint.ts";

/** A disco key and the peers that have it. */
export class DiscoPeer {
  readonly key: DiscoPublic;
  readonly endpoints = new Set<Endpoint>();
  /** Failures from addresses known to be this peer's. */
  readonly budget = new BoxBudget();
  readonly #own: DiscoPrivate;
  #box: BoxKey | undefined;

  constructor(key: DiscoPublic, own: DiscoPrivate) {
    this.key = key;
    this.#own = own;
  }

  /** The box with this peer, computed when first needed; undefined for a low-order key. */
  get box(): BoxKey | undefined {
    if (this.#box === undefined) {
      const secret = this.#own.sharedSecret(this.key.bytes);
      if (secret !== undefined) this.#box = new BoxKey(secret);
    }
    return this.#box;
  }
}

/** Peers by disco key. */
export class DiscoPeers {
  readonly #own: DiscoPrivate;
  readonly #byKey = new Map<string, DiscoPeer>();

  constructor(own: DiscoPrivate) {
    this.#own = own;
  }

  /** @param hex 64 hex digits of a disco key. */
  find(hex: string): DiscoPeer | undefined {
    return this.#byKey.get(hex);
  }

  /** The disco key of a message's sender, whom nobody here has: to see whether the message opens. */
  stranger(key: Uint8Array): DiscoPeer {
    return new DiscoPeer(new DiscoPublic(key), this.#own);
  }

  add(key: DiscoPublic, endpoint: Endpoint): void {
    let peer = this.#byKey.get(key.hex);
    if (peer === undefined) {
      peer = new DiscoPeer(key, this.#own);
      this.#byKey.set(key.hex, peer);
    }
    peer.endpoints.add(endpoint);
  }

  remove(key: DiscoPublic, endpoint: Endpoint): void {
    const peer = this.#byKey.get(key.hex);
    peer?.endpoints.delete(endpoint);
    if (peer?.endpoints.size === 0) this.#byKey.delete(key.hex);
  }
}
