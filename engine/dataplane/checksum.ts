/**
 * The Internet checksum (RFC 1071) over the arena.
 *
 * Sums are of 16-bit words in the host's little-endian order: a ones' complement sum does not care about byte order
 * as long as it is loaded and stored the same way, and word loads are what makes it fast.
 */
import type { Arena } from "../ports.ts";

/** Folds a sum to 16 bits. Exact for sums below 2^48. */
export function fold(sum: number): number {
  sum = (sum % 0x100000000) + Math.floor(sum / 0x100000000);
  sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** A host-order 16-bit number as it counts in a little-endian word sum. */
export function networkWord(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
}

/** The folded sum of `length` bytes at `offset`; an odd last byte counts as if a zero followed. */
export function sumBytes(arena: Arena, offset: number, length: number): number {
  let sum = 0;
  let at = offset;
  let left = length;
  if ((at & 3) === 0) {
    const words = arena.u32;
    const end = (at >> 2) + (left >> 2);
    for (let i = at >> 2; i < end; i++) sum += words[i];
    at += left & ~3;
    left &= 3;
  } else if ((at & 1) === 0) {
    const words = arena.u16;
    const end = (at >> 1) + (left >> 1);
    for (let i = at >> 1; i < end; i++) sum += words[i];
    at += left & ~1;
    left &= 1;
  }
  const bytes = arena.u8;
  for (; left > 1; at += 2, left -= 2) sum += bytes[at] | (bytes[at + 1] << 8);
  if (left === 1) sum += bytes[at];
  return fold(sum);
}

/** Stores a 16-bit value in the order `sumBytes` sums in. */
export function storeWord(arena: Arena, offset: number, value: number): void {
  arena.u8[offset] = value & 0xff;
  arena.u8[offset + 1] = value >>> 8;
}

/**
 * The folded sum of the pseudo-header of RFC 9293 3.1 and RFC 8200 8.1 for the IP packet at `offset`: both addresses,
 * the protocol and the length of what follows the IP header.
 */
export function pseudoHeaderSum(
  arena: Arena,
  offset: number,
  version: 4 | 6,
  protocol: number,
  length: number,
): number {
  const addresses = version === 4 ? sumBytes(arena, offset + 12, 8) : sumBytes(arena, offset + 8, 32);
  return fold(addresses + networkWord(protocol) + networkWord(length));
}
