/**
 * The program's workers, and where the code of each is: the one place that knows how source, bundle and compiled
 * executable differ. `tools/build.ts` takes its entries from here, so that none can be left out.
 */

/** Each worker by the path of its module, without the ending. */
export const WORKERS = {
  dataplane: "daemon/dataplane_worker",
  crypto: "daemon/crypto_worker",
  peerRelay: "daemon/peer_relay_worker",
  kdf: "tka/kdf_worker",
} as const;

/** The module to start a worker with. @param from The URL of this file, as it was loaded. */
export function workerUrl(worker: keyof typeof WORKERS, from: string = import.meta.url): URL {
  // From source and in a compiled executable this file lies in its folder. Bundled, it is part of a chunk at the top.
  return from.endsWith("/base/worker_url.ts")
    ? new URL(`../${WORKERS[worker]}.ts`, from)
    : new URL(`./${WORKERS[worker]}.js`, from);
}
