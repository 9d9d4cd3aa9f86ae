import assert from "node:assert/strict";

const FOLDERS = ["base", "cli", "control", "daemon", "derp", "engine", "ffi", "tka"];

/** Starts what it is given by path: the callers find it, it is the operator's own hook, or a lab's namespace. */
const GIVEN_A_PATH = ["daemon/netfilter/run_program.ts", "daemon/expiry_hook.ts", "ffi/netns.ts"];

function* sources(folder: string): Generator<[path: string, text: string]> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* sources(path);
    else if (name.endsWith(".ts")) yield [path, Deno.readTextFileSync(path)];
  }
}

Deno.test("TS-2026-001, -010: programs of others are found at fixed paths, take lists of arguments, and a shell runs no text but ours", () => {
  let starts = 0;
  for (const [path, text] of FOLDERS.flatMap((folder) => [...sources(folder)])) {
    assert.doesNotMatch(text, /from "(?:node:)?child_process"/, path);
    assert.doesNotMatch(text, /shell: true/, path);
    for (const [, script] of text.matchAll(/"-c",\s*([^,\]]*)/g)) {
      const constant = new RegExp(`^const ${script} = (?:'[^'\\n]*'|"[^"\\n]*");$`, "m");
      assert.match(text, constant, `${path}: what a shell runs is written here, whole; all else are its arguments`);
    }
    for (const [, program] of text.matchAll(/new Deno\.Command\(([^,]*),/g)) {
      starts++;
      const found = GIVEN_A_PATH.includes(path) || /from "[./]*base\/programs\.ts"/.test(text);
      assert.ok(found, `${path} starts ${program}, which base/programs.ts does not know`);
      assert.match(program, /^[^"'`]+$|^"\/bin\/sh"$/, `${path}: a path of base/programs.ts, no text`);
    }
  }
  assert.ok(starts >= 4, `${starts} places`);
});

Deno.test("TS-2026-010: no argument of a program that is started comes from a secret", () => {
  for (const [path, text] of FOLDERS.flatMap((folder) => [...sources(folder)])) {
    if (!/new Deno\.Command\(|runProgram\(/.test(text)) continue;
    assert.doesNotMatch(text, /reveal(?:Text)?\(/, `${path} starts programs and reveals secrets`);
  }
});
