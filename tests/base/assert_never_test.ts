import assert from "node:assert/strict";
import { assertNever } from "../../base/assert_never.ts";

Deno.test("assertNever() names the value that should not have been there", () => {
  assert.throws(() => assertNever("surprise" as never), { name: "TypeError", message: /surprise/ });
});
