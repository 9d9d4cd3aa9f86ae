/**
 * Disablement secrets are derived in a worker, one at a time and at most five a minute: whoever may name secrets, control
 * first of all, must not be able to keep this machine busy with Argon2i (L12).
 */
import type { Scheduler } from "../../base/clock.ts";

/** Derives the disablement value of a secret. Rejects with `KdfBusy` when asked too often. */
export type DeriveDisablement = (secret: Uint8Array) => Promise<Uint8Array>;

/** Too many secrets were tried; none was derived. */
export class KdfBusy extends Error {
  override readonly name = "KdfBusy";
}

const A_MINUTE_MS = 60_000;
const PER_MINUTE = 5;

/** Where the worker's code is. */
function workerUrl(): URL {
  // From source this file lies beside the worker. Bundled, it is part of a chunk at the top of the bundle.
  return import.meta.url.endsWith("/daemon/lock/kdf.ts")
    ? new URL("./kdf_worker.ts", import.meta.url)
    : new URL("./daemon/lock/kdf_worker.js", import.meta.url);
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

/** One at a time and five a minute, of whatever derives. */
export function limitedKdf(clock: Pick<Scheduler, "monotonic">, derive: DeriveDisablement): DeriveDisablement {
  let last: Promise<unknown> = Promise.resolve();
  let began: number[] = [];
  return (secret) => {
    const now = clock.monotonic();
    began = began.filter((at) => now - at < A_MINUTE_MS);
    if (began.length >= PER_MINUTE) {
      return Promise.reject(
        new KdfBusy(`Cannot try this disablement secret: ${PER_MINUTE} were tried within a minute; wait a minute`),
      );
    }
    began.push(now);
    const result = last.then(() => derive(secret));
    last = result.catch(() => {});
    return result;
  };
}
