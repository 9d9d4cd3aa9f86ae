/**
 * Sealing and opening shared between threads: a ring of jobs in the arena that the data plane's worker writes and that it and
 * its helpers take from, a few at a time.
 *
 * ```
 *   worker:  write jobs ─▶ HEAD ─┬─ take and do some itself ─▶ wait for the last ones (`AeadPool.settle`)
 *   helpers:               NEXT ─┴─ take and do some, sleep when there are none
 * ```
 * Whoever moves NEXT has taken what it moved over. A helper that the machine does not run delays nothing but the few jobs
 * it holds. Jobs are done in any order; the worker looks at them in its own, so packets stay in order.
 *
 *   control, i32 each on a cache line of its own   HEAD jobs written  NEXT jobs taken  WORK wake-ups  SLEEPING helpers  STOP
 *   job (8 words)   key  offset  length  counter low  counter high  kind  state
 *   key (12 words)  generation  use  (2 unused)  32 B key, zero when freed
 */
import type { AeadKey, AeadProvider, Arena } from "../engine/ports.ts";

/** Words of the control block. */
export const HEAD = 0;
export const NEXT = 16;
export const WORK = 32;
export const SLEEPING = 48;
export const STOP = 64;
const CONTROL_WORDS = 80;

/** Jobs in the ring, a power of two. */
export const JOBS = 1024;
const JOB_WORDS = 8;
/** Keys that helpers know; the worker does the jobs of others itself. */
export const KEYS = 4096;
const KEY_WORDS = 12;
const KEY_BYTES = 32;
/** Jobs taken at once: 6 µs of work, against 0.1 µs for taking them. */
const CHUNK = 8;

export const KIND_SEAL = 0;
export const KIND_OPEN = 1;
/** A job's state: not done, done, done and failed, not done and the worker sleeps on it. */
export const POSTED = 0;
export const DONE = 1;
export const FAILED = 2;
export const AWAITED = 3;

/** Bytes of the arena it all takes. */
export const JOBS_BYTES: number = 4 * (CONTROL_WORDS + JOBS * JOB_WORDS + KEYS * KEY_WORDS);

/** The ring as one thread sees it. */
export class AeadJobs {
  /** All of the arena; `control` is the index of the control block. */
  readonly words: Int32Array;
  readonly control: number;
  readonly #bytes: Uint8Array;
  readonly #jobs: number;
  readonly #keys: number;

  /** @param at Offset of `JOBS_BYTES`, zero at first. */
  constructor(arena: Pick<Arena, "i32" | "u8">, at: number) {
    this.words = arena.i32;
    this.#bytes = arena.u8;
    this.control = at >> 2;
    this.#jobs = this.control + CONTROL_WORDS;
    this.#keys = this.#jobs + JOBS * JOB_WORDS;
  }

  /** Writes job `index`; not seen by others before HEAD is moved over it. */
  write(
    index: number,
    kind: number,
    key: AeadKey,
    offset: number,
    length: number,
    counterLow: number,
    counterHigh: number,
  ): void {
    const { words } = this;
    const at = this.#jobs + (index & (JOBS - 1)) * JOB_WORDS;
    words[at] = key;
    words[at + 1] = offset;
    words[at + 2] = length;
    words[at + 3] = counterLow;
    words[at + 4] = counterHigh;
    words[at + 5] = kind;
    words[at + 6] = POSTED;
  }

  /** Index in `words` of the state of job `index`. */
  stateAt(index: number): number {
    return this.#jobs + (index & (JOBS - 1)) * JOB_WORDS + 6;
  }

  /** Takes some jobs and does them. False when there were none. `keyOf` gives the provider's handle for a key. */
  work(provider: AeadProvider, keyOf: (key: AeadKey) => AeadKey): boolean {
    const { words, control } = this;
    const next = Atomics.load(words, control + NEXT);
    const left = (Atomics.load(words, control + HEAD) - next) | 0;
    if (left <= 0) return false;
    const count = Math.min(left, CHUNK);
    // Another thread was faster: there may be more all the same.
    if (Atomics.compareExchange(words, control + NEXT, next, (next + count) | 0) !== next) return true;
    for (let i = 0; i < count; i++) this.#do((next + i) | 0, provider, keyOf);
    return true;
  }

  #do(index: number, provider: AeadProvider, keyOf: (key: AeadKey) => AeadKey): void {
    const { words } = this;
    const at = this.#jobs + (index & (JOBS - 1)) * JOB_WORDS;
    const [offset, length] = [words[at + 1], words[at + 2]];
    const [low, high] = [words[at + 3] >>> 0, words[at + 4] >>> 0];
    let state = DONE;
    try {
      const key = keyOf(words[at]);
      if (words[at + 5] === KIND_SEAL) provider.seal(key, offset, length, low, high);
      else if (!provider.open(key, offset, length, low, high)) state = FAILED;
    } catch {
      // The worker says what failed: it alone can tell anybody.
      state = FAILED;
    }
    if (Atomics.exchange(words, at + 6, state) === AWAITED) Atomics.notify(words, at + 6);
  }

  /** Makes a key known to helpers. Nothing may be under way. */
  publishKey(key: AeadKey, bytes: Uint8Array, use: "seal" | "open"): void {
    if (key >= KEYS) return;
    const at = this.#keys + key * KEY_WORDS;
    this.#bytes.set(bytes, (at + 4) << 2);
    this.words[at + 1] = use === "seal" ? KIND_SEAL : KIND_OPEN;
    Atomics.add(this.words, at, 1);
  }

  /** Erases a key, and has the helpers erase what they made of it. Nothing may be under way. */
  eraseKey(key: AeadKey): void {
    if (key >= KEYS) return;
    const at = this.#keys + key * KEY_WORDS;
    this.#bytes.fill(0, (at + 4) << 2, ((at + 4) << 2) + KEY_BYTES);
    Atomics.add(this.words, at, 1);
    this.wake();
  }

  /** Changes with every `publishKey` and `eraseKey` of that key. */
  generation(key: AeadKey): number {
    return Atomics.load(this.words, this.#keys + key * KEY_WORDS);
  }

  /** A copy of a published key, and what it is for. */
  readKey(key: AeadKey): { bytes: Uint8Array; use: "seal" | "open" } {
    const at = this.#keys + key * KEY_WORDS;
    const bytes = this.#bytes.slice((at + 4) << 2, ((at + 4) << 2) + KEY_BYTES);
    return { bytes, use: this.words[at + 1] === KIND_SEAL ? "seal" : "open" };
  }

  /** Wakes the helpers that sleep. */
  wake(): void {
    Atomics.add(this.words, this.control + WORK, 1);
    Atomics.notify(this.words, this.control + WORK);
  }

  /** Has the helpers end. */
  stop(): void {
    Atomics.store(this.words, this.control + STOP, 1);
    this.wake();
  }
}
