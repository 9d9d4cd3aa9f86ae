/** What the WireGuard device asks of whoever owns sockets, buffers and AEAD contexts, and what it is told of them. */
import type { Peer } from "./peer.ts";

/**
 * Implemented by the data plane. Every method is called synchronously from within a call into the device or a peer,
 * after their state is whole again, so an implementation may call back into them.
 */
export interface WgEffects {
  /**
   * Sends an initiation or a response over the peer's current paths. A response carries the source of the initiation
   * it answers, which is authentic by then: a peer may be answered where it spoke from.
   * @param message Handed over; it is not used again.
   */
  sendHandshake(peer: Peer, message: Uint8Array, inReplyTo?: HandshakeSource): void;
  /** Sends a cookie reply to an address that is not yet proven: never move a peer there. @param message Handed over. */
  sendCookieReply(message: Uint8Array, source: HandshakeSource): void;
  /** Seals an empty packet with the peer's current keypair and sends it. */
  sendKeepalive(peer: Peer): void;
  /** A keypair for sending exists: flush what is staged. */
  keypairReady(peer: Peer): void;
  /** The handshake was given up: drop what is staged. New traffic asks again with `wantHandshake`. */
  handshakeFailed(peer: Peer): void;
  /** Makes an AEAD context. @param key 32 bytes, wiped by the caller as soon as this returns. */
  createKey(key: Uint8Array, use: "seal" | "open"): number;
  freeKey(handle: number): void;
}

/** Where a handshake message came from. */
export interface HandshakeSource {
  /** Opaque to WireGuard: an `AddrId`, or a DERP path. */
  readonly id: number;
  /** What a cookie is bound to: 16 address bytes and the port big-endian, or a DERP peer's key. */
  readonly bytes: Uint8Array;
  /** What the rate limit counts by: the address without its port. */
  readonly rateKey: string;
}
