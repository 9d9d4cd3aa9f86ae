/**
 * Cryptokey routing (whitepaper 2): which peer owns an inner address, longest prefix first.
 *
 * One path-compressed bit trie a family. Keys are unsigned 32-bit words in network order - one for IPv4, four for
 * IPv6 - because that is how the data plane reads them from a packet; a lookup allocates nothing.
 *
 * ```
 *        0.0.0.0/0 → exit node
 *        │ bit 0 = 0
 *        100.64.0.0/10 (branch, no value)
 *        │ bit 10 = 0              │ bit 10 = 1
 *        100.64.0.7/32 → a         100.100.1.0/24 → b
 * ```
 * A node's prefix holds for everything below it. A node without a value has two children.
 */
import type { Prefix } from "../../base/ip.ts";
import { masked } from "../../base/ip.ts";

class Node<T> {
  readonly words: Uint32Array;
  /** Bits of `words` that count. */
  readonly length: number;
  value: T | undefined;
  parent: Node<T> | undefined;
  zero: Node<T> | undefined;
  one: Node<T> | undefined;

  constructor(words: Uint32Array, length: number) {
    this.words = words;
    this.length = length;
  }
}

function wordsOf(prefix: Prefix): Uint32Array {
  const { ip } = masked(prefix);
  const view = new DataView(ip.buffer, ip.byteOffset, ip.byteLength);
  return Uint32Array.from({ length: ip.length / 4 }, (_, i) => view.getUint32(i * 4));
}

function bitAt(words: Uint32Array, at: number): number {
  return (words[at >>> 5] >>> (31 - (at & 31))) & 1;
}

/** Leading bits that are equal, at most `limit`. */
function sharedBits(a: Uint32Array, b: Uint32Array, limit: number): number {
  for (let i = 0; i * 32 < limit; i++) {
    const difference = a[i] ^ b[i];
    if (difference !== 0) return Math.min(limit, i * 32 + Math.clz32(difference));
  }
  return limit;
}

function truncated(words: Uint32Array, length: number): Uint32Array {
  return words.map((word, i) => {
    const keep = Math.min(32, Math.max(0, length - i * 32));
    return keep === 0 ? 0 : word & (-1 << (32 - keep));
  });
}

/** True when the first `length` bits of the 32 are equal. */
function covers(word: number, key: number, length: number): boolean {
  return length === 0 || (word ^ key) >>> (32 - length) === 0;
}

class Trie<T> {
  root: Node<T> | undefined;

  /** Sets the value of a prefix and returns its node and the value it had. */
  insert(words: Uint32Array, length: number, value: T): { node: Node<T>; before: T | undefined } {
    let parent: Node<T> | undefined;
    let at = this.root;
    while (at !== undefined) {
      const shared = sharedBits(words, at.words, Math.min(length, at.length));
      if (shared < at.length) return { node: this.#split(parent, at, shared, words, length, value), before: undefined };
      if (at.length === length) {
        const before = at.value;
        at.value = value;
        return { node: at, before };
      }
      parent = at;
      at = bitAt(words, at.length) === 0 ? at.zero : at.one;
    }
    const node = new Node<T>(words, length);
    node.value = value;
    this.#attach(parent, node);
    return { node, before: undefined };
  }

  /** Puts a new node above `at`, or a branch that has both below it. */
  #split(
    parent: Node<T> | undefined,
    at: Node<T>,
    shared: number,
    words: Uint32Array,
    length: number,
    value: T,
  ): Node<T> {
    const node = new Node<T>(words, length);
    node.value = value;
    if (shared === length) {
      this.#attach(parent, node);
      this.#attach(node, at);
      return node;
    }
    const branch = new Node<T>(truncated(words, shared), shared);
    this.#attach(parent, branch);
    this.#attach(branch, at);
    this.#attach(branch, node);
    return node;
  }

  #attach(parent: Node<T> | undefined, node: Node<T>): void {
    node.parent = parent;
    if (parent === undefined) this.root = node;
    else if (bitAt(node.words, parent.length) === 0) parent.zero = node;
    else parent.one = node;
  }

  /** Takes the value from a node, and the node and its branch out when nothing needs them. */
  clear(node: Node<T>): void {
    node.value = undefined;
    let at: Node<T> | undefined = node;
    while (at !== undefined && at.value === undefined && (at.zero === undefined || at.one === undefined)) {
      const parent: Node<T> | undefined = at.parent;
      const child: Node<T> | undefined = at.zero ?? at.one;
      if (parent === undefined) this.root = child;
      else if (parent.zero === at) parent.zero = child;
      else parent.one = child;
      if (child !== undefined) child.parent = parent;
      at = parent;
    }
  }
}

/** Prefixes of both families and their owners. Inserting a prefix again gives it to the new owner. */
export class AllowedIps<T extends object> {
  readonly #four = new Trie<T>();
  readonly #six = new Trie<T>();
  readonly #owned = new Map<T, Set<Node<T>>>();

  /** Bits of the address beyond the prefix's length are ignored. */
  insert(prefix: Prefix, value: T): void {
    const trie = prefix.ip.length === 4 ? this.#four : this.#six;
    const { node, before } = trie.insert(wordsOf(prefix), prefix.bits, value);
    if (before !== undefined) this.#disown(before, node);
    const nodes = this.#owned.get(value);
    if (nodes === undefined) this.#owned.set(value, new Set([node]));
    else nodes.add(node);
  }

  #disown(value: T, node: Node<T>): void {
    const nodes = this.#owned.get(value);
    nodes?.delete(node);
    if (nodes?.size === 0) this.#owned.delete(value);
  }

  /** Takes every prefix from `value`. */
  removeValue(value: T): void {
    const nodes = this.#owned.get(value);
    if (nodes === undefined) return;
    this.#owned.delete(value);
    for (const node of nodes) (node.words.length === 1 ? this.#four : this.#six).clear(node);
  }

  /** Who owns an IPv4 address. @param ip The four bytes as one big-endian word. */
  lookup4(ip: number): T | undefined {
    let best: T | undefined;
    let at = this.#four.root;
    while (at !== undefined && covers(at.words[0], ip, at.length)) {
      if (at.value !== undefined) best = at.value;
      if (at.length === 32) break;
      at = ((ip >>> (31 - at.length)) & 1) === 0 ? at.zero : at.one;
    }
    return best;
  }

  /** Who owns an IPv6 address. @param a to d: the sixteen bytes as four big-endian words. */
  lookup6(a: number, b: number, c: number, d: number): T | undefined {
    let best: T | undefined;
    let at = this.#six.root;
    while (at !== undefined && covers6(at.words, at.length, a, b, c, d)) {
      if (at.value !== undefined) best = at.value;
      if (at.length === 128) break;
      const word = at.length < 64 ? (at.length < 32 ? a : b) : (at.length < 96 ? c : d);
      at = ((word >>> (31 - (at.length & 31))) & 1) === 0 ? at.zero : at.one;
    }
    return best;
  }
}

function covers6(words: Uint32Array, length: number, a: number, b: number, c: number, d: number): boolean {
  if (length <= 32) return covers(words[0], a, length);
  if ((words[0] ^ a) !== 0) return false;
  if (length <= 64) return covers(words[1], b, length - 32);
  if ((words[1] ^ b) !== 0) return false;
  if (length <= 96) return covers(words[2], c, length - 64);
  return (words[2] ^ c) === 0 && covers(words[3], d, length - 96);
}
