/**
 * What kind of datagram this is, by its first bytes alone.
 *
 * ```
 * STUN       00xxxxxx 01 ?? ?? 21 12 a4 42 …      a Binding message (RFC 8489 5), 20 bytes and more
 * disco      54 53 f0 9f 92 ac, 32 B sender key …  "TS💬"
 * WireGuard  01..04 00 00 00 …                     the type and three zeros
 * Geneve     00xxxxxx xx000000 7a 11|12 …          relayed disco or WireGuard (RFC 8926): ../geneve.ts, first
 * ```
 *
 * Source: tailscale.com/wgengine/magicsock `packetLooksLike`, tailscale.com/net/packet `GeneveHeader`.
 */

export type DatagramClass = "stun" | "disco" | "wireguard" | "unknown";

/** "TS💬", how a disco message begins. */
export const DISCO_MAGIC: Uint8Array<ArrayBuffer> = Uint8Array.of(0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac);

const DISCO_MIN = 6 + 32;
const STUN_HEADER = 20;

/** Classifies `length` bytes at `offset`; everything else, and what a Geneve header is in front of, is "unknown". */
export function classify(u8: Uint8Array, offset: number, length: number): DatagramClass {
  if (length < 4) return "unknown";
  const first = u8[offset];
  if (first >= 1 && first <= 4 && (u8[offset + 1] | u8[offset + 2] | u8[offset + 3]) === 0) return "wireguard";
  if (isDisco(u8, offset, length)) return "disco";
  return isStunBinding(u8, offset, length) ? "stun" : "unknown";
}

/** True for the magic with room for a sender's key behind it. */
export function isDisco(u8: Uint8Array, offset: number, length: number): boolean {
  return length >= DISCO_MIN && DISCO_MAGIC.every((byte, i) => u8[offset + i] === byte);
}

function isStunBinding(u8: Uint8Array, offset: number, length: number): boolean {
  return length >= STUN_HEADER && (u8[offset] & 0xc0) === 0 && u8[offset + 1] === 0x01 &&
    u8[offset + 4] === 0x21 && u8[offset + 5] === 0x12 && u8[offset + 6] === 0xa4 && u8[offset + 7] === 0x42;
}
