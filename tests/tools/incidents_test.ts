import assert from "node:assert/strict";
import { incidentsPage } from "../../tools/incidents.ts";

Deno.test("tests/incidents.md is what the tests' titles make it, and no line is without a test or a reason", async () => {
  const page = await incidentsPage();
  assert.equal(await Deno.readTextFile("tests/incidents.md"), page, "run: deno run -A tools/incidents.ts");
  assert.doesNotMatch(page, /MISSING/);
});
