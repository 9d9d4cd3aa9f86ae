/**
 * A path-compressed bit trie of the prefixes of one address family, each with an owner, in one array of numbers: what
 * 10,000 peers have of routes costs no object, so a garbage collection never walks it, and a lookup touches few cache
 * lines and allocates nothing.
 *
 * ```
 *        0.0.0.0/0 → exit node
 *        │ bit 0 = 0
 *        100.64.0.0/10 (branch, no owner)
 *        │ bit 10 = 0              │ bit 10 = 1
 *        100.64.0.7/32 → a         100.100.1.0/24 → b
 *
 *   node, i32 words   0 bits   1 owner   2 child for bit 0   3 child for bit 1   4 parent
 *                     5 next, 6 before of the same owner   7.. the prefix in network order: 1 word for IPv4, 4 for IPv6
 * ```
 * A node's prefix holds for everything below it. A node without an owner has two children. Nodes name each other by where
 * they begin in the array; 0 is none, so the first node's place stays empty.
 */

const BITS = 0;
const OWNER = 1;
const ZERO = 2;
const ONE = 3;
const PARENT = 4;
const NEXT = 5;
const BEFORE = 6;
const KEY = 7;

/** Nodes that fit before the array grows for the first time. */
const FIRST_NODES = 64;

/** Prefixes and their owners, which are whole numbers from 1. */
export class PrefixTrie {
  readonly #keyWords: 1 | 4;
  readonly #stride: number;
  #nodes: Int32Array;
  #root = 0;
  /** Where the next node never used begins, and a list of those given back, by their `NEXT`. */
  #fresh: number;
  #free = 0;
  /** The first node of each owner. */
  #owned = new Int32Array(FIRST_NODES);

  /** @param keyWords 32-bit words of an address. */
  constructor(keyWords: 1 | 4) {
    this.#keyWords = keyWords;
    this.#stride = KEY + keyWords;
    this.#fresh = this.#stride;
    this.#nodes = new Int32Array(FIRST_NODES * this.#stride);
  }

  /** Gives a prefix to an owner, whoever had it. @param key bits beyond `bits` are zero */
  insert(key: Int32Array, bits: number, owner: number): void {
    let parent = 0;
    let at = this.#root;
    while (at !== 0) {
      const length = this.#nodes[at + BITS];
      const shared = this.#sharedBits(at, key, Math.min(bits, length));
      if (shared < length) return this.#own(this.#split(parent, at, shared, key, bits), owner);
      if (length === bits) return this.#own(at, owner);
      parent = at;
      at = this.#nodes[at + ZERO + bitAt(key, length)];
    }
    const node = this.#make(key, bits);
    this.#attach(parent, node);
    this.#own(node, owner);
  }

  /** Takes every prefix from `owner`. */
  removeOwner(owner: number): void {
    if (owner >= this.#owned.length) return;
    for (let at = this.#owned[owner]; at !== 0; at = this.#owned[owner]) {
      this.#disown(at);
      this.#prune(at);
    }
  }

  /** The owner of the longest prefix of an IPv4 address, 0 for none. */
  lookup4(ip: number): number {
    const nodes = this.#nodes;
    let best = 0;
    for (let at = this.#root; at !== 0;) {
      const bits = nodes[at + BITS];
      if (differs(nodes[at + KEY] ^ ip, bits)) break;
      if (nodes[at + OWNER] !== 0) best = nodes[at + OWNER];
      if (bits === 32) break;
      at = nodes[at + ZERO + ((ip >>> (31 - bits)) & 1)];
    }
    return best;
  }

  /** The owner of the longest prefix of an IPv6 address, 0 for none. */
  lookup6(a: number, b: number, c: number, d: number): number {
    const nodes = this.#nodes;
    let best = 0;
    for (let at = this.#root; at !== 0;) {
      const bits = nodes[at + BITS];
      const key = at + KEY;
      if (differs(nodes[key] ^ a, bits)) break;
      if (bits > 32 && differs(nodes[key + 1] ^ b, bits - 32)) break;
      if (bits > 64 && differs(nodes[key + 2] ^ c, bits - 64)) break;
      if (bits > 96 && differs(nodes[key + 3] ^ d, bits - 96)) break;
      if (nodes[at + OWNER] !== 0) best = nodes[at + OWNER];
      if (bits === 128) break;
      const word = bits < 64 ? (bits < 32 ? a : b) : (bits < 96 ? c : d);
      at = nodes[at + ZERO + ((word >>> (31 - (bits & 31))) & 1)];
    }
    return best;
  }

  /** Puts a new node for the prefix above `at`, or a branch that has both below it. */
  #split(parent: number, at: number, shared: number, key: Int32Array, bits: number): number {
    const node = this.#make(key, bits);
    if (shared === bits) {
      this.#attach(parent, node);
      this.#attach(node, at);
      return node;
    }
    const branch = this.#make(key, shared);
    this.#attach(parent, branch);
    this.#attach(branch, at);
    this.#attach(branch, node);
    return node;
  }

  #attach(parent: number, node: number): void {
    this.#nodes[node + PARENT] = parent;
    if (parent === 0) this.#root = node;
    else this.#nodes[parent + ZERO + this.#nodeBit(node, this.#nodes[parent + BITS])] = node;
  }

  /** Takes a node without an owner out, and its branch, where nothing needs them. */
  #prune(node: number): void {
    const nodes = this.#nodes;
    for (let at = node; at !== 0 && nodes[at + OWNER] === 0 && (nodes[at + ZERO] === 0 || nodes[at + ONE] === 0);) {
      const parent = nodes[at + PARENT];
      const child = nodes[at + ZERO] || nodes[at + ONE];
      if (parent === 0) this.#root = child;
      else nodes[parent + (nodes[parent + ZERO] === at ? ZERO : ONE)] = child;
      if (child !== 0) nodes[child + PARENT] = parent;
      nodes[at + NEXT] = this.#free;
      this.#free = at;
      at = parent;
    }
  }

  #own(node: number, owner: number): void {
    if (this.#nodes[node + OWNER] !== 0) this.#disown(node);
    if (owner >= this.#owned.length) this.#owned = grown(this.#owned, owner + 1);
    const next = this.#owned[owner];
    this.#nodes[node + OWNER] = owner;
    this.#nodes[node + NEXT] = next;
    this.#nodes[node + BEFORE] = 0;
    if (next !== 0) this.#nodes[next + BEFORE] = node;
    this.#owned[owner] = node;
  }

  #disown(node: number): void {
    const nodes = this.#nodes;
    const next = nodes[node + NEXT];
    const before = nodes[node + BEFORE];
    if (before === 0) this.#owned[nodes[node + OWNER]] = next;
    else nodes[before + NEXT] = next;
    if (next !== 0) nodes[next + BEFORE] = before;
    nodes[node + OWNER] = 0;
  }

  /** A node for the first `bits` of `key`, not attached. */
  #make(key: Int32Array, bits: number): number {
    let node = this.#free;
    if (node !== 0) {
      this.#free = this.#nodes[node + NEXT];
    } else {
      node = this.#fresh;
      this.#fresh += this.#stride;
      if (this.#fresh > this.#nodes.length) this.#nodes = grown(this.#nodes, this.#fresh);
    }
    this.#nodes.fill(0, node, node + KEY);
    this.#nodes[node + BITS] = bits;
    for (let i = 0; i < this.#keyWords; i++) {
      const keep = Math.min(32, Math.max(0, bits - i * 32));
      this.#nodes[node + KEY + i] = keep === 0 ? 0 : key[i] & (-1 << (32 - keep));
    }
    return node;
  }

  #nodeBit(node: number, at: number): number {
    return (this.#nodes[node + KEY + (at >>> 5)] >>> (31 - (at & 31))) & 1;
  }

  /** Leading bits that the node's prefix and `key` share, at most `limit`. */
  #sharedBits(node: number, key: Int32Array, limit: number): number {
    for (let i = 0; i * 32 < limit; i++) {
      const difference = this.#nodes[node + KEY + i] ^ key[i];
      if (difference !== 0) return Math.min(limit, i * 32 + Math.clz32(difference));
    }
    return limit;
  }
}

function bitAt(key: Int32Array, at: number): number {
  return (key[at >>> 5] >>> (31 - (at & 31))) & 1;
}

/** True when one of the first `bits` bits is set; of more than 32 the first 32 count. */
function differs(word: number, bits: number): boolean {
  return bits >= 32 ? word !== 0 : bits !== 0 && word >>> (32 - bits) !== 0;
}

/** The same numbers with room for `length` and as much again. */
function grown(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * length);
  larger.set(array);
  return larger;
}
