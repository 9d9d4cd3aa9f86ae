/**
 * The sending end of the data path: sealed packets gather in the transmit buffer, runs of equal ones for one path
 * become one UDP_SEGMENT group, groups leave with one system call.
 *
 * ```
 *   place(room) ─ caller writes and seals ─▶ commit(peer, bytes) ─▶ group ─▶ socket queue ─▶ flush: sendmmsg
 *                                                                      └──▶ relay ring (DERP)
 * ```
 * Through a peer relay each packet has the header of its session in front; what DERP gets of it has not.
 * Buffers belong to the sockets until `flush`; the cursor goes back to the start only then.
 */
import type { DropCounters } from "../../base/drops.ts";
import { GENEVE_LENGTH, writeGeneveData } from "../geneve.ts";
import type { AddrId, AddrTable, AeadHelpers, Arena, UdpPort } from "../ports.ts";
import type { PathCounters } from "./counters.ts";
import { GROUP_BYTES, GROUP_SEGMENTS } from "./layout.ts";
import type { Layout } from "./layout.ts";
import type { PlanePeer } from "./plane_peer.ts";

/** Takes packets for a relay. False: no room, the packet is lost. */
export type RelaySend = (region: number, peer: Uint8Array, payload: Uint8Array) => boolean;

/** What a sender works with. `sockets` may be replaced while it lives. */
export interface SenderOptions {
  readonly arena: Arena;
  readonly layout: Layout;
  readonly addrs: AddrTable;
  /** Who may still be sealing what is committed. */
  readonly helpers: AeadHelpers | undefined;
  readonly relay: RelaySend;
  /** The kernel knows no way to an address that something was sent to. */
  readonly unreachable: (addr: AddrId) => void;
  readonly drops: DropCounters;
  readonly paths: PathCounters;
}

/** Groups and sends what is placed in the transmit buffer. */
export class Sender {
  readonly #arena: Arena;
  readonly #addrs: AddrTable;
  readonly #helpers: AeadHelpers | undefined;
  readonly #relay: RelaySend;
  readonly #unreachable: (addr: AddrId) => void;
  readonly #drops: DropCounters;
  readonly #paths: PathCounters;
  readonly #start: number;
  readonly #end: number;
  #udp4: UdpPort | undefined;
  #udp6: UdpPort | undefined;
  #cursor: number;
  #pending = false;
  #groupPeer: PlanePeer | undefined;
  /** Its path when the group began: it may change before the group ends. */
  #groupAddr: AddrId = 0;
  #groupVni = 0;
  #groupDerp = 0;
  #groupStart = 0;
  #groupLength = 0;
  #groupSegment = 0;
  #groupCount = 0;

  constructor({ arena, layout, addrs, helpers, relay, unreachable, drops, paths }: SenderOptions) {
    this.#arena = arena;
    this.#addrs = addrs;
    this.#helpers = helpers;
    this.#relay = relay;
    this.#unreachable = unreachable;
    this.#drops = drops;
    this.#paths = paths;
    this.#start = layout.tx;
    this.#end = layout.txEnd;
    this.#cursor = layout.tx;
  }

  useSockets(udp4: UdpPort | undefined, udp6: UdpPort | undefined): void {
    this.#udp4 = udp4;
    this.#udp6 = udp6;
  }

  /** Bytes placed since the last flush, so that a turn can be kept short. */
  get filled(): number {
    return this.#cursor - this.#start;
  }

  /** A 4-byte aligned offset with `room` bytes behind it; flushes when the buffer is full. */
  place(room: number): number {
    const at = (this.#cursor + 3) & ~3;
    if (at + room <= this.#end) return at;
    this.flush();
    return this.#cursor;
  }

  /** Bytes behind the place last given, itself included. */
  get room(): number {
    return this.#end - ((this.#cursor + 3) & ~3);
  }

  /**
   * Takes over the sealed packet of `length` bytes that was placed at `start`, with `peer.headroom` bytes free in front
   * of it, to go where the peer's path says.
   */
  commit(peer: PlanePeer, start: number, length: number): void {
    peer.txBytes += length;
    let at = start;
    let bytes = length;
    if (peer.headroom !== 0) {
      at -= peer.headroom;
      bytes += peer.headroom;
      writeGeneveData(this.#arena.u8, at, peer.vni);
    }
    this.#cursor = at + bytes;
    if (
      peer === this.#groupPeer && peer.addr === this.#groupAddr && peer.vni === this.#groupVni &&
      peer.derp === this.#groupDerp && at === this.#groupStart + this.#groupLength && bytes <= this.#groupSegment &&
      this.#groupLength + bytes <= GROUP_BYTES && this.#groupCount < GROUP_SEGMENTS
    ) {
      this.#groupLength += bytes;
      this.#groupCount++;
      // Only the last datagram of a group may be shorter.
      if (bytes < this.#groupSegment) this.#endGroup();
      return;
    }
    this.#endGroup();
    this.#groupPeer = peer;
    this.#groupAddr = peer.addr;
    this.#groupVni = peer.vni;
    this.#groupDerp = peer.derp;
    this.#groupStart = at;
    this.#groupLength = bytes;
    this.#groupSegment = bytes;
    this.#groupCount = 1;
  }

  #endGroup(): void {
    const peer = this.#groupPeer;
    if (peer === undefined) return;
    this.#groupPeer = undefined;
    const addr = this.#groupAddr;
    const derp = this.#groupDerp;
    if (addr !== 0) {
      const relayed = this.#groupVni !== 0;
      this.#queue(addr, this.#groupStart, this.#groupLength, this.#groupSegment, this.#groupCount, relayed);
    }
    if (derp !== 0) this.#relayGroup(derp, peer.keyBytes, this.#groupVni === 0 ? 0 : GENEVE_LENGTH);
    if (addr === 0 && derp === 0) this.#drops.count("no-path");
  }

  #queue(to: AddrId, start: number, length: number, segment: number, count: number, relayed: boolean): void {
    const family = this.#addrs.family(to);
    const socket = family === 4 ? this.#udp4 : this.#udp6;
    if (socket === undefined) {
      this.#drops.count("no-path");
      return;
    }
    if (!socket.queue(to, start, length, segment)) {
      this.#flushSocket(socket);
      if (!socket.queue(to, start, length, segment)) {
        this.#drops.count("send-failed");
        return;
      }
    }
    this.#pending = true;
    const path = this.#paths.udp(family, relayed);
    path.txPackets += count;
    path.txBytes += length;
  }

  /** @param headroom bytes in front of each packet that DERP does not need */
  #relayGroup(region: number, peer: Uint8Array, headroom: number): void {
    this.#helpers?.settle();
    const end = this.#groupStart + this.#groupLength;
    for (let at = this.#groupStart; at < end; at += this.#groupSegment) {
      const bytes = Math.min(this.#groupSegment, end - at);
      this.sendDerp(region, peer, this.#arena.u8.subarray(at + headroom, at + bytes));
    }
  }

  /** One datagram outside the data path (disco, handshake, STUN), header and all; the payload is copied. */
  sendUdp(to: AddrId, payload: Uint8Array, relayed = false): void {
    this.#endGroup();
    const at = this.place(payload.length);
    this.#arena.u8.set(payload, at);
    this.#cursor = at + payload.length;
    this.#queue(to, at, payload.length, payload.length, 1, relayed);
  }

  /** One datagram by relay; the payload is copied. */
  sendDerp(region: number, peer: Uint8Array, payload: Uint8Array): void {
    if (!this.#relay(region, peer, payload)) {
      this.#drops.count("derp-queue");
      return;
    }
    this.#paths.derp.txPackets++;
    this.#paths.derp.txBytes += payload.length;
  }

  /** Everything leaves now. */
  flush(): void {
    this.#endGroup();
    if (this.#pending) {
      this.#pending = false;
      if (this.#udp4 !== undefined) this.#flushSocket(this.#udp4);
      if (this.#udp6 !== undefined) this.#flushSocket(this.#udp6);
    }
    this.#cursor = this.#start;
  }

  #flushSocket(socket: UdpPort): void {
    this.#helpers?.settle();
    const failed = socket.flush();
    if (failed === 0) return;
    for (let i = 0; i < failed; i++) this.#drops.count("send-failed");
    if (socket.unreachable !== 0) this.#unreachable(socket.unreachable);
  }
}
