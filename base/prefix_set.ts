/** Sets of addresses as lists of prefixes. */
import { formatPrefix, parsePrefix, prefixContains } from "./ip.ts";
import type { Prefix } from "./ip.ts";

function parsed(list: readonly string[]): Prefix[] {
  return list.flatMap((text) => parsePrefix(text) ?? []);
}

/** True when `outer` has every address of `inner`. */
export function covers(outer: Prefix, inner: Prefix): boolean {
  return outer.bits <= inner.bits && prefixContains(outer, inner.ip);
}

/** True when the two have an address in common. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return covers(a, b) || covers(b, a);
}

function halves({ ip, bits }: Prefix): [Prefix, Prefix] {
  const upper = ip.slice();
  upper[bits >> 3] |= 0x80 >> (bits & 7);
  return [{ ip, bits: bits + 1 }, { ip: upper, bits: bits + 1 }];
}

function without(whole: Prefix, removed: readonly Prefix[]): Prefix[] {
  const inside = removed.filter((one) => overlaps(whole, one));
  if (inside.length === 0) return [whole];
  if (inside.some((one) => covers(one, whole))) return [];
  return halves(whole).flatMap((half) => without(half, inside));
}

/** The addresses of `whole` that are in none of `removed`, as few prefixes. Prefixes are masked; malformed ones are left out. */
export function subtractPrefixes(whole: readonly string[], removed: readonly string[]): string[] {
  const holes = parsed(removed);
  return parsed(whole).flatMap((prefix) => without(prefix, holes)).map(formatPrefix);
}
