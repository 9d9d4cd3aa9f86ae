/**
 * Joins consecutive segments of one TCP flow into a super-packet for one write to the TUN (generic receive offload).
 *
 * ```
 *   add(first) ──▶ run of 1 ──add(next in sequence, same headers)──▶ run of n ──▶ flush: one writev
 *                     │                                                │
 *                     └──────── anything else: flush, begin anew ◀─────┘  short or PSH segment closes the run
 * ```
 * Payloads stay where they were opened; the write gathers them by iovec. A super-packet's checksum is recomputed by
 * whoever segments it again, so a segment joins only when its own checksum was right: a peer that forwards a damaged
 * packet must not have it made whole.
 */
import { fold, pseudoHeaderSum, storeWord, sumBytes } from "./checksum.ts";
import type { Kernels } from "./packet_kernels.ts";
import type { Layout } from "./layout.ts";
import { GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, VIRTIO_LENGTH } from "./virtio.ts";
import type { Arena, TunPort } from "../ports.ts";

const TCP = 6;
const ACK = 0x10;
const PSH = 0x08;
/**
 * A super-packet's IP length field has 16 bits. All of them are used: the sender's kernel cuts as long ones, and a limit
 * below would leave a segment over each time, for a write, a receive path and an acknowledgement of its own.
 */
const LARGEST = 65_535;
/** So that super-packets of small segments are not cut short; the kernel takes 1024 iovecs. */
const MOST_SEGMENTS = 128;

/** What the coalescer tells: how many writes failed. */
export interface TunWriteCounter {
  tunWriteFailed(error: number): void;
}

/** Collects packets for the TUN in order; nothing overtakes. The packets must stay in place until `flush`. */
export class Coalescer {
  readonly #arena: Arena;
  readonly #kernels: Kernels;
  readonly #tun: TunPort;
  readonly #header: number;
  readonly #counter: TunWriteCounter;
  /** Pairs of offset and length; the first pair is the virtio header. */
  readonly #iovecs = new Int32Array(2 * (MOST_SEGMENTS + 2));
  #segments = 0;
  #open = false;
  #verified = false;
  #ip = 0;
  #version: 4 | 6 = 4;
  #l4 = 0;
  #headers = 0;
  #length = 0;
  #segmentSize = 0;
  #nextSequence = 0;
  #push = 0;

  constructor(arena: Arena, kernels: Kernels, tun: TunPort, layout: Layout, counter: TunWriteCounter) {
    this.#arena = arena;
    this.#kernels = kernels;
    this.#tun = tun;
    this.#header = layout.tunWriteHeader;
    this.#counter = counter;
    this.#iovecs[0] = this.#header;
    this.#iovecs[1] = VIRTIO_LENGTH;
  }

  /** Takes the IP packet of `length` bytes at `ip`; `l4` is the offset of its TCP header, 0 when it has none. */
  add(ip: number, length: number, version: 4 | 6, protocol: number, l4: number): void {
    const candidate = protocol === TCP && this.#tun.offloads.tso && l4 === (version === 4 ? 20 : 40);
    if (!candidate) {
      this.flush();
      this.#begin(ip, length, version, l4, 0, 0);
      this.flush();
      return;
    }
    const { u8, view } = this.#arena;
    const headers = l4 + (u8[ip + l4 + 12] >> 4) * 4;
    const payload = length - headers;
    const flags = u8[ip + l4 + 13];
    if (headers < l4 + 20 || payload <= 0 || (flags & ~PSH) !== ACK) {
      this.flush();
      this.#begin(ip, length, version, l4, headers, 0);
      this.flush();
      return;
    }
    const sequence = view.getUint32(ip + l4 + 4);
    if (this.#joins(ip, length, version, headers, payload, sequence)) {
      this.#append(ip + headers, payload);
      this.#nextSequence = (sequence + payload) >>> 0;
      this.#push |= flags & PSH;
      if (payload < this.#segmentSize || (flags & PSH) !== 0) this.#open = false;
      return;
    }
    this.flush();
    this.#begin(ip, length, version, l4, headers, payload);
    this.#nextSequence = (sequence + payload) >>> 0;
    this.#open = (flags & PSH) === 0;
  }

  /** Writes what is collected. */
  flush(): void {
    if (this.#segments === 0) return;
    this.#arena.u8.fill(0, this.#header, this.#header + VIRTIO_LENGTH);
    if (this.#segments > 1) this.#finishSuperPacket();
    const written = this.#tun.writev(this.#iovecs, this.#segments + 1);
    if (written < 0) this.#counter.tunWriteFailed(written);
    this.#segments = 0;
    this.#open = false;
  }

  #begin(ip: number, length: number, version: 4 | 6, l4: number, headers: number, payload: number): void {
    this.#ip = ip;
    this.#version = version;
    this.#l4 = l4;
    this.#headers = headers;
    this.#length = length;
    this.#segmentSize = payload;
    this.#push = 0;
    this.#open = false;
    this.#verified = false;
    this.#segments = 1;
    this.#iovecs[2] = ip;
    this.#iovecs[3] = length;
  }

  #append(offset: number, length: number): void {
    const at = 2 * (this.#segments + 1);
    this.#iovecs[at] = offset;
    this.#iovecs[at + 1] = length;
    this.#segments++;
    this.#length += length;
  }

  #joins(ip: number, length: number, version: 4 | 6, headers: number, payload: number, sequence: number): boolean {
    if (
      !this.#open || sequence !== this.#nextSequence || version !== this.#version || headers !== this.#headers ||
      payload > this.#segmentSize || this.#length + payload > LARGEST || this.#segments >= MOST_SEGMENTS
    ) return false;
    if (!this.#verified) {
      const first = this.#headers + this.#segmentSize;
      if (!this.#kernels.tcpChecksumValid(this.#ip, version, this.#l4, first)) return false;
      this.#verified = true;
    }
    return this.#kernels.joins(this.#ip, ip, version, this.#l4, headers, length);
  }

  #finishSuperPacket(): void {
    const arena = this.#arena;
    const { u8, view } = arena;
    const ip = this.#ip;
    if (this.#version === 4) {
      view.setUint16(ip + 2, this.#length);
      storeWord(arena, ip + 10, 0);
      storeWord(arena, ip + 10, ~sumBytes(arena, ip, this.#l4) & 0xffff);
    } else {
      view.setUint16(ip + 4, this.#length - 40);
    }
    u8[ip + this.#l4 + 13] |= this.#push;
    const body = this.#length - this.#l4;
    storeWord(arena, ip + this.#l4 + 16, fold(pseudoHeaderSum(arena, ip, this.#version, TCP, body)));
    const header = this.#header;
    u8[header] = NEEDS_CSUM;
    u8[header + 1] = this.#version === 4 ? GSO_TCPV4 : GSO_TCPV6;
    view.setUint16(header + 2, this.#headers, true);
    view.setUint16(header + 4, this.#segmentSize, true);
    view.setUint16(header + 6, this.#l4, true);
    view.setUint16(header + 8, 16, true);
  }
}
