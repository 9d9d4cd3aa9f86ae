/**
 * Deriving disablement values on a thread of its own, for node and coordinator alike: Argon2i would stop whoever serves
 * for half a second (L12). How many secrets may be tried is for each of them to say.
 */

/** The disablement value of a secret, 32 bytes. */
export type DeriveDisablement = (secret: Uint8Array) => Promise<Uint8Array>;

/** Where the worker's code is: beside this file, or in its place beside a bundle, where this file is part of a chunk. */
function workerUrl(): URL {
  return import.meta.url.endsWith("/tka/kdf.ts")
    ? new URL("./kdf_worker.ts", import.meta.url)
    : new URL("./tka/kdf_worker.js", import.meta.url);
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
