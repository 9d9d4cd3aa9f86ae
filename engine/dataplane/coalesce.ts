/**
 * Joins consecutive packets of one TCP or UDP flow into a super-packet for one write to the TUN (generic receive offload).
 *
 * ```
 *   add(first) ──▶ run of 1 ──add(the next of its flow)──▶ run of n ──▶ flush: one writev
 *                     │                                      │
 *                     └──── anything else: flush, begin ◀────┘  a short packet or PSH closes the run
 * ```
 * TCP joins in sequence, where the TUN takes TSO; UDP in order of arrival, where it takes USO. Payloads stay where they
 * were opened; the write gathers them by iovec. A super-packet's checksum is recomputed by whoever cuts it again, so a
 * packet joins only when its own checksum was right: a peer that forwards a damaged packet must not have it made whole.
 */
import { fold, pseudoHeaderSum, storeWord, sumBytes } from "./checksum.ts";
import type { Kernels } from "./packet_kernels.ts";
import type { Layout } from "./layout.ts";
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VIRTIO_LENGTH } from "./virtio.ts";
import { PROTO } from "../packet.ts";
import type { Arena, TunPort } from "../ports.ts";

const ACK = 0x10;
const PSH = 0x08;
const UDP_HEADER = 8;
/**
 * A super-packet's IP length field has 16 bits. All of them are used: the sender's kernel cuts as long ones, and a limit
 * below would leave a segment over each time, for a write, a receive path and an acknowledgement of its own.
 */
const LARGEST = 65_535;
/** So that super-packets of small segments are not cut short; the kernel takes 1024 iovecs. */
const MOST_TCP_SEGMENTS = 128;
/** UDP_MAX_SEGMENTS of older kernels. */
const MOST_UDP_SEGMENTS = 64;

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
  readonly #iovecs = new Int32Array(2 * (MOST_TCP_SEGMENTS + 1));
  #segments = 0;
  /** The run may grow. */
  #open = false;
  /** The first packet's checksum was found right; looked at only when a second one comes. */
  #verified = false;
  #ip = 0;
  #version: 4 | 6 = 4;
  #protocol = 0;
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

  /** Takes the IP packet of `length` bytes at `ip`; `l4` is the offset of its TCP or UDP header, 0 when it has none. */
  add(ip: number, length: number, version: 4 | 6, protocol: number, l4: number): void {
    const { tso, uso } = this.#tun.offloads;
    if (l4 === (version === 4 ? 20 : 40)) {
      if (protocol === PROTO.TCP && tso && this.#addTcp(ip, length, version, l4)) return;
      if (protocol === PROTO.UDP && uso && this.#addUdp(ip, length, version, l4)) return;
    }
    this.flush();
    this.#begin(ip, length, version, protocol, l4, 0, 0);
    this.flush();
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

  /** False for what never joins: other flags than ACK and PSH, or no payload. */
  #addTcp(ip: number, length: number, version: 4 | 6, l4: number): boolean {
    const { u8, view } = this.#arena;
    const headers = l4 + (u8[ip + l4 + 12] >> 4) * 4;
    const payload = length - headers;
    const flags = u8[ip + l4 + 13];
    if (headers < l4 + 20 || payload <= 0 || (flags & ~PSH) !== ACK) return false;
    const sequence = view.getUint32(ip + l4 + 4);
    if (
      sequence === this.#nextSequence && this.#hasRoom(version, PROTO.TCP, headers, payload, MOST_TCP_SEGMENTS) &&
      this.#firstVerified() && this.#kernels.joinsTcp(this.#ip, ip, version, l4, headers, length)
    ) {
      this.#append(ip + headers, payload);
      this.#push |= flags & PSH;
    } else {
      this.flush();
      this.#begin(ip, length, version, PROTO.TCP, l4, headers, payload);
      this.#open = true;
    }
    this.#nextSequence = (sequence + payload) >>> 0;
    if ((flags & PSH) !== 0) this.#open = false;
    return true;
  }

  /** False for what never joins: no payload, no checksum, or a length field that says otherwise. */
  #addUdp(ip: number, length: number, version: 4 | 6, l4: number): boolean {
    const { view } = this.#arena;
    const headers = l4 + UDP_HEADER;
    const payload = length - headers;
    if (payload <= 0 || view.getUint16(ip + l4 + 4) !== length - l4 || view.getUint16(ip + l4 + 6) === 0) return false;
    if (
      this.#hasRoom(version, PROTO.UDP, headers, payload, MOST_UDP_SEGMENTS) && this.#firstVerified() &&
      this.#kernels.joinsUdp(this.#ip, ip, version, l4, length)
    ) {
      this.#append(ip + headers, payload);
    } else {
      this.flush();
      this.#begin(ip, length, version, PROTO.UDP, l4, headers, payload);
      this.#open = true;
    }
    return true;
  }

  /** True when the run is of this kind and can take `payload` bytes more. */
  #hasRoom(version: 4 | 6, protocol: number, headers: number, payload: number, most: number): boolean {
    return this.#open && version === this.#version && protocol === this.#protocol && headers === this.#headers &&
      payload <= this.#segmentSize && this.#length + payload <= LARGEST && this.#segments < most;
  }

  #firstVerified(): boolean {
    this.#verified ||= this.#kernels.checksumValid(
      this.#ip,
      this.#version,
      this.#protocol,
      this.#l4,
      this.#headers + this.#segmentSize,
    );
    return this.#verified;
  }

  #begin(
    ip: number,
    length: number,
    version: 4 | 6,
    protocol: number,
    l4: number,
    headers: number,
    payload: number,
  ): void {
    this.#ip = ip;
    this.#version = version;
    this.#protocol = protocol;
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
    // Only the last segment may be shorter.
    if (length < this.#segmentSize) this.#open = false;
  }

  #finishSuperPacket(): void {
    const arena = this.#arena;
    const { u8, view } = arena;
    const ip = this.#ip;
    const transport = ip + this.#l4;
    const body = this.#length - this.#l4;
    if (this.#version === 4) {
      view.setUint16(ip + 2, this.#length);
      storeWord(arena, ip + 10, 0);
      storeWord(arena, ip + 10, ~sumBytes(arena, ip, this.#l4) & 0xffff);
    } else {
      view.setUint16(ip + 4, this.#length - 40);
    }
    const tcp = this.#protocol === PROTO.TCP;
    if (tcp) u8[transport + 13] |= this.#push;
    else view.setUint16(transport + 4, body);
    const field = tcp ? 16 : 6;
    storeWord(arena, transport + field, fold(pseudoHeaderSum(arena, ip, this.#version, this.#protocol, body)));
    const header = this.#header;
    u8[header] = NEEDS_CSUM;
    u8[header + 1] = !tcp ? GSO_UDP_L4 : this.#version === 4 ? GSO_TCPV4 : GSO_TCPV6;
    view.setUint16(header + 2, this.#headers, true);
    view.setUint16(header + 4, this.#segmentSize, true);
    view.setUint16(header + 6, this.#l4, true);
    view.setUint16(header + 8, field, true);
  }
}
