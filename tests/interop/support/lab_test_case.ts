// Registers tests that need the lab program; without Go they are there by name, ignored, with the reason.

import { buildLab } from "./build.ts";

const lab = await buildLab();

/** A Deno test that is given the path of the lab program. Where it cannot be built the test is ignored and says why. */
export function labTest(name: string, fn: (path: string, t: Deno.TestContext) => Promise<void>): void {
  if (lab.kind === "skip") {
    Deno.test({ name: `${name} (skipped: ${lab.reason})`, ignore: true, fn: () => {} });
    return;
  }
  const { path } = lab;
  Deno.test(name, async (t) => await fn(path, t));
}
