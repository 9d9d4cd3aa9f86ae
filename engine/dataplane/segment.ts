/**
 * Cuts a super-packet from the TUN into the packets the kernel meant (TSO, USO), each placed where it will be sealed.
 *
 * The kernel hands over one set of headers and up to 64 KiB of payload with the size of each segment. Every segment
 * gets the headers with its own lengths, IPv4 identification, TCP sequence number and flags, and a whole checksum
 * (RFC 9293 3.7.1 for what changes; Linux `tcp_gso_segment` for FIN, PSH on the last and CWR on the first).
 */
import { fold, pseudoHeaderSum, storeWord, sumBytes } from "./checksum.ts";
import type { Arena } from "../ports.ts";
import type { Kernels } from "./packet_kernels.ts";
import { GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VIRTIO_LENGTH } from "./virtio.ts";

const TCP = 6;
const UDP = 17;
const FIN_PSH = 0x09;
const CWR = 0x80;

/** A super-packet in the arena, its geometry checked. Reused from packet to packet. */
export class SuperPacket {
  /** Offset of the IP header. */
  ip = 0;
  /** Bytes of the whole packet. */
  length = 0;
  version: 4 | 6 = 4;
  tcp = false;
  /** From the IP header to the TCP or UDP header. */
  l4 = 0;
  /** Bytes of all headers. */
  headers = 0;
  /** Payload bytes of each segment. */
  size = 0;
  /** How many packets it becomes. */
  count = 0;
}

/**
 * Reads the geometry behind the virtio header at `offset`, `bytes` long with it. False when it makes no sense: the
 * kernel would never say so, a confused one must not make us write outside a buffer.
 */
export function describe(arena: Arena, offset: number, bytes: number, out: SuperPacket): boolean {
  const { u8, view } = arena;
  const gsoType = u8[offset + 1] & ~GSO_ECN;
  const ip = offset + VIRTIO_LENGTH;
  const length = bytes - VIRTIO_LENGTH;
  if (gsoType !== GSO_TCPV4 && gsoType !== GSO_TCPV6 && gsoType !== GSO_UDP_L4) return false;
  const l4 = view.getUint16(offset + 6, true);
  const size = view.getUint16(offset + 4, true);
  const version = u8[ip] >> 4;
  const tcp = gsoType !== GSO_UDP_L4;
  if ((version !== 4 && version !== 6) || l4 < (version === 4 ? 20 : 40)) return false;
  if (l4 + (tcp ? 20 : 8) > length) return false;
  const headers = l4 + (tcp ? (u8[ip + l4 + 12] >> 4) * 4 : 8);
  if (headers < l4 + (tcp ? 20 : 8) || headers >= length || size === 0) return false;
  out.ip = ip;
  out.length = length;
  out.version = version;
  out.tcp = tcp;
  out.l4 = l4;
  out.headers = headers;
  out.size = size;
  out.count = Math.ceil((length - headers) / size);
  return true;
}

/** Writes segment `index` of `packet` to `to`. Returns its length. The data path does it by `Kernels.writeSegments`. */
export function writeSegment(arena: Arena, packet: SuperPacket, index: number, to: number): number {
  const { u8, view } = arena;
  const { ip, l4, headers, size, version } = packet;
  const from = headers + index * size;
  const payload = Math.min(size, packet.length - from);
  const total = headers + payload;
  u8.copyWithin(to, ip, ip + headers);
  u8.copyWithin(to + headers, ip + from, ip + from + payload);
  if (version === 4) {
    view.setUint16(to + 2, total);
    view.setUint16(to + 4, (view.getUint16(to + 4) + index) & 0xffff);
    storeWord(arena, to + 10, 0);
    storeWord(arena, to + 10, ~sumBytes(arena, to, l4) & 0xffff);
  } else {
    view.setUint16(to + 4, total - 40);
  }
  const body = total - l4;
  const checksum = to + l4 + (packet.tcp ? 16 : 6);
  if (packet.tcp) {
    view.setUint32(to + l4 + 4, (view.getUint32(to + l4 + 4) + index * size) >>> 0);
    if (index > 0) u8[to + l4 + 13] &= ~CWR;
    if (index < packet.count - 1) u8[to + l4 + 13] &= ~FIN_PSH;
  } else {
    view.setUint16(to + l4 + 4, body);
  }
  storeWord(arena, checksum, 0);
  const sum = fold(
    pseudoHeaderSum(arena, to, version, packet.tcp ? TCP : UDP, body) + sumBytes(arena, to + l4, body),
  );
  // RFC 768: a computed zero is sent as all ones. Harmless for TCP, where both mean the same.
  storeWord(arena, checksum, (~sum & 0xffff) || 0xffff);
  return total;
}

/**
 * Completes a checksum the kernel left to us (NEEDS_CSUM). The field holds the pseudo-header sum; false when its
 * place lies outside the packet.
 */
export function completeChecksum(
  arena: Arena,
  kernels: Kernels,
  virtio: number,
  ip: number,
  length: number,
): boolean {
  if ((arena.u8[virtio] & NEEDS_CSUM) === 0) return true;
  const start = arena.view.getUint16(virtio + 6, true);
  const field = start + arena.view.getUint16(virtio + 8, true);
  if (field + 2 > length) return false;
  const sum = kernels.sumBytes(ip + start, length - start);
  storeWord(arena, ip + field, (~sum & 0xffff) || 0xffff);
  return true;
}

/** True when the TCP or UDP checksum of the packet at `ip` is right. `l4` is from its IP header to the other. */
export function checksumValid(
  arena: Arena,
  ip: number,
  version: 4 | 6,
  protocol: number,
  l4: number,
  length: number,
): boolean {
  const body = length - l4;
  return fold(pseudoHeaderSum(arena, ip, version, protocol, body) + sumBytes(arena, ip + l4, body)) === 0xffff;
}
