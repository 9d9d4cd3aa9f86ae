import assert from "node:assert/strict";
import { instanceOf, ONE_NODE } from "../../daemon/instance.ts";
import { allowMarkedAnswers, restoreMarkedAnswers } from "../../daemon/marked_answers.ts";

const WORK = instanceOf("work")!;
const nobody = () => [];

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
  assert.equal(restoreMarkedAnswers(WORK, write, read, nobody), undefined, "another instance's");
  assert.equal(state.value, "52");
  assert.equal(restoreMarkedAnswers(ONE_NODE, write, read, nobody), 0);
  assert.equal(state.value, "0");
  assert.equal(restoreMarkedAnswers(ONE_NODE, write, read, nobody), undefined);
});

Deno.test("src_valid_mark that others set before or after stays theirs", () => {
  const before = kernel("1");
  allowMarkedAnswers(ONE_NODE, before.write, before.read);
  assert.equal(restoreMarkedAnswers(ONE_NODE, before.write, before.read, nobody), undefined);
  assert.equal(before.state.value, "1");
  const after = kernel("0");
  allowMarkedAnswers(ONE_NODE, after.write, after.read);
  after.write("", "1");
  restoreMarkedAnswers(ONE_NODE, after.write, after.read, nobody);
  assert.equal(after.state.value, "1");
});

Deno.test("src_valid_mark that cannot be set is said", () => {
  const refuse = () => {
    throw new Error("Read-only file system");
  };
  assert.match(allowMarkedAnswers(ONE_NODE, refuse, () => "0"), /src_valid_mark.*Read-only file system/);
  assert.equal(restoreMarkedAnswers(ONE_NODE, refuse, () => "52", nobody), undefined);
});

Deno.test("src_valid_mark is left to another instance that needs it, by whoever goes first, and put back by the last", () => {
  for (const [first, last] of [[ONE_NODE, WORK], [WORK, ONE_NODE]]) {
    const { state, write, read } = kernel("0");
    const exits = new Set<number>();
    const others = ({ table }: typeof ONE_NODE) => () => [...exits].filter((other) => other !== table);
    for (const instance of [first, last]) {
      exits.add(instance.table);
      assert.equal(allowMarkedAnswers(instance, write, read), "");
    }
    assert.equal(state.value, String(first.table));
    exits.delete(first.table);
    assert.equal(restoreMarkedAnswers(first, write, read, others(first)), last.table);
    assert.equal(state.value, String(last.table), "never 0 in between, and whose it is now");
    exits.delete(last.table);
    assert.equal(restoreMarkedAnswers(last, write, read, others(last)), 0);
    assert.equal(state.value, "0");
  }
});

Deno.test("src_valid_mark is there for an instance that began while another put it back", () => {
  const { state, write, read } = kernel(String(ONE_NODE.table));
  const exits: number[] = [];
  const late = (path: string, value: string) => {
    // It looked before the write, and its route is there since.
    if (value === "0") exits.push(WORK.table);
    write(path, value);
  };
  assert.equal(restoreMarkedAnswers(ONE_NODE, late, read, () => exits), WORK.table);
  assert.equal(state.value, String(WORK.table));
});

Deno.test("src_valid_mark stays where nobody can say who needs it", () => {
  const { state, write, read } = kernel("52");
  const unknown = () => {
    throw new Error("netlink: no buffer space");
  };
  assert.equal(restoreMarkedAnswers(ONE_NODE, write, read, unknown), undefined);
  assert.equal(state.value, "52");
});
