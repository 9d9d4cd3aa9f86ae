/**
 * Transport keys of one completed handshake, and the three places a peer keeps them in.
 *
 * ```
 *   as initiator:  response consumed ──▶ current          (the old current becomes previous)
 *   as responder:  response sent ──▶ next ──first packet opened with it──▶ current
 *
 *   previous: receives only, what was in flight when the keys changed
 *   current:  sends and receives
 *   next:     receives only, until the initiator proved that it has the keys (key confirmation, whitepaper 5)
 * ```
 */
import type { Peer } from "./peer.ts";
import { COUNTER_LIMIT, REJECT_AFTER_TIME } from "./constants.ts";
import { ReplayWindow } from "./replay.ts";

/** What a keypair is made from. */
export interface KeypairFields {
  readonly peer: Peer;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly sendKey: number;
  readonly receiveKey: number;
  readonly created: number;
  readonly isInitiator: boolean;
}

/** Keys of both directions. They live as handles of the AEAD provider; the bytes are gone. */
export class Keypair {
  readonly peer: Peer;
  /** The index the peer addresses us by. */
  readonly localIndex: number;
  /** The index we address the peer by. */
  readonly remoteIndex: number;
  /** AEAD handle, "seal". */
  readonly sendKey: number;
  /** AEAD handle, "open". */
  readonly receiveKey: number;
  /** ms of `now`. */
  readonly created: number;
  /** True when our initiation made it: the side that renews it by age. */
  readonly isInitiator: boolean;
  /** Counters received. */
  readonly replay: ReplayWindow = new ReplayWindow();
  /** Counter of the next packet sent; who seals takes it and adds one. At most `COUNTER_LIMIT`. */
  nextCounter = 0;
  /** True once it left the peer's three places: its AEAD handles are freed and must not be used. */
  dropped = false;

  constructor(fields: KeypairFields) {
    this.peer = fields.peer;
    this.localIndex = fields.localIndex;
    this.remoteIndex = fields.remoteIndex;
    this.sendKey = fields.sendKey;
    this.receiveKey = fields.receiveKey;
    this.created = fields.created;
    this.isInitiator = fields.isInitiator;
  }

  /**
   * Dropped, or older than `REJECT_AFTER_TIME`: neither sends nor receives. A packet for it is dropped as
   * "keypair-expired". Who keeps a keypair across calls into the device asks this before using its handles.
   */
  expired(now: number): boolean {
    return this.dropped || now - this.created >= REJECT_AFTER_TIME;
  }

  /** How many more packets it may seal. */
  get countersLeft(): number {
    return COUNTER_LIMIT - this.nextCounter;
  }
}
