// What becomes, with upstream's package on both ends, of the nodes that none of ours loses (lost_nodes_test.ts).

import assert from "node:assert/strict";
import { logUniform, makeLocks, makeScript } from "../support/history.ts";
import { playHistory } from "../support/lost_nodes.ts";
import { SeededRandom } from "../support/random.ts";
import { buildTkaOracle } from "./support/build.ts";
import { upstreamLosses } from "./support/tka_histories.ts";

const HISTORIES = 100;
const NAME = `L16: of ${HISTORIES} histories upstream loses many nodes, and ours none`;

const built = await buildTkaOracle();
if (built.kind === "skip") Deno.test({ name: `${NAME} (skipped: ${built.reason})`, ignore: true, fn: () => {} });
else {
  Deno.test(NAME, async () => {
    const theirs = upstreamLosses(built.path, 1, HISTORIES, 2000);
    const locks = makeLocks(6, 2000);
    for (let seed = 1; seed <= HISTORIES; seed++) {
      const random = new SeededRandom(seed);
      await playHistory(makeScript(random, logUniform(random, 2000)), locks);
    }
    const { lost, why } = await theirs;
    console.log(`of ${HISTORIES} nodes upstream's package loses ${lost}, ours 0:`);
    for (const [kind, count] of Object.entries(why)) console.log(`${String(count).padStart(6)} ${kind}`);
    assert.ok(lost > 0);
  });
}
