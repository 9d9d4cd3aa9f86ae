/**
 * A set of IP addresses made from prefixes, asked once per packet: sorted disjoint ranges and a binary search, so that
 * a rule naming ten thousand peers costs fourteen comparisons.
 */
import { masked, parsePrefix } from "../../base/ip.ts";

interface Range {
  first: bigint;
  last: bigint;
}

function toBigInt(ip: Uint8Array): bigint {
  return ip.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** Sorted, without overlaps and without neighbours that touch. */
function merge(ranges: Range[]): Range[] {
  ranges.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const merged: Range[] = [];
  for (const range of ranges) {
    const previous = merged.at(-1);
    if (previous !== undefined && range.first <= previous.last + 1n) {
      if (range.last > previous.last) previous.last = range.last;
    } else {
      merged.push(range);
    }
  }
  return merged;
}

/** Words of all bounds, most significant first. */
function words(values: bigint[], perValue: 1 | 4): Uint32Array {
  const out = new Uint32Array(values.length * perValue);
  for (const [i, value] of values.entries()) {
    for (let word = 0; word < perValue; word++) {
      out[i * perValue + word] = Number((value >> BigInt(32 * (perValue - 1 - word))) & 0xffffffffn);
    }
  }
  return out;
}

/** Addresses of both families. */
export class AddressSet {
  readonly #first4: Uint32Array;
  readonly #last4: Uint32Array;
  readonly #first6: Uint32Array;
  readonly #last6: Uint32Array;

  /** @param prefixes as `net/netip` prints them. @throws TypeError for a text that is no prefix. */
  constructor(prefixes: Iterable<string>) {
    const ranges: { 4: Range[]; 16: Range[] } = { 4: [], 16: [] };
    for (const text of prefixes) {
      const parsed = parsePrefix(text);
      if (parsed === undefined) throw new TypeError(`Cannot compile a filter: "${text}" is no address prefix`);
      const { ip, bits } = masked(parsed);
      const first = toBigInt(ip);
      const last = first | ((1n << BigInt(ip.length * 8 - bits)) - 1n);
      ranges[ip.length as 4 | 16].push({ first, last });
    }
    const four = merge(ranges[4]);
    const six = merge(ranges[16]);
    this.#first4 = words(four.map((range) => range.first), 1);
    this.#last4 = words(four.map((range) => range.last), 1);
    this.#first6 = words(six.map((range) => range.first), 4);
    this.#last6 = words(six.map((range) => range.last), 4);
  }

  /** @param address unsigned 32 bits, host order. */
  has4(address: number): boolean {
    const first = this.#first4;
    let low = 0;
    let high = first.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (first[middle] <= address) low = middle + 1;
      else high = middle;
    }
    return low > 0 && address <= this.#last4[low - 1];
  }

  /** The four words of the address, most significant first, unsigned. */
  has6(a: number, b: number, c: number, d: number): boolean {
    const first = this.#first6;
    let low = 0;
    let high = first.length >> 2;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(first, middle << 2, a, b, c, d) <= 0) low = middle + 1;
      else high = middle;
    }
    return low > 0 && compare(this.#last6, (low - 1) << 2, a, b, c, d) >= 0;
  }
}

/** Sign of (the bound at word `at`) - (the address). */
function compare(bounds: Uint32Array, at: number, a: number, b: number, c: number, d: number): number {
  return bounds[at] - a || bounds[at + 1] - b || bounds[at + 2] - c || bounds[at + 3] - d;
}
