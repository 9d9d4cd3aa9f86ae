// Our Tailnet Lock and upstream's in the same random worlds. Many more: deno task oracle.

import assert from "node:assert/strict";
import { COVERED } from "../support/tka_coverage.ts";
import { buildTkaOracle } from "./support/build.ts";
import { KNOWN_DIFFERENCES } from "./support/tka_differences.ts";
import { compareOnThreads } from "./support/tka_worlds.ts";

const WORLDS = 20_000;
/** Worlds that many more runs found: seed, size, and what is in it. */
const FOUND = [
  [370_581, 24, "a process that died left a chain that ends without trusted keys"],
  [631_532, 24, "AUMs are just as old as compaction asks for"],
] as const;
/** Of each world; more follow from some of them. */
const STEPS = 20;
const NAME = `Authority agrees with upstream on ${WORLDS} random worlds, and those hold all that can happen`;

const built = await buildTkaOracle();
if (built.kind === "skip") Deno.test({ name: `${NAME} (skipped: ${built.reason})`, ignore: true, fn: () => {} });
else {
  Deno.test(NAME, async () => {
    const { tally, difference } = await compareOnThreads(built.path, 1, WORLDS, 2, STEPS);
    console.log(`${tally.worlds} worlds, ${tally.steps} steps alike, ${tally.accepted} accepted`);
    for (const name of COVERED) console.log(`${String(tally.covered.get(name) ?? 0).padStart(6)} worlds with ${name}`);
    for (const [name, why] of Object.entries(KNOWN_DIFFERENCES)) {
      const count = tally.known.get(name as keyof typeof KNOWN_DIFFERENCES) ?? 0;
      console.log(`${String(count).padStart(6)} worlds end where it is known to differ: ${name} (${why})`);
    }
    if (difference !== undefined) assert.fail(difference);
    for (const [seed, size, what] of FOUND) {
      const found = await compareOnThreads(built.path, seed, 1, 1, size);
      assert.equal(found.difference, undefined, what);
    }
    assert.equal(tally.worlds, WORLDS);
    assert.ok(tally.accepted > tally.steps / 4, "most steps are refusals only: they prove little");
    for (const name of COVERED) assert.ok((tally.covered.get(name) ?? 0) > 0, `no world with ${name}`);
  });
}
