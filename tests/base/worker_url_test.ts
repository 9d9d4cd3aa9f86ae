import assert from "node:assert/strict";
import { workerUrl } from "../../base/worker_url.ts";

Deno.test("a worker is found from source, from a compiled executable and from a bundle's chunk", () => {
  const path = (from: string) => workerUrl("dataplane", from).pathname;
  assert.equal(path("file:///src/base/worker_url.ts"), "/src/daemon/dataplane_worker.ts");
  assert.equal(
    path("file:///tmp/deno-compile-agent/src/base/worker_url.ts"),
    "/tmp/deno-compile-agent/src/daemon/dataplane_worker.ts",
  );
  assert.equal(path("file:///var/cache/agent/0123/chunk-ABC.js"), "/var/cache/agent/0123/daemon/dataplane_worker.js");
});
