/** Where the data-plane worker's code is: the one place that knows how source, bundle and executable differ. */

/** The module to start a worker with. */
export function workerUrl(): URL {
  // From source this file lies beside the worker. Bundled, it is part of a chunk at the top of the bundle.
  return import.meta.url.endsWith("/daemon/worker_url.ts")
    ? new URL("./dataplane_worker.ts", import.meta.url)
    : new URL("./daemon/dataplane_worker.js", import.meta.url);
}
