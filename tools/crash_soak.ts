/**
 * Kills a node at 200 random moments: see `tests/netlab/crashes.ts`. Minutes; by hand, as root.
 *
 * deno task crash-soak [COUNT [SEED]]
 */
import { killAtRandom } from "../tests/netlab/crashes.ts";
import { SeededRandom } from "../tests/support/random.ts";

const [count = "200", seed = String(Date.now() >>> 0)] = Deno.args;
console.log(`seed ${seed}`);
await killAtRandom(Number(count), new SeededRandom(Number(seed)));
