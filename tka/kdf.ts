/**
 * Deriving disablement values on a thread of its own, for node and coordinator alike: Argon2i would stop whoever serves
 * for half a second (L12). How many secrets may be tried is for each of them to say.
 */
import { workerUrl } from "../base/worker_url.ts";

/** The disablement value of a secret, 32 bytes. */
export type DeriveDisablement = (secret: Uint8Array) => Promise<Uint8Array>;

/** Runs one derivation in a worker of its own, so that its memory is given back. */
export function deriveInWorker(secret: Uint8Array): Promise<Uint8Array> {
  const worker = new Worker(workerUrl("kdf"), { type: "module" });
  return new Promise<Uint8Array>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Uint8Array>) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`Cannot derive a disablement value: ${event.message}`));
    };
    worker.postMessage(secret);
  }).finally(() => worker.terminate());
}
