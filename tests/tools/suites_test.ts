import assert from "node:assert/strict";
import { brokenRules } from "../../tools/check_layers.ts";
import { suiteOf } from "../../tools/suites.ts";

Deno.test("suiteOf() keeps pure tests pure and sends those with sockets to the system, proofs to the background", () => {
  assert.equal(suiteOf("tests/base/ip_test.ts").name, "pure");
  assert.equal(suiteOf("tests/derp/loopback_net_test.ts").name, "system");
  assert.equal(suiteOf("tests/daemon/prefs_test.ts").name, "system");
  assert.equal(suiteOf("tests/netlab/dataplane_test.ts").name, "netlab");
  assert.equal(suiteOf("tests/interop/lab_test.ts").name, "interop");
  assert.equal(suiteOf("tests/interop/tka_worlds_test.ts").name, "proofs");
});

Deno.test("brokenRules() finds an import that goes up a layer, and Deno.dlopen outside ffi/", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${dir}/base`);
    await Deno.mkdir(`${dir}/daemon`);
    await Deno.writeTextFile(`${dir}/base/a.ts`, 'import { b } from "../daemon/b.ts";\nb();\n');
    await Deno.writeTextFile(`${dir}/daemon/b.ts`, 'export const b = () => Deno.dlopen("x", {});\n');
    const broken = await brokenRules(dir);
    assert.equal(broken.length, 2);
    assert.match(broken[0], /^base\/a\.ts: imports daemon\/b\.ts; base is shared by every room/);
    assert.match(broken[1], /^daemon\/b\.ts: calls Deno\.dlopen; only ffi\/ may/);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
