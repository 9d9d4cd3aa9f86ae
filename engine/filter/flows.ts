/**
 * UDP and SCTP flows seen going out, so that their answers come in without a rule: 512 of them, the least recently
 * used one goes first. Fixed arrays, nothing is allocated per packet.
 *
 * ```
 * buckets[hash] ─▶ entry ─chain─▶ entry        newest ◀─newer── entry ──older─▶ … oldest (replaced next)
 * ```
 *
 * Source: tailscale.com/wgengine/filter `lruMax`, tailscale.com/net/flowtrack.
 */
import type { Packet } from "../packet.ts";

/** Flows remembered. */
export const MAX_FLOWS = 512;

/** Words of a key: version and protocol, 4 of source, 4 of destination, both ports. */
const KEY_WORDS = 10;
const NONE = -1;

/** The flows; handed from a filter to the one that replaces it. */
export class FlowCache {
  readonly #capacity: number;
  readonly #keys: Uint32Array;
  readonly #buckets: Int32Array;
  readonly #mask: number;
  readonly #chain: Int32Array;
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  readonly #probe = new Uint32Array(KEY_WORDS);
  #size = 0;
  #newest = NONE;
  #oldest = NONE;

  /** @throws RangeError for a capacity below 1. */
  constructor(capacity = MAX_FLOWS) {
    if (!(capacity >= 1)) throw new RangeError(`Cannot remember ${capacity} flows, want at least 1`);
    this.#capacity = capacity;
    this.#keys = new Uint32Array(capacity * KEY_WORDS);
    const buckets = 2 ** Math.ceil(Math.log2(capacity * 2));
    this.#buckets = new Int32Array(buckets).fill(NONE);
    this.#mask = buckets - 1;
    this.#chain = new Int32Array(capacity).fill(NONE);
    this.#newer = new Int32Array(capacity).fill(NONE);
    this.#older = new Int32Array(capacity).fill(NONE);
  }

  get size(): number {
    return this.#size;
  }

  /** Remembers the flow of an outgoing packet. */
  remember(p: Packet): void {
    const key = this.#probe;
    key[0] = (p.version << 8) | p.protocol;
    key[1] = p.dst0;
    key[2] = p.dst1;
    key[3] = p.dst2;
    key[4] = p.dst3;
    key[5] = p.src0;
    key[6] = p.src1;
    key[7] = p.src2;
    key[8] = p.src3;
    key[9] = (p.dstPort << 16) | p.srcPort;
    const bucket = this.#bucket(key, 0);
    const found = this.#find(bucket);
    if (found !== NONE) this.#touch(found);
    else this.#insert(bucket);
  }

  /** True when an incoming packet answers a remembered flow, which is then the most recently used. */
  answers(p: Packet): boolean {
    const key = this.#probe;
    key[0] = (p.version << 8) | p.protocol;
    key[1] = p.src0;
    key[2] = p.src1;
    key[3] = p.src2;
    key[4] = p.src3;
    key[5] = p.dst0;
    key[6] = p.dst1;
    key[7] = p.dst2;
    key[8] = p.dst3;
    key[9] = (p.srcPort << 16) | p.dstPort;
    const found = this.#find(this.#bucket(key, 0));
    if (found === NONE) return false;
    this.#touch(found);
    return true;
  }

  /** The bucket of the key at word `base` of `words`. */
  #bucket(words: Uint32Array, base: number): number {
    let hash = 0;
    for (let i = 0; i < KEY_WORDS; i++) hash = Math.imul(hash ^ words[base + i], 0x9e3779b1) ^ (hash >>> 15);
    return (hash ^ (hash >>> 16)) & this.#mask;
  }

  #matches(entry: number): boolean {
    const keys = this.#keys;
    const at = entry * KEY_WORDS;
    for (let i = 0; i < KEY_WORDS; i++) if (keys[at + i] !== this.#probe[i]) return false;
    return true;
  }

  #find(bucket: number): number {
    if (this.#newest !== NONE && this.#matches(this.#newest)) return this.#newest;
    let entry = this.#buckets[bucket];
    while (entry !== NONE && !this.#matches(entry)) entry = this.#chain[entry];
    return entry;
  }

  #insert(bucket: number): void {
    const entry = this.#size < this.#capacity ? this.#size++ : this.#evict();
    this.#keys.set(this.#probe, entry * KEY_WORDS);
    this.#chain[entry] = this.#buckets[bucket];
    this.#buckets[bucket] = entry;
    this.#pushNewest(entry);
  }

  /** Frees the oldest entry and returns its place. */
  #evict(): number {
    const entry = this.#oldest;
    this.#unlink(entry);
    const bucket = this.#bucket(this.#keys, entry * KEY_WORDS);
    let before = NONE;
    for (let at = this.#buckets[bucket]; at !== entry; at = this.#chain[at]) before = at;
    if (before === NONE) this.#buckets[bucket] = this.#chain[entry];
    else this.#chain[before] = this.#chain[entry];
    return entry;
  }

  #touch(entry: number): void {
    if (entry === this.#newest) return;
    this.#unlink(entry);
    this.#pushNewest(entry);
  }

  #unlink(entry: number): void {
    const newer = this.#newer[entry];
    const older = this.#older[entry];
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
  }

  #pushNewest(entry: number): void {
    this.#newer[entry] = NONE;
    this.#older[entry] = this.#newest;
    if (this.#newest === NONE) this.#oldest = entry;
    else this.#newer[this.#newest] = entry;
    this.#newest = entry;
  }
}
