// Registers tests that need tka-oracle; without Go they are there by name, ignored, with the reason.

import { buildTkaOracle } from "./build.ts";
import { TkaOracle } from "./tka_oracle.ts";

const built = await buildTkaOracle();

/** A Deno test with the oracle, started. Where it cannot be built the test is ignored and says why. */
export function oracleTest(name: string, fn: (oracle: TkaOracle) => Promise<void>): void {
  if (built.kind === "skip") {
    Deno.test({ name: `${name} (skipped: ${built.reason})`, ignore: true, fn: () => {} });
    return;
  }
  const { path } = built;
  Deno.test(name, async () => {
    await using oracle = new TkaOracle(path);
    await fn(oracle);
  });
}
