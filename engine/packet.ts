/**
 * Reads what the filter and the router need from an IP packet, without allocating and without trusting a byte of it.
 *
 * ```
 * IPv4  version:4 ihl:4 | tos | total length:16 | id:16 | flags:3 fragment offset:13 | ttl | protocol | checksum:16 | src:32 | dst:32 | options
 * IPv6  version:4 class:8 flow:20 | payload length:16 | next header | hop limit | src:128 | dst:128
 *       [fragment header: next | 0 | offset:13 0:2 more:1 | id:32]
 * ```
 *
 * As in Tailscale, the Fragment header right behind the IPv6 header is the only extension header that is stepped over;
 * any other stays as the packet's protocol, which only a rule that names it and opens all ports admits. Protocol 0 (IPv6
 * hop-by-hop) and 255 are refused, as is a first fragment too short for its transport header and a later one that
 * could overwrite it (RFC 1858).
 *
 * Source: RFC 791, RFC 8200; tailscale.com/net/packet `Parsed.Decode`.
 */
import type { Drop } from "../base/drops.ts";

/** IP protocol numbers the engine knows by name (IANA); TSMP is Tailscale's own message protocol. */
export const PROTO = {
  ICMP4: 1,
  IGMP: 2,
  TCP: 6,
  UDP: 17,
  ICMP6: 58,
  TSMP: 99,
  SCTP: 132,
} as const;

/** TCP flag bits, `Packet.tcpFlags`. */
export const TCP_SYN = 0x02;
export const TCP_ACK = 0x10;

const IP4_HEADER = 20;
const IP6_HEADER = 40;
const IP6_FRAGMENT = 44;
const IP6_FRAGMENT_HEADER = 8;
/** Lowest offset, in 8-byte blocks, of a later fragment: behind the longest IPv4 header and a TCP header. */
const MIN_FRAGMENT_BLOCKS = (60 + 20) >> 3;

/** What `parsePacket` found; one object is reused for all packets. Addresses are unsigned 32-bit words in host order. */
export class Packet {
  version: 0 | 4 | 6 = 0;
  /** IP protocol of the transport header; of a later fragment, what its header says. */
  protocol = 0;
  /** IPv4 uses the first word only, and leaves the others 0. */
  src0 = 0;
  src1 = 0;
  src2 = 0;
  src3 = 0;
  dst0 = 0;
  dst1 = 0;
  dst2 = 0;
  dst3 = 0;
  /** TCP, UDP and SCTP; 0 otherwise. */
  srcPort = 0;
  dstPort = 0;
  /** TCP's flag byte, 0 otherwise. */
  tcpFlags = 0;
  /** ICMP of 8 bytes and more; -1 otherwise. */
  icmpType = -1;
  icmpCode = -1;
  /** Bytes of the whole IP packet as its header says; padding behind it is not counted. */
  length = 0;
  /** Offset of the transport header from the start of the packet. */
  l4 = 0;
  /** "first" has its transport header and more to come; "later" has none. */
  fragment: "none" | "first" | "later" = "none";
}

/**
 * Reads the packet of at most `length` bytes at `offset` into `out`. Never throws for what the bytes say.
 *
 * @param view over the same memory as `u8`
 * @returns undefined when all fields of `out` are valid; otherwise the reason to drop it, and `out` is then garbage:
 *   `too-short`, `inner-malformed`, `inner-length` (the header promises more than `length`) or `filter-fragment`.
 */
export function parsePacket(
  u8: Uint8Array,
  view: DataView,
  offset: number,
  length: number,
  out: Packet,
): Drop | undefined {
  if (length < IP4_HEADER) return "too-short";
  out.srcPort = out.dstPort = out.tcpFlags = 0;
  out.icmpType = out.icmpCode = -1;
  out.fragment = "none";
  const version = u8[offset] >> 4;
  if (version === 4) return parse4(u8, view, offset, length, out);
  if (version === 6) return parse6(u8, view, offset, length, out);
  return "inner-malformed";
}

function parse4(u8: Uint8Array, view: DataView, offset: number, length: number, out: Packet): Drop | undefined {
  const header = (u8[offset] & 15) << 2;
  const total = view.getUint16(offset + 2);
  if (total > length) return "inner-length";
  if (header < IP4_HEADER || header > total) return "inner-malformed";
  out.version = 4;
  out.length = total;
  out.l4 = header;
  out.protocol = u8[offset + 9];
  out.src0 = view.getUint32(offset + 12);
  out.dst0 = view.getUint32(offset + 16);
  out.src1 =
    out.src2 =
    out.src3 =
    out.dst1 =
    out.dst2 =
    out.dst3 =
      0;
  const flags = view.getUint16(offset + 6);
  return parseFragment(u8, view, offset, flags & 0x1fff, (flags & 0x2000) !== 0, out);
}

function parse6(u8: Uint8Array, view: DataView, offset: number, length: number, out: Packet): Drop | undefined {
  if (length < IP6_HEADER) return "too-short";
  const total = IP6_HEADER + view.getUint16(offset + 4);
  if (total > length) return "inner-length";
  out.version = 6;
  out.length = total;
  out.l4 = IP6_HEADER;
  out.protocol = u8[offset + 6];
  out.src0 = view.getUint32(offset + 8);
  out.src1 = view.getUint32(offset + 12);
  out.src2 = view.getUint32(offset + 16);
  out.src3 = view.getUint32(offset + 20);
  out.dst0 = view.getUint32(offset + 24);
  out.dst1 = view.getUint32(offset + 28);
  out.dst2 = view.getUint32(offset + 32);
  out.dst3 = view.getUint32(offset + 36);
  if (out.protocol !== IP6_FRAGMENT) return parseTransport(u8, view, offset, out);
  if (total < IP6_HEADER + IP6_FRAGMENT_HEADER) return "inner-malformed";
  out.protocol = u8[offset + IP6_HEADER];
  out.l4 = IP6_HEADER + IP6_FRAGMENT_HEADER;
  const flags = view.getUint16(offset + IP6_HEADER + 2);
  return parseFragment(u8, view, offset, flags >> 3, (flags & 1) !== 0, out);
}

function parseFragment(
  u8: Uint8Array,
  view: DataView,
  offset: number,
  blocks: number,
  more: boolean,
  out: Packet,
): Drop | undefined {
  if (blocks === 0) {
    if (more) out.fragment = "first";
    return parseTransport(u8, view, offset, out);
  }
  if (blocks < MIN_FRAGMENT_BLOCKS) return "filter-fragment";
  out.fragment = "later";
  return undefined;
}

/** A transport header that is not wholly there is never guessed at: ports in the next fragment could be anything. */
function parseTransport(u8: Uint8Array, view: DataView, offset: number, out: Packet): Drop | undefined {
  const room = out.length - out.l4;
  const at = offset + out.l4;
  const short = out.fragment === "first" ? "filter-fragment" : "inner-malformed";
  switch (out.protocol) {
    case PROTO.TCP:
      if (room < 20) return short;
      out.tcpFlags = u8[at + 13];
      break;
    case PROTO.UDP:
      if (room < 8) return short;
      break;
    case PROTO.SCTP:
      if (room < 12) return short;
      break;
    case PROTO.ICMP4:
      if (out.version === 4 && room < 4) return short;
      setIcmp(u8, at, room, out);
      return undefined;
    case PROTO.ICMP6:
      if (out.version === 6 && room < 4) return short;
      setIcmp(u8, at, room, out);
      return undefined;
    case PROTO.IGMP:
      return out.version === 4 && room < 8 ? short : undefined;
    case PROTO.TSMP:
      // Never fragmented: the filter admits all of TSMP unseen.
      if (out.fragment !== "none") return "filter-fragment";
      return room < 7 ? short : undefined;
    case 0:
    case 255:
      return "inner-malformed";
    default:
      return undefined;
  }
  out.srcPort = view.getUint16(at);
  out.dstPort = view.getUint16(at + 2);
  return undefined;
}

function setIcmp(u8: Uint8Array, at: number, room: number, out: Packet): void {
  if (room < 8) return;
  out.icmpType = u8[at];
  out.icmpCode = u8[at + 1];
}
