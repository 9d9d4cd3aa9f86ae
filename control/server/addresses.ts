/**
 * Which addresses nodes get: 100.64.0.0/10 (RFC 6598) and fd7a:115c:a1e0::/48, in pairs.
 *
 * The IPv6 address carries the IPv4 one in its last 32 bits (100.64.0.1 and fd7a:115c:a1e0::6440:1), so the pair is
 * unique when either is, and it can never be `::53`, which Tailscale's own resolver has.
 */
import { CGNAT, formatIp, parsePrefix, prefixContains, TAILSCALE_ULA } from "../../base/ip.ts";
import type { Prefix } from "../../base/ip.ts";

/** A node's two addresses, as text. */
export interface AddressPair {
  readonly ipv4: string;
  readonly ipv6: string;
}

const SIZE = 2 ** (32 - CGNAT.bits);
const BASE = 100 * 2 ** 24 + 64 * 2 ** 16;

/**
 * Never given to a node: what Tailscale keeps for services (MagicDNS is 100.100.100.100) and what ChromeOS uses itself.
 * Source: net/tsaddr; https://tailscale.com/kb/1304/ip-pool.
 */
const RESERVED: readonly Prefix[] = ["100.100.0.0/24", "100.100.100.0/24", "100.115.92.0/23"].map((text) =>
  parsePrefix(text)!
);

function ipv4At(index: number): Uint8Array<ArrayBuffer> {
  const ip = new Uint8Array(4);
  new DataView(ip.buffer).setUint32(0, BASE + index);
  return ip;
}

/** True when the index stands for an address a node may have; 0 and the last are network and broadcast. */
export function isAssignable(index: number): boolean {
  if (!Number.isInteger(index) || index <= 0 || index >= SIZE - 1) return false;
  const ip = ipv4At(index);
  return !RESERVED.some((prefix) => prefixContains(prefix, ip));
}

/** The pair of an index: 1 is 100.64.0.1. */
export function addressPair(index: number): AddressPair {
  const v4 = ipv4At(index);
  const v6 = TAILSCALE_ULA.ip.slice();
  v6.set(v4, 12);
  return { ipv4: formatIp(v4), ipv6: formatIp(v6) };
}

/**
 * The first free pair at or after `cursor`, going round once.
 *
 * The caller keeps `next` as the cursor of the next call: addresses of removed nodes rest until all others were used,
 * so that peers who still remember one do not talk to a stranger.
 *
 * @returns undefined when all four million are taken.
 */
export async function allocate(
  cursor: number,
  isTaken: (ipv4: string) => Promise<boolean>,
): Promise<(AddressPair & { readonly next: number }) | undefined> {
  for (let i = 0; i < SIZE; i++) {
    const index = (Math.max(1, cursor) + i) % SIZE;
    if (!isAssignable(index)) continue;
    const pair = addressPair(index);
    if (!await isTaken(pair.ipv4)) return { ...pair, next: index + 1 };
  }
  return undefined;
}
