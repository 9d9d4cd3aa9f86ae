/**
 * A persistent map from integers: an edit copies the few arrays on the way to the entries it touches and shares all
 * others with the map before, so that one changed peer of 10,000 costs three arrays of 32.
 *
 * ```
 *   root[32] ─▶ branch[32] ─▶ branch[32] ─▶ leaf: entries whose keys share 15 bits of hash (one, mostly)
 * ```
 */
import type { NumberMap } from "./netmap.ts";

type Entry<V> = readonly [key: number, value: V];
type Leaf<V> = readonly Entry<V>[];
type Twig<V> = readonly (Leaf<V> | undefined)[];
type Branch<V> = readonly (Twig<V> | undefined)[];
type Root<V> = readonly (Branch<V> | undefined)[];

const NOTHING: readonly undefined[] = Object.freeze(new Array<undefined>(32).fill(undefined));

/** 15 bits of a multiplicative hash of a key up to 2^53. */
function hash(key: number): number {
  const low = key | 0;
  const high = Math.floor(key / 0x1_0000_0000) | 0;
  return Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1) >>> 17;
}

/** An immutable map; `edit()` makes the next one. */
export class NumberTrie<V> implements NumberMap<V> {
  readonly #root: Root<V>;
  readonly size: number;

  private constructor(root: Root<V>, size: number) {
    this.#root = root;
    this.size = size;
  }

  static empty<V>(): NumberTrie<V> {
    return new NumberTrie<V>(NOTHING, 0);
  }

  get(key: number): V | undefined {
    const bits = hash(key);
    const leaf = this.#root[bits >> 10]?.[(bits >> 5) & 31]?.[bits & 31];
    return leaf?.find(([candidate]) => candidate === key)?.[1];
  }

  *#entries(): IterableIterator<Entry<V>> {
    for (const branch of this.#root) {
      if (branch === undefined) continue;
      for (const twig of branch) {
        if (twig === undefined) continue;
        for (const leaf of twig) if (leaf !== undefined) yield* leaf;
      }
    }
  }

  *keys(): IterableIterator<number> {
    for (const [key] of this.#entries()) yield key;
  }

  *[Symbol.iterator](): IterableIterator<V> {
    for (const [, value] of this.#entries()) yield value;
  }

  /** Starts an edit; this map does not change. */
  edit(): NumberTrieEdit<V> {
    return new NumberTrieEdit<V>(this.#root, this.size, (root, size) => {
      return root === this.#root ? this : new NumberTrie(root, size);
    });
  }
}

/** Changes that become one new map at `finish()`. */
export class NumberTrieEdit<V> {
  #root: Root<V>;
  #size: number;
  readonly #make: (root: Root<V>, size: number) => NumberTrie<V>;
  /** Arrays made by this edit, which it may still write. */
  readonly #owned = new Set<unknown>();

  constructor(root: Root<V>, size: number, make: (root: Root<V>, size: number) => NumberTrie<V>) {
    this.#root = root;
    this.#size = size;
    this.#make = make;
  }

  get(key: number): V | undefined {
    const bits = hash(key);
    const leaf = this.#root[bits >> 10]?.[(bits >> 5) & 31]?.[bits & 31];
    return leaf?.find(([candidate]) => candidate === key)?.[1];
  }

  /** Adds or replaces. */
  set(key: number, value: V): void {
    this.#update(key, (leaf) => {
      const at = leaf.findIndex(([candidate]) => candidate === key);
      if (at >= 0) return leaf.with(at, [key, value]);
      this.#size++;
      return [...leaf, [key, value]];
    });
  }

  /** Removes; false when it was not there. */
  delete(key: number): boolean {
    if (this.get(key) === undefined) return false;
    this.#size--;
    this.#update(key, (leaf) => leaf.filter(([candidate]) => candidate !== key));
    return true;
  }

  /** The map with all changes; the same map when there were none. */
  finish(): NumberTrie<V> {
    this.#owned.clear();
    return this.#make(this.#root, this.#size);
  }

  #update(key: number, change: (leaf: Leaf<V>) => Leaf<V>): void {
    const bits = hash(key);
    const root = this.#writable(this.#root);
    const branch = this.#writable(root[bits >> 10] ?? NOTHING as Branch<V>);
    const twig = this.#writable(branch[(bits >> 5) & 31] ?? NOTHING as Twig<V>);
    const leaf = change(twig[bits & 31] ?? []);
    twig[bits & 31] = leaf.length === 0 ? undefined : leaf;
    branch[(bits >> 5) & 31] = twig;
    root[bits >> 10] = branch;
    this.#root = root;
  }

  #writable<T>(array: readonly T[]): T[] {
    if (this.#owned.has(array)) return array as T[];
    const copy = [...array];
    this.#owned.add(copy);
    return copy;
  }
}
