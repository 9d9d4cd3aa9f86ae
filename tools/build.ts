/**
 * Makes `dist/agent`, one executable file, and beside it `agent-<version>.deb` and `agent-<version>.tar.gz` with the
 * unit, the completions and the manual page.
 *
 *   1. `deno compile`, where its runtime can be had: the form that is released.
 *   2. Else a self-extracting file of the same sources (`build/self_extracting.ts`).
 *
 * The bytes depend on the commit alone, not on where or when it is built.
 *
 * deno task build [--self-extracting] [--zstd] [--no-packages] [--output FILE] [--target aarch64-unknown-linux-gnu [--runtime FILE]]
 *   --runtime FILE   the Deno to put into a self-extracting file for another machine
 */
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { compile } from "./build/compile.ts";
import { packages } from "./build/packages.ts";
import { selfExtracting } from "./build/self_extracting.ts";
import { revisionOf, stageSources } from "./build/stage.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({
  options: {
    "self-extracting": { type: "boolean" },
    zstd: { type: "boolean" },
    "no-packages": { type: "boolean" },
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

/** Puts a file into place whole: who runs the old one goes on with it. */
async function replace(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  await Deno.writeFile(`${path}.new`, bytes);
  await Deno.chmod(`${path}.new`, mode);
  await Deno.rename(`${path}.new`, path);
}

const arch = values.target.split("-")[0];
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
      arch,
      version: revision.version,
      compression: values.zstd ? "zstd" : "gzip",
    });
    await replace(output, bytes, 0o755);
    console.log(`${output}: self-extracting for ${values.target}, ${(bytes.length / 1e6).toFixed(1)} MB`);
  }
  if (!values["no-packages"]) {
    const executable = await Deno.readFile(output);
    for (const [name, bytes] of await packages({ stage, executable, arch, revision })) {
      await replace(`${dirname(output)}/${name}`, bytes, 0o644);
      console.log(`${dirname(output)}/${name}: ${(bytes.length / 1e6).toFixed(1)} MB`);
    }
  }
} finally {
  await Deno.remove(work, { recursive: true });
}
