import assert from "node:assert/strict";
import { reasonOf } from "../../base/reason.ts";

Deno.test("reasonOf() gives an exception's words, of files without number and system call", () => {
  const cases: [unknown, string][] = [
    [new Error("No such file or directory (os error 2): mkdir '/a/b'"), "No such file or directory"],
    [new Error("Permission denied (os error 13): open '/it's (os error 1)/x'"), "Permission denied"],
    [new Error("Is a directory (os error 21)"), "Is a directory"],
    [new Error("gone (os error 2): and more"), "gone (os error 2): and more"],
    [new Error("plain"), "plain"],
    ["text", "text"],
    [undefined, "undefined"],
  ];
  for (const [cause, text] of cases) assert.equal(reasonOf(cause), text);
});
