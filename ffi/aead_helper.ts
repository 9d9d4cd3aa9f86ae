/** A helper's end of the jobs (aead_jobs.ts): does what there is, watches a moment for more, sleeps. */
import type { AeadKey, AeadProvider } from "../engine/ports.ts";
import { AeadJobs, HEAD, KEYS, NEXT, SLEEPING, STOP, WORK } from "./aead_jobs.ts";
import type { AeadPoolShare } from "./aead_pool.ts";
import { attachArena } from "./arena.ts";
import { selectProvider } from "./crypto_provider.ts";

/** How long a helper without work stays awake, ms: from one turn of a busy worker to the next. */
const WATCH_MS = 0.03;
const LOOKS = 50;

/** Works until it is stopped; blocks this thread. @throws Error when the provider cannot be used on it. */
export function runAeadHelper(share: AeadPoolShare): void {
  const arena = attachArena(share.memory);
  const { provider } = selectProvider({ arena, force: share.provider });
  new Helper(new AeadJobs(arena, share.at), provider).run();
}

class Helper {
  readonly #jobs: AeadJobs;
  readonly #provider: AeadProvider;
  /** Of each key of the worker: the generation known here and this thread's own handle, -1 for none. */
  readonly #generations = new Int32Array(KEYS);
  readonly #handles = new Int32Array(KEYS).fill(-1);
  #highest = -1;
  readonly #keyOf = (key: AeadKey): AeadKey => {
    if (this.#generations[key] !== this.#jobs.generation(key)) this.#learn(key);
    return this.#handles[key];
  };

  constructor(jobs: AeadJobs, provider: AeadProvider) {
    this.#jobs = jobs;
    this.#provider = provider;
  }

  run(): void {
    const { words, control } = this.#jobs;
    while (Atomics.load(words, control + STOP) === 0) {
      if (this.#jobs.work(this.#provider, this.#keyOf) || this.#watch()) continue;
      const seen = Atomics.load(words, control + WORK);
      Atomics.add(words, control + SLEEPING, 1);
      // What was written before the worker could see that we sleep would wake nobody.
      if (!this.#any() && Atomics.load(words, control + STOP) === 0) Atomics.wait(words, control + WORK, seen);
      Atomics.sub(words, control + SLEEPING, 1);
      this.#forget();
    }
    for (let key = 0; key <= this.#highest; key++) this.#drop(key);
  }

  #any(): boolean {
    const { words, control } = this.#jobs;
    return Atomics.load(words, control + HEAD) !== Atomics.load(words, control + NEXT);
  }

  /** True as soon as there is work, false when there was none for a while. */
  #watch(): boolean {
    const until = performance.now() + WATCH_MS;
    do {
      for (let looks = 0; looks < LOOKS; looks++) if (this.#any()) return true;
    } while (performance.now() < until);
    return false;
  }

  #learn(key: AeadKey): void {
    this.#drop(key);
    this.#generations[key] = this.#jobs.generation(key);
    const { bytes, use } = this.#jobs.readKey(key);
    this.#handles[key] = this.#provider.createKey(bytes, use);
    bytes.fill(0);
    this.#highest = Math.max(this.#highest, key);
  }

  /** Erases what was made of keys that are no more. */
  #forget(): void {
    for (let key = 0; key <= this.#highest; key++) {
      if (this.#handles[key] >= 0 && this.#generations[key] !== this.#jobs.generation(key)) this.#drop(key);
    }
  }

  #drop(key: AeadKey): void {
    if (this.#handles[key] >= 0) this.#provider.freeKey(this.#handles[key]);
    this.#handles[key] = -1;
  }
}
