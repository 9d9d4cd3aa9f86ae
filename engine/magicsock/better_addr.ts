/**
 * Which of two working addresses of a peer to use.
 * Source: tailscale.com/wgengine/magicsock `betterAddr`.
 */
import type { AddrId } from "../ports.ts";

/** An address that answered, and how well. */
export interface AddrQuality {
  /** The peer's, or that of a relay server. */
  readonly addr: AddrId;
  /** The session at the relay server, 0 for a direct path. */
  readonly vni: number;
  /** Disco key of the relay server, 64 hex digits; "" for a direct path. */
  readonly relay: string;
  /** 4 or 16 bytes, network order. */
  readonly ip: Uint8Array;
  readonly latencyMs: number;
  /** Bytes of the largest IP packet known to pass. */
  readonly wireMtu: number;
}

/**
 * True when `a` should replace `b`, the address in use (undefined: none).
 *
 * Any direct path is better than any relay. Each has a point for every percent it is faster than the other. Where they are
 * about as fast, addresses likely to be near and free of charge win: loopback 50, link-local 30, private 20; IPv6 adds 10.
 * A gain of one point is not worth a change. The same address is better only with a larger MTU.
 */
export function betterAddr(a: AddrQuality, b: AddrQuality | undefined): boolean {
  if (b === undefined) return true;
  if (a.addr === b.addr && a.vni === b.vni) return a.wireMtu > b.wireMtu;
  if ((a.vni === 0) !== (b.vni === 0)) return a.vni === 0;
  const points = addrPoints(a, b);
  if (points.a <= 1 && points.b === 0) return false;
  return points.a > points.b;
}

/** The points of two direct addresses against each other. */
export function addrPoints(
  a: Pick<AddrQuality, "ip" | "latencyMs">,
  b: Pick<AddrQuality, "ip" | "latencyMs">,
): { readonly a: number; readonly b: number } {
  const points = { a: bonus(a.ip), b: bonus(b.ip) };
  if (a.latencyMs > b.latencyMs && a.latencyMs > 0) points.b += gain(b.latencyMs, a.latencyMs);
  else if (b.latencyMs > 0) points.a += gain(a.latencyMs, b.latencyMs);
  return points;
}

/** Percent by which `faster` beats `slower`, rounded as Tailscale's integers do: up. */
function gain(faster: number, slower: number): number {
  return 100 - Math.floor((faster * 100) / slower);
}

function bonus(ip: Uint8Array): number {
  return ip.length === 4 ? locality4(ip) : locality6(ip) + 10;
}

function locality4(ip: Uint8Array): number {
  if (ip[0] === 127) return 50;
  if (ip[0] === 169 && ip[1] === 254) return 30;
  const isPrivate = ip[0] === 10 || (ip[0] === 172 && (ip[1] & 0xf0) === 16) || (ip[0] === 192 && ip[1] === 168);
  return isPrivate ? 20 : 0;
}

function locality6(ip: Uint8Array): number {
  if (ip[15] === 1 && ip.subarray(0, 15).every((byte) => byte === 0)) return 50;
  if (ip[0] === 0xfe && (ip[1] & 0xc0) === 0x80) return 30;
  return (ip[0] & 0xfe) === 0xfc ? 20 : 0;
}
