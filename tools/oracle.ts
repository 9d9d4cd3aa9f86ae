/**
 * Compares our Tailnet Lock with upstream's on many random worlds and stops at the first one where they differ.
 *
 * deno task oracle [--worlds 1000000] [--seed 1] [--size 24] [--threads 2]
 * Builds the Go program of tests/interop/tka first; a world is named by its seed and can be run alone with --worlds 1.
 */
import { parseArgs } from "node:util";
import { buildTkaOracle } from "../tests/interop/support/build.ts";
import { addTally, emptyTally } from "../tests/interop/support/tka_differences.ts";
import { compareOnThreads } from "../tests/interop/support/tka_worlds.ts";

const { values } = parseArgs({
  options: {
    worlds: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    size: { type: "string", default: "24" },
    threads: { type: "string", default: "2" },
  },
});
const [worlds, seed, size, threads] = [values.worlds, values.seed, values.size, values.threads].map(Number);
const built = await buildTkaOracle();
if (built.kind === "skip") {
  console.error(`Cannot ask the oracle: ${built.reason}`);
  Deno.exit(1);
}

const started = performance.now();
const sum = emptyTally();
const chunk = 5000;
for (let done = 0; done < worlds; done += chunk) {
  const count = Math.min(chunk, worlds - done);
  const { tally, difference } = await compareOnThreads(built.path, seed + done, count, threads, size);
  addTally(sum, tally);
  if (difference !== undefined) {
    console.error(difference);
    console.error(`Again: deno task oracle --worlds 1 --size ${size} --seed <its number>`);
    Deno.exit(1);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${sum.worlds} worlds, ${sum.steps} steps alike, ${seconds} s`);
}
for (const [name, count] of sum.covered) console.log(`${String(count).padStart(8)} worlds with ${name}`);
for (const [name, times] of sum.known) console.log(`known difference: ${name}: ${times} worlds`);
