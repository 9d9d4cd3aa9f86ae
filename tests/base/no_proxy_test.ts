import assert from "node:assert/strict";
import { goesDirect } from "../../base/no_proxy.ts";
import vectors from "../vectors/go_http_proxy.json" with { type: "json" };

Deno.test("NO_PROXY means what it means to Go's httpproxy: random lists beside its answers", () => {
  const direct = vectors.noProxy.filter(([, , , expected]) => expected).length;
  assert.ok(direct > 200 && vectors.noProxy.length - direct > 200, "both answers are there");
  for (const [list, host, port, expected] of vectors.noProxy as [string, string, number, boolean][]) {
    assert.equal(goesDirect(list)(host, port), expected, `NO_PROXY=${JSON.stringify(list)} for ${host} port ${port}`);
  }
});
