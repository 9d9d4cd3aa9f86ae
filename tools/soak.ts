/**
 * A gigabyte each way over a bad road, every byte compared: `deno task soak [--megabytes N] [--only NAME,…]`, as root;
 * minutes. NAME is one of the crypto providers, or "fastest".
 *
 * All four pairs of inner and outer family with the fastest crypto provider, inner and outer alike for the others. The road
 * loses, doubles and delays one datagram in a hundred each. What a test does with 50 MB in CI.
 */
import { parseArgs } from "node:util";
import { travel } from "../tests/netlab/bad_road.ts";
import { Lab, labUnavailable } from "../tests/netlab/lab.ts";

const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "1024" },
    only: { type: "string", default: "fastest,libcrypto,wasm,noble" },
  },
});
const bytes = Number(values.megabytes) << 20;
const missing = labUnavailable() ?? (bytes > 0 ? undefined : `no number of megabytes: ${values.megabytes}`);
if (missing !== undefined) {
  console.error(`Cannot soak: ${missing}`);
  Deno.exit(1);
}
const timeout = 60_000 + bytes / 1e6 * 1000;
await using lab = await Lab.create();
const startedAt = performance.now();
for (const name of values.only.split(",")) {
  const crypto = name === "fastest" ? "" : name;
  for (const outer of [4, 6] as const) {
    const inners = crypto === "" ? [4, 6] as const : [outer];
    for (const inner of inners) {
      await travel(lab, `${name}${outer}${inner}`, { crypto, outer, inner: [inner], bytes, timeout });
    }
  }
}
console.log(`every hash was equal, in ${((performance.now() - startedAt) / 60_000).toFixed(1)} min`);
