/**
 * Bytes on their way into a stream, with a bound.
 *
 * One write is in flight at a time; what is queued meanwhile leaves together in the next, so that a busy relay makes
 * few large writes (few TLS records, few system calls) and an idle one makes each packet's at once.
 *
 * ```
 *   idle ── push ──▶ writing ── written, lanes empty ──▶ idle
 *                      │  ▲
 *                      └──┘ written, more queued
 * ```
 * Three lanes leave in this order: the protocol's own frames, disco packets, and all other packets. Disco has a lane of
 * its own so that a bulk transfer over the relay cannot keep two nodes from finding their direct path.
 */
import type { Duplex } from "node:stream";
import { FRAME_HEADER_LENGTH, KEY_LENGTH, writeFrameHeader } from "./frame.ts";
import { looksLikeDisco } from "./messages.ts";

/**
 * Most bytes of one write. Tailscale's relay keeps 32 packets a client and drops the oldest, so a burst that arrives at
 * once is lost in part: of 40 packets 16 to 23 % with writes of 256 KiB, 5 % with these, at the same throughput.
 */
const MAX_WRITE = 32_768;
/** Bytes of disco packets that may wait: some 500 pings. */
const MAX_DISCO_BYTES = 65_536;
/** Dropped places at the front of a lane before they are cut off. */
const COMPACT_AT = 256;

interface Packet {
  readonly type: number;
  readonly key: Uint8Array;
  readonly payload: Uint8Array;
}

function sizeOf(packet: Packet): number {
  return FRAME_HEADER_LENGTH + KEY_LENGTH + packet.payload.length;
}

/** What gives way when a packet does not fit. */
export type Overflow = "drop-newest" | "drop-oldest";

/** Packets in order, bounded by bytes. */
class Lane {
  readonly #maxBytes: number;
  readonly #overflow: Overflow;
  #packets: Packet[] = [];
  #first = 0;
  bytes = 0;

  constructor(maxBytes: number, overflow: Overflow) {
    this.#maxBytes = maxBytes;
    this.#overflow = overflow;
  }

  /** Takes the packet in and returns how many were dropped for it, itself included. */
  push(packet: Packet): { readonly kept: boolean; readonly dropped: number } {
    const size = sizeOf(packet);
    if (size > this.#maxBytes) return { kept: false, dropped: 1 };
    let dropped = 0;
    while (this.bytes + size > this.#maxBytes) {
      if (this.#overflow === "drop-newest") return { kept: false, dropped: 1 };
      this.#shift();
      dropped++;
    }
    this.#packets.push(packet);
    this.bytes += size;
    return { kept: true, dropped };
  }

  /** Removes packets from the front while their bytes fit into `room`; always at least one if `force`. */
  take(room: number, force: boolean, into: Packet[]): number {
    let taken = 0;
    while (this.#first < this.#packets.length) {
      const size = sizeOf(this.#packets[this.#first]);
      if (taken + size > room && !(force && taken === 0)) break;
      into.push(this.#shift());
      taken += size;
    }
    return taken;
  }

  clear(): void {
    this.#packets = [];
    this.#first = 0;
    this.bytes = 0;
  }

  #shift(): Packet {
    const packet = this.#packets[this.#first++];
    this.bytes -= sizeOf(packet);
    if (this.#first === this.#packets.length) this.clear();
    else if (this.#first >= COMPACT_AT) {
      this.#packets = this.#packets.slice(this.#first);
      this.#first = 0;
    }
    return packet;
  }
}

/** How a queue is bounded, and whom it tells. */
export interface SendQueueOptions {
  /** Bytes of packets (disco aside) that may wait, headers included; the write in flight does not count. */
  readonly maxBytes: number;
  readonly overflow: Overflow;
  /** `count` packets were dropped because the queue was full. */
  readonly dropped: (count: number) => void;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** Orders, bounds and batches the frames of one connection. The protocol's own frames are never dropped. */
export class SendQueue {
  readonly #duplex: Duplex;
  readonly #options: SendQueueOptions;
  readonly #disco = new Lane(MAX_DISCO_BYTES, "drop-oldest");
  readonly #data: Lane;
  #control: Uint8Array[] = [];
  #writingSince = -1;
  #closed = false;

  constructor(duplex: Duplex, options: SendQueueOptions) {
    this.#duplex = duplex;
    this.#options = options;
    this.#data = new Lane(options.maxBytes, options.overflow);
  }

  /** Bytes of packets that wait. */
  get queuedBytes(): number {
    return this.#disco.bytes + this.#data.bytes;
  }

  /** Frames of the protocol that wait; a peer that makes us answer faster than it reads is seen by this. */
  get queuedControl(): number {
    return this.#control.length;
  }

  /** Milliseconds the write in flight has been going on, 0 for none. */
  stalledMs(): number {
    return this.#writingSince < 0 ? 0 : this.#options.now() - this.#writingSince;
  }

  /** Queues a whole frame of the protocol itself. @param frame kept. */
  control(frame: Uint8Array): void {
    if (this.#closed) return;
    this.#control.push(frame);
    if (this.#writingSince < 0) this.#write();
  }

  /** Queues a packet; false when it was itself dropped. @param key 32 bytes, kept. @param payload kept. */
  packet(type: number, key: Uint8Array, payload: Uint8Array): boolean {
    if (this.#closed) return false;
    const lane = looksLikeDisco(payload) ? this.#disco : this.#data;
    const { kept, dropped } = lane.push({ type, key, payload });
    if (dropped > 0) this.#options.dropped(dropped);
    if (this.#writingSince < 0) this.#write();
    return kept;
  }

  /** Forgets all that waits. Nothing is written afterwards. */
  close(): void {
    this.#closed = true;
    this.#control = [];
    this.#disco.clear();
    this.#data.clear();
  }

  #write(): void {
    const batch = this.#batch();
    if (batch === undefined) {
      this.#writingSince = -1;
      return;
    }
    this.#writingSince = this.#options.now();
    this.#duplex.write(batch, () => {
      if (!this.#closed) this.#write();
    });
  }

  #batch(): Uint8Array | undefined {
    const control = this.#control;
    let length = 0;
    for (const frame of control) length += frame.length;
    const packets: Packet[] = [];
    length += this.#disco.take(MAX_WRITE - length, length === 0, packets);
    length += this.#data.take(MAX_WRITE - length, length === 0, packets);
    if (length === 0) return undefined;
    const out = new Uint8Array(length);
    let at = 0;
    for (const frame of control) {
      out.set(frame, at);
      at += frame.length;
    }
    this.#control = [];
    for (const packet of packets) {
      writeFrameHeader(out.subarray(at), packet.type, KEY_LENGTH + packet.payload.length);
      out.set(packet.key, at + FRAME_HEADER_LENGTH);
      out.set(packet.payload, at + FRAME_HEADER_LENGTH + KEY_LENGTH);
      at += sizeOf(packet);
    }
    return out;
  }
}
