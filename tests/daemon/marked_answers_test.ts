import assert from "node:assert/strict";
import { instanceOf, ONE_NODE } from "../../daemon/instance.ts";
import { allowMarkedAnswers, restoreMarkedAnswers } from "../../daemon/marked_answers.ts";

const WORK = instanceOf("work")!;

function kernel(value: string) {
  const state = { value };
  return {
    state,
    write: (_path: string, value: string) => void (state.value = value),
    read: () => `${state.value}\n`,
  };
}

Deno.test("src_valid_mark is set while it is needed, and put back, by a process that did not set it too", () => {
  const { state, write, read } = kernel("0");
  assert.equal(allowMarkedAnswers(ONE_NODE, write, read), "");
  assert.equal(state.value, "52");
  assert.equal(restoreMarkedAnswers(WORK, write, read), false, "another instance's");
  assert.equal(state.value, "52");
  assert.equal(restoreMarkedAnswers(ONE_NODE, write, read), true);
  assert.equal(state.value, "0");
  assert.equal(restoreMarkedAnswers(ONE_NODE, write, read), false);
});

Deno.test("src_valid_mark that others set before or after stays theirs", () => {
  const before = kernel("1");
  allowMarkedAnswers(ONE_NODE, before.write, before.read);
  assert.equal(restoreMarkedAnswers(ONE_NODE, before.write, before.read), false);
  assert.equal(before.state.value, "1");
  const after = kernel("0");
  allowMarkedAnswers(ONE_NODE, after.write, after.read);
  after.write("", "1");
  restoreMarkedAnswers(ONE_NODE, after.write, after.read);
  assert.equal(after.state.value, "1");
});

Deno.test("src_valid_mark that cannot be set is said", () => {
  const refuse = () => {
    throw new Error("Read-only file system");
  };
  assert.match(allowMarkedAnswers(ONE_NODE, refuse, () => "0"), /src_valid_mark.*Read-only file system/);
  assert.equal(restoreMarkedAnswers(ONE_NODE, refuse, () => "52"), false);
});
