/**
 * Makes `dist/agent`, one executable file.
 *
 *   1. `deno compile`, where its runtime can be had: the form that is released.
 *   2. Else a self-extracting file of the same sources (`build/self_extracting.ts`).
 *
 * The bytes depend on the commit alone, not on where or when it is built.
 *
 * deno task build [--self-extracting] [--zstd] [--output FILE] [--target aarch64-unknown-linux-gnu [--runtime FILE]]
 *   --runtime FILE   the Deno to put into a self-extracting file for another machine
 */
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { compile } from "./build/compile.ts";
import { selfExtracting } from "./build/self_extracting.ts";
import { revisionOf, stageSources } from "./build/stage.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({
  options: {
    "self-extracting": { type: "boolean" },
    zstd: { type: "boolean" },
    output: { type: "string", default: `${ROOT}/dist/agent` },
    target: { type: "string", default: Deno.build.target },
    runtime: { type: "string" },
  },
});
const output = resolve(values.output);
if (values.target !== Deno.build.target && values["self-extracting"] && values.runtime === undefined) {
  console.error("--target with --self-extracting needs --runtime: the program `deno` for that machine, from npm");
  Deno.exit(2);
}

const revision = await revisionOf(ROOT);
const work = await Deno.makeTempDir({ prefix: "agent-build-" });
// The name of the folder gets into a compiled executable.
const stage = `${work}/agent`;
try {
  await stageSources(ROOT, stage, revision);
  await Deno.mkdir(dirname(output), { recursive: true });
  const compiled = values["self-extracting"] ? "not wanted" : await compile({ stage, output, target: values.target });
  if (compiled === undefined) {
    console.log(`${output}: compiled for ${values.target}`);
  } else {
    if (!values["self-extracting"]) {
      console.log(`deno compile cannot be used here (${compiled}): self-extracting instead`);
    }
    const bytes = await selfExtracting({
      stage,
      runtime: values.runtime ?? Deno.execPath(),
      arch: values.target.split("-")[0],
      version: revision.version,
      compression: values.zstd ? "zstd" : "gzip",
    });
    await Deno.writeFile(`${output}.new`, bytes, { mode: 0o755 });
    await Deno.chmod(`${output}.new`, 0o755);
    // A running agent is the old file still.
    await Deno.rename(`${output}.new`, output);
    console.log(`${output}: self-extracting for ${values.target}, ${(bytes.length / 1e6).toFixed(1)} MB`);
  }
} finally {
  await Deno.remove(work, { recursive: true });
}
