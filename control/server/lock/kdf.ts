/**
 * Disablement secrets are tried in a worker, one at a time, five a minute for each node, and no more than a few wait:
 * each costs 16 MiB and half a second, and whoever may ask must not keep maps and relay from being served (L12).
 */
import type { Clock } from "../../../base/clock.ts";
import { Refusal } from "./refusal.ts";

/** The disablement value of a secret. */
export type DeriveDisablement = (secret: Uint8Array) => Promise<Uint8Array>;

const A_MINUTE_MS = 60_000;
const PER_MINUTE = 5;
/** Of all nodes together. */
const MAX_WAITING = 10;

/** Where the worker's code is: beside this file, or in its place beside a bundle. */
function workerUrl(): URL {
  return import.meta.url.endsWith("/control/server/lock/kdf.ts")
    ? new URL("./kdf_worker.ts", import.meta.url)
    : new URL("./control/server/lock/kdf_worker.js", import.meta.url);
}

/** Runs one derivation in a worker of its own, so that its memory is given back. */
export function deriveInWorker(secret: Uint8Array): Promise<Uint8Array> {
  const worker = new Worker(workerUrl(), { type: "module" });
  return new Promise<Uint8Array>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Uint8Array>) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`Cannot derive a disablement value: ${event.message}`));
    };
    worker.postMessage(secret);
  }).finally(() => worker.terminate());
}

/** Tries secrets of nodes. */
export class DisablementKdf {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #derive: DeriveDisablement;
  readonly #begun = new Map<number, number[]>();
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(clock: Pick<Clock, "monotonic">, derive: DeriveDisablement) {
    this.#clock = clock;
    this.#derive = derive;
  }

  /** @throws Refusal 429 when the node, or all nodes together, tried too often. */
  derive(nodeId: number, secret: Uint8Array): Promise<Uint8Array> {
    const now = this.#clock.monotonic();
    for (const [id, times] of this.#begun) {
      const recent = times.filter((at) => now - at < A_MINUTE_MS);
      if (recent.length === 0) this.#begun.delete(id);
      else this.#begun.set(id, recent);
    }
    const mine = this.#begun.get(nodeId) ?? [];
    if (mine.length >= PER_MINUTE) {
      throw new Refusal(429, `${PER_MINUTE} disablement secrets were tried within a minute: wait a minute`);
    }
    if (this.#waiting >= MAX_WAITING) {
      throw new Refusal(429, "too many disablement secrets are being tried: wait a minute");
    }
    this.#begun.set(nodeId, [...mine, now]);
    this.#waiting++;
    const result = this.#last.then(() => this.#derive(secret)).finally(() => this.#waiting--);
    this.#last = result.catch(() => {});
    return result;
  }
}
