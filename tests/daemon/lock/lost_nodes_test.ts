/** L16: no node is ever lost. More histories: deno task lost-nodes. */
import { playOnThreads } from "../../support/lost_nodes_threads.ts";

const HISTORIES = 2000;
const LONG = 20;
/** Histories that many more runs found: seed, and what befell the node. */
const FOUND = [
  [322_245, "it died while it wrote the first AUM of the lock after its own, and control then denied that one"],
] as const;

Deno.test(`L16: in ${HISTORIES} histories, and ${LONG} of up to 100,000 AUMs, every node ends in sync, or is told how and then does`, async () => {
  const { ends, aums } = await playOnThreads({ firstSeed: 1, histories: HISTORIES, most: 2000, long: LONG }, 2);
  console.log(`${HISTORIES + LONG} histories of ${aums} AUMs:`);
  for (const [name, count] of Object.entries(ends).sort()) console.log(`${String(count).padStart(6)} ${name}`);
});

for (const [seed, what] of FOUND) {
  Deno.test(`L16: a node is not lost when ${what}`, async () => {
    await playOnThreads({ firstSeed: seed, histories: 1, most: 2000, long: 0 }, 1);
  });
}
