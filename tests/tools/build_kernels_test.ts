import assert from "node:assert/strict";
import { KERNELS_BASE64 } from "../../engine/dataplane/kernels/kernels_wasm.ts";
import { compileKernels } from "../../tools/build_kernels.ts";

Deno.test("The committed kernels are what assembly/ compiles to, twice", async () => {
  const wasm = await compileKernels();
  assert.equal(wasm.toBase64(), KERNELS_BASE64, "run `deno task kernels` and commit what it writes");
  assert.deepEqual(await compileKernels(), wasm);
});
