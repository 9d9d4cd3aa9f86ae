/** Every command and flag that a text of ours names is there: in README and its like, in errors and hints, in help. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { CompletedCommand } from "../../cli/completion/commands.ts";
import { completedCommands } from "../../cli/completion.ts";
import { about } from "../../cli/coordinator.ts";
import { run as runKeys } from "../../cli/coordinator/keys.ts";
import { run as runNodes } from "../../cli/coordinator/nodes.ts";
import { run as runRoutes } from "../../cli/coordinator/routes.ts";
import { SERVERS, VERBS } from "../../cli/run.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Of `agent` itself, and of every command. */
const ANYWHERE = ["help", "version", "instance", "socket"];

/** A command line that a text has, with its place. */
interface Named {
  readonly words: readonly string[];
  readonly at: string;
}

/** From one to its end: a comment, another command, a closing quote or the code's end. */
function commandLines(code: string, at: string): Named[] {
  return [...code.matchAll(/(?<![\w/.-])agent ((?:--[a-z]|[a-z])[^\n'`#|&;\\]*)/g)].map(([, rest]) => ({
    words: rest.trim().split(/\s+/),
    at,
  }));
}

/** In a document: what stands in blocks and spans of code. */
function inMarkdown(text: string, file: string): Named[] {
  const blocks = [...text.matchAll(/^```\w*\n([^]*?)^```/gm)].map(([, code]) => code);
  const spans = [...text.replaceAll(/^```[^]*?^```/gm, "").matchAll(/`([^`]+)`/g)].map(([, code]) => code);
  return [...blocks, ...spans].flatMap((code) => commandLines(code, `${file}: ${code.split("\n")[0]}`));
}

/** In a program: what stands between quotes within a text, `'agent up'`. */
function inSource(text: string, file: string): Named[] {
  const named = text.replaceAll(/\$?\{(program|agent|sudo)\}/g, "agent");
  return [...named.matchAll(/(?:'|Usage: | {2})(agent [a-z-][^'\n]*)/g)].flatMap(([, code]) =>
    commandLines(code, `${file}: ${code}`)
  );
}

/** What is wrong with it, undefined for nothing. */
function wrong({ words, at }: Named, commands: readonly CompletedCommand[]): string | undefined {
  const rest = [...words];
  while (/^--(instance|socket)$/.test(rest[0] ?? "")) rest.splice(0, 2);
  const [name = "", ...args] = rest;
  if (/^--(help|version)$|^[A-Z…]|^\$/.test(name)) return undefined;
  const command = commands.find((one) => one.name === name);
  if (command === undefined) return `${at}: there is no command "${name}"`;
  const own = args[0] ?? "";
  if (command.commands.length > 0 && /^[a-z][a-z-]+$/.test(own) && !command.commands.includes(own)) {
    return `${at}: there is no command "${name} ${own}"`;
  }
  const flags = args.slice(0, args.includes("--") ? args.indexOf("--") : undefined)
    .flatMap((word) => /^--([a-z][a-z-]*)/.exec(word)?.[1] ?? []);
  const missing = flags.find((flag) => !ANYWHERE.includes(flag) && !command.flags.some((one) => one.name === flag));
  return missing === undefined ? undefined : `${at}: ${name} has no flag --${missing}`;
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(`${ROOT}${folder}`)) {
    if (isDirectory) yield* sources(`${folder}/${name}`);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}

Deno.test("wrong() sees a command, a command's command and a flag that are not there", async () => {
  const commands = await completedCommands("agent");
  const about = (line: string) => wrong(commandLines(line, "x")[0], commands);
  for (
    const line of ["agent up --auth-key k", "agent --instance w lock sign K", "agent --help", "agent nc web1 5432"]
  ) {
    assert.equal(about(line), undefined);
  }
  assert.equal(about("agent upp"), 'x: there is no command "upp"');
  assert.equal(about("agent lock sing K"), 'x: there is no command "lock sing"');
  assert.equal(about("agent status --jason"), "x: status has no flag --jason");
  assert.equal(about("agent coordinator node list"), 'x: there is no command "coordinator node"');
});

Deno.test("every command that documents name is there, with its flags", async () => {
  const commands = await completedCommands("agent");
  const named: Named[] = [];
  for (
    const file of ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "BENCHMARKS.md"]
  ) {
    named.push(...inMarkdown(await Deno.readTextFile(`${ROOT}${file}`), file));
  }
  assert.ok(named.length > 60, String(named.length));
  assert.deepEqual(named.flatMap((line) => wrong(line, commands) ?? []), []);
});

Deno.test("every command that errors, hints and help name is there, with its flags", async () => {
  const commands = await completedCommands("agent");
  const named: Named[] = [];
  for (const folder of ["base", "cli", "control", "daemon", "derp", "engine", "ffi", "tka", "tools"]) {
    for await (const file of sources(folder)) named.push(...inSource(await Deno.readTextFile(`${ROOT}${file}`), file));
  }
  assert.ok(named.length > 40, String(named.length));
  assert.deepEqual(named.flatMap((line) => wrong(line, commands) ?? []), []);
});

Deno.test("no line of a help text is longer than 120 characters", async () => {
  const texts = await Promise.all([
    ...Object.values(VERBS).map(async ({ load }) => await load()),
    ...Object.values(SERVERS).map(({ about }) => about()),
  ]);
  const lines = texts.flatMap(({ help, commands = {} }) => [help, ...Object.values(commands)]).join("\n").split("\n");
  assert.deepEqual(lines.filter((line) => line.replaceAll("{program}", "agent").length > 120), []);
});

Deno.test("a help text tells of every command that its verb has, and of no other", async () => {
  for (const [name, { load }] of Object.entries(VERBS)) {
    const { help, commands = {} } = await load();
    for (const own of Object.keys(commands)) {
      assert.match(help, new RegExp(`(^ +|\\b${name} |\\| )${own}\\b`, "m"), `${name} ${own}`);
    }
  }
  const { help, commands } = await about();
  const groups = { keys: runKeys, nodes: runNodes, routes: runRoutes };
  assert.deepEqual(Object.keys(groups).sort(), Object.keys(commands).sort());
  for (const [group, run] of Object.entries(groups)) {
    const refused = await run(["nosuch"]).then(() => "", (error: Error) => error.message);
    const verbs = refused.split(": want ")[1].split(/, | or /);
    const listed = new RegExp(`^ {2}agent coordinator ${group} ([a-z|]+)`, "m").exec(help)?.[1].split("|");
    assert.deepEqual(listed, verbs, `agent coordinator ${group}`);
  }
});
