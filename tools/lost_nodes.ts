/**
 * Plays many histories of a node and its control with the daemon's own lock, and stops at the first that loses the node.
 *
 * deno task lost-nodes [--histories 100000] [--seed 1] [--most 2000] [--long 20] [--threads 2]
 * deno task lost-nodes --upstream [--histories …] [--seed …] [--most …]
 * Lengths are log-uniform up to --most; then come --long histories of 10,000 to 100,000 AUMs. With --upstream the same
 * seeds are played by Tailscale's package on both ends, and what it loses is counted.
 */
import { parseArgs } from "node:util";
import { buildTkaOracle } from "../tests/interop/support/build.ts";
import { upstreamLosses } from "../tests/interop/support/tka_histories.ts";
import { playOnThreads } from "../tests/support/lost_nodes_threads.ts";

const { values } = parseArgs({
  options: {
    histories: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    most: { type: "string", default: "2000" },
    long: { type: "string", default: "20" },
    threads: { type: "string", default: "2" },
    upstream: { type: "boolean", default: false },
  },
});
const [histories, firstSeed, most, long, threads] = [
  values.histories,
  values.seed,
  values.most,
  values.long,
  values.threads,
].map(Number);
const started = performance.now();
const report = ({ ends, aums }: { ends: Readonly<Record<string, number>>; aums: number }) => {
  const played = Object.values(ends).reduce((sum, count) => sum + count, 0);
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`${played} histories of ${aums} AUMs, ${seconds} s: ${JSON.stringify(ends)}`);
};

if (values.upstream) {
  const built = await buildTkaOracle();
  if (built.kind === "skip") {
    console.error(`Cannot ask upstream: ${built.reason}`);
    Deno.exit(1);
  }
  const { lost, why } = await upstreamLosses(built.path, firstSeed, histories, most);
  console.log(`of ${histories} nodes upstream's package loses ${lost}: ${JSON.stringify(why)}`);
  Deno.exit(0);
}
try {
  report(await playOnThreads({ firstSeed, histories, most, long }, threads, report));
} catch (cause) {
  console.error(cause instanceof Error ? cause.message : cause);
  Deno.exit(1);
}
