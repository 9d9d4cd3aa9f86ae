/**
 * Runs every test: layers, then the suites of `suites.ts`, then a table of times and one closing line
 * `N passed, N failed, N skipped`.
 *
 * deno task test [--only SUITE] [--filter TEXT] [FILE ...]
 * With CI=true a skipped test is a failure: on the project's own machines nothing may be missing.
 */
import { parseArgs } from "node:util";
import { brokenRules } from "./check_layers.ts";
import { suiteOf, SUITES } from "./suites.ts";
import type { Suite } from "./suites.ts";

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const { values, positionals } = parseArgs({
  options: { only: { type: "string" }, filter: { type: "string" } },
  allowPositionals: true,
});
const inCi = Deno.env.get("CI") === "true";

async function testFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) found.push(...await testFiles(path));
    else if (entry.name.endsWith("_test.ts")) found.push(path);
  }
  return found.sort();
}

// deno-lint-ignore no-control-regex
const COLOUR = /\x1b\[[0-9;]*m/g;

function writeAll(bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += Deno.stdout.writeSync(bytes.subarray(written));
}

/** Shows what `deno test` prints, as it comes or, of a suite in the background, at its end; counts by its closing line. */
async function run(suite: Suite, files: readonly string[]): Promise<Outcome> {
  const filter = values.filter === undefined ? [] : [`--filter=${values.filter}`];
  const command = [Deno.execPath(), "test", "--no-prompt", "--parallel", ...suite.permissions, ...filter, ...files];
  const [program, ...args] = suite.background ? ["nice", "-n", "19", ...command] : command;
  const title = `\n== ${suite.name}: ${files.length} files`;
  if (!suite.background) console.log(title);
  const child = new Deno.Command(program, {
    args,
    env: { DENO_JOBS: String(suite.jobs), NO_COLOR: "1" },
    stdout: "piped",
    stderr: suite.background ? "piped" : "inherit",
  }).spawn();
  const errors = suite.background ? new Response(child.stderr).text() : Promise.resolve("");
  let printed = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    if (!suite.background) writeAll(chunk);
    printed += decoder.decode(chunk, { stream: true });
  }
  if (suite.background) console.log(`${title}\n${printed}${await errors}`);
  const tail = printed.slice(-4000);
  const { code } = await child.status;
  const count = (word: string) => {
    const matches = [...tail.replace(COLOUR, "").matchAll(new RegExp(`(\\d+) ${word}`, "g"))];
    return Number(matches.at(-1)?.[1] ?? 0);
  };
  const outcome = { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
  // A run that died before its closing line has failed, whatever it counted.
  return code !== 0 && outcome.failed === 0 ? { ...outcome, failed: 1 } : outcome;
}

const rows: string[] = [];
const total = { passed: 0, failed: 0, skipped: 0 };
function add(name: string, outcome: Outcome, startedAt: number): void {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const { passed, failed, skipped } = outcome;
  rows.push(
    `${name.padEnd(10)}${seconds.padStart(8)} s${String(passed).padStart(8)}${String(failed).padStart(8)}${
      String(skipped).padStart(9)
    }`,
  );
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
}

if (values.only !== undefined && !SUITES.some(({ name }) => name === values.only)) {
  console.error(`Unknown suite "${values.only}": want one of ${SUITES.map(({ name }) => name).join(", ")}`);
  Deno.exit(2);
}

// On a bare machine every npm package comes first: a test that reads what the program prints must not see downloads.
const install = await new Deno.Command(Deno.execPath(), { args: ["install", "--frozen", "--quiet"] }).spawn().status;
if (!install.success) Deno.exit(1);

// The Go programs that real-peer tests talk to take minutes to build from nothing: begin now.
const wanted = positionals.length > 0 ? positionals : await testFiles("tests");
const needsGo = wanted.some((path) =>
  path.startsWith("tests/interop/") && (values.only ?? suiteOf(path).name) === suiteOf(path).name
);
const build = needsGo
  ? new Deno.Command(Deno.execPath(), { args: ["run", "-A", "tests/interop/support/build.ts"], stdout: "null" }).spawn()
  : undefined;

if (values.only === undefined && positionals.length === 0) {
  const startedAt = performance.now();
  const broken = await brokenRules();
  for (const line of broken) console.error(line);
  add("layers", { passed: broken.length === 0 ? 1 : 0, failed: broken.length, skipped: 0 }, startedAt);
}
const inBackground: Promise<void>[] = [];
for (const suite of SUITES) {
  if (values.only !== undefined && values.only !== suite.name) continue;
  const files = wanted.filter((path) => suiteOf(path) === suite);
  if (files.length === 0) continue;
  if (suite.name === "interop") await build?.status;
  const startedAt = performance.now();
  const done = run(suite, files).then((outcome) => add(suite.name, outcome, startedAt));
  if (suite.background) inBackground.push(done);
  else await done;
}
await Promise.all(inBackground);

console.log(`\nsuite         time      passed  failed  skipped`);
for (const row of rows) console.log(row);
if (inCi && total.skipped > 0) {
  console.log(`${total.skipped} skipped: with CI=true nothing may be`);
  total.failed += total.skipped;
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
Deno.exit(total.failed === 0 ? 0 : 1);
