/** L16: no node is ever lost. More histories: deno task lost-nodes. */
import { playOnThreads } from "../../support/lost_nodes_threads.ts";

const HISTORIES = 2000;
const LONG = 20;

Deno.test(`L16: in ${HISTORIES} histories, and ${LONG} of up to 100,000 AUMs, every node ends in sync, or is told how and then does`, async () => {
  const { ends, aums } = await playOnThreads({ firstSeed: 1, histories: HISTORIES, most: 2000, long: LONG }, 2);
  console.log(`${HISTORIES + LONG} histories of ${aums} AUMs:`);
  for (const [name, count] of Object.entries(ends).sort()) console.log(`${String(count).padStart(6)} ${name}`);
});
