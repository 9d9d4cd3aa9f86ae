/**
 * Runs many histories of a node and its control, and stops at the first one that loses the node.
 *
 * deno task lost-nodes [--histories 100000] [--seed 1] [--most 2000] [--long 20]
 * Lengths are log-uniform up to --most; then come --long histories of 10,000 to 100,000 AUMs.
 */
import { parseArgs } from "node:util";
import { logUniform, runHistory } from "../tests/support/lost_nodes.ts";
import { SeededRandom } from "../tests/support/random.ts";

const { values } = parseArgs({
  options: {
    histories: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    most: { type: "string", default: "2000" },
    long: { type: "string", default: "20" },
  },
});
const [histories, first, most, long] = [values.histories, values.seed, values.most, values.long].map(Number);
const ends: Record<string, number> = {};
const started = performance.now();
const seconds = () => ((performance.now() - started) / 1000).toFixed(0);

async function run(seed: number, lengthOf: (random: SeededRandom) => number): Promise<void> {
  const random = new SeededRandom(seed);
  try {
    const { end } = await runHistory(random, lengthOf(random));
    ends[end] = (ends[end] ?? 0) + 1;
  } catch (error) {
    console.error(`history ${seed} loses its node: ${error}`);
    Deno.exit(1);
  }
}

for (let i = 0; i < histories; i++) {
  await run(first + i, (random) => logUniform(random, most));
  if ((i + 1) % 500 === 0) console.log(`${i + 1} histories, ${JSON.stringify(ends)}, ${seconds()} s`);
}
for (let i = 0; i < long; i++) {
  await run(first + histories + i, (random) => 10_000 + random.int(90_001));
  console.log(`${i + 1} long histories, ${JSON.stringify(ends)}, ${seconds()} s`);
}
