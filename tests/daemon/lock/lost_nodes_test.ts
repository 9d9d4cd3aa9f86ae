/** L16: no node is ever lost. More histories: deno task lost-nodes. */
import assert from "node:assert/strict";
import { logUniform, runHistory } from "../../support/lost_nodes.ts";
import { SeededRandom } from "../../support/random.ts";

const HISTORIES = 150;

Deno.test(`L16: in ${HISTORIES} histories of up to 2,000 AUMs every node ends in sync`, async () => {
  const ends = { synced: 0, "re-bootstrapped": 0, "remedy followed": 0 };
  for (let seed = 1; seed <= HISTORIES; seed++) {
    const random = new SeededRandom(seed);
    try {
      ends[(await runHistory(random, logUniform(random, 2000))).end]++;
    } catch (error) {
      assert.fail(`history ${seed}: ${error}`);
    }
  }
  // With an honest control in the end and compaction that stops at what it acknowledged, nobody needs a remedy.
  assert.equal(ends["remedy followed"], 0);
  console.log(`${HISTORIES} histories: ${JSON.stringify(ends)}`);
});
