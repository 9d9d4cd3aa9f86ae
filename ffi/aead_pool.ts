/**
 * The data plane's worker's end of the jobs (aead_jobs.ts): a provider as any other, and `helpers` beside it, whose work goes
 * on while the worker reads and cuts the next packets.
 */
import type { AeadHelpers, AeadKey, AeadProvider } from "../engine/ports.ts";
import {
  AeadJobs,
  AWAITED,
  DONE,
  FAILED,
  HEAD,
  JOBS,
  JOBS_BYTES,
  KEYS,
  KIND_OPEN,
  KIND_SEAL,
  NEXT,
  POSTED,
  SLEEPING,
} from "./aead_jobs.ts";
import type { FfiArena } from "./arena.ts";

/** Jobs waiting for which a sleeping helper is woken: it takes as long as doing this many. Fewer are left to `settle`. */
export const WORTH_WAKING = 16;
/** Looks at a helper's job before the worker sleeps on it. */
const LOOKS = 4000;
/** So that a helper that died cannot hold the worker for ever, ms. */
const LONGEST_WAIT_MS = 10_000;

/** What a helper's thread needs to join. */
export interface AeadPoolShare {
  readonly memory: WebAssembly.Memory;
  /** Offset of the jobs. */
  readonly at: number;
  readonly provider: AeadProvider["name"];
}

/** A provider whose jobs helpers may do. It works without any as well. */
export class AeadPool implements AeadProvider, AeadHelpers {
  readonly name: AeadProvider["name"];
  readonly share: AeadPoolShare;
  readonly #provider: AeadProvider;
  readonly #jobs: AeadJobs;
  readonly #sameKey = (key: AeadKey) => key;
  /** Jobs written, and those known to be done. */
  #head = 0;
  #settled = 0;

  constructor(arena: FfiArena, provider: AeadProvider) {
    const at = arena.reserve(JOBS_BYTES);
    arena.u8.fill(0, at, at + JOBS_BYTES);
    this.#provider = provider;
    this.#jobs = new AeadJobs(arena, at);
    this.name = provider.name;
    this.share = { memory: arena.memory, at, provider: provider.name };
  }

  get helpers(): AeadHelpers {
    return this;
  }

  createKey(key: Uint8Array, use: "seal" | "open"): AeadKey {
    this.settle();
    const id = this.#provider.createKey(key, use);
    this.#jobs.publishKey(id, key, use);
    return id;
  }

  freeKey(key: AeadKey): void {
    this.settle();
    this.#provider.freeKey(key);
    this.#jobs.eraseKey(key);
  }

  seal(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): void {
    this.#provider.seal(key, offset, length, counterLow, counterHigh);
  }

  open(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): boolean {
    return this.#provider.open(key, offset, length, counterLow, counterHigh);
  }

  sealLater(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): void {
    if (key >= KEYS) return this.#provider.seal(key, offset, length, counterLow, counterHigh);
    this.#post(KIND_SEAL, key, offset, length, counterLow, counterHigh);
  }

  openLater(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): number {
    const ticket = this.#head;
    if (key < KEYS) this.#post(KIND_OPEN, key, offset, length, counterLow, counterHigh);
    else this.#openNow(key, offset, length, counterLow, counterHigh);
    return ticket;
  }

  settle(): void {
    const jobs = this.#jobs;
    while (jobs.work(this.#provider, this.#sameKey));
    for (; this.#settled !== this.#head; this.#settled = (this.#settled + 1) | 0) this.#await(this.#settled);
  }

  opened(ticket: number): boolean {
    return Atomics.load(this.#jobs.words, this.#jobs.stateAt(ticket)) === DONE;
  }

  /** For a key that helpers do not know: a job that is done and taken before others see it. */
  #openNow(key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): void {
    this.settle();
    const { words, control } = this.#jobs;
    const index = this.#head;
    this.#jobs.write(index, KIND_OPEN, key, offset, length, counterLow, counterHigh);
    const genuine = this.#provider.open(key, offset, length, counterLow, counterHigh);
    words[this.#jobs.stateAt(index)] = genuine ? DONE : FAILED;
    this.#head = this.#settled = (index + 1) | 0;
    Atomics.store(words, control + NEXT, this.#head);
    Atomics.store(words, control + HEAD, this.#head);
  }

  #post(kind: number, key: AeadKey, offset: number, length: number, counterLow: number, counterHigh: number): void {
    if (((this.#head - this.#settled) | 0) >= JOBS) this.settle();
    const { words, control } = this.#jobs;
    this.#jobs.write(this.#head, kind, key, offset, length, counterLow, counterHigh);
    this.#head = (this.#head + 1) | 0;
    Atomics.store(words, control + HEAD, this.#head);
    if ((this.#head & 7) !== 0 || Atomics.load(words, control + SLEEPING) === 0) return;
    if (((this.#head - Atomics.load(words, control + NEXT)) | 0) >= WORTH_WAKING) this.#jobs.wake();
  }

  /** Waits for job `index`, which somebody has taken. @throws Error when a seal failed. */
  #await(index: number): void {
    const { words } = this.#jobs;
    const at = this.#jobs.stateAt(index);
    let state = Atomics.load(words, at);
    for (let looks = 0; state === POSTED && looks < LOOKS; looks++) state = Atomics.load(words, at);
    if (state === POSTED && Atomics.compareExchange(words, at, POSTED, AWAITED) === POSTED) {
      Atomics.wait(words, at, AWAITED, LONGEST_WAIT_MS);
    }
    state = Atomics.load(words, at);
    if (state === POSTED || state === AWAITED) throw new Error("Cannot go on: a crypto helper does not answer");
    // A packet that was not opened is its receiver's to count.
    if (state === FAILED && words[at - 1] === KIND_SEAL) throw new Error("Cannot seal: a crypto provider failed");
  }
}
