/**
 * Compares our Tailnet Lock with upstream's on many random worlds, and prints the first one where they differ.
 *
 * deno task oracle [--worlds 1000000] [--seed 1] [--size 24]
 * Builds the Go program of tests/interop/tka first; a world is named by its seed and can be run alone with --worlds 1.
 */
import { parseArgs } from "node:util";
import { buildTkaOracle } from "../tests/interop/support/build.ts";
import { compareWorlds, describe } from "../tests/interop/support/tka_differences.ts";
import { TkaOracle } from "../tests/interop/support/tka_oracle.ts";

const { values } = parseArgs({
  options: {
    worlds: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    size: { type: "string", default: "24" },
  },
});
const [worlds, seed, size] = [values.worlds, values.seed, values.size].map(Number);
const built = await buildTkaOracle();
if (built.kind === "skip") {
  console.error(`Cannot ask the oracle: ${built.reason}`);
  Deno.exit(1);
}

await using oracle = new TkaOracle(built.path);
const started = performance.now();
const known = new Map<string, number>();
let steps = 0;
const chunk = 5000;
for (let done = 0; done < worlds; done += chunk) {
  const count = Math.min(chunk, worlds - done);
  const { tally, difference } = await compareWorlds(oracle, seed + done, count, size);
  steps += tally.steps;
  for (const [name, times] of tally.known) known.set(name, (known.get(name) ?? 0) + times);
  if (difference !== undefined) {
    console.error(describe(difference));
    console.error(`Again: deno task oracle --seed ${difference.seed} --worlds 1 --size ${size}`);
    Deno.exit(1);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${done + count} worlds, ${steps} steps alike, ${seconds} s`);
}
for (const [name, times] of known) console.log(`known difference: ${name}: ${times} worlds`);
