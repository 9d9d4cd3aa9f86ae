import assert from "node:assert/strict";
import { utf8 } from "../../base/bytes.ts";
import { formatState, MemoryState, StateFile, StateFileError } from "../../daemon/state_file.ts";

function inDirectory(run: (directory: string) => void): void {
  const directory = Deno.makeTempDirSync({ prefix: "agent-state-" });
  try {
    run(directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function openError(path: string): string {
  try {
    StateFile.open(path).close();
  } catch (error) {
    assert.ok(error instanceof StateFileError, String(error));
    assert.ok(!error.message.includes("\n"), error.message);
    return error.message;
  }
  throw new assert.AssertionError({ message: `${path} was opened` });
}

Deno.test("StateFile.open() makes a missing file, mode 0600, in a directory it makes", () =>
  inDirectory((directory) => {
    const path = `${directory}/new/agent.state`;
    StateFile.open(path).close();
    assert.equal(Deno.readTextFileSync(path), "{}");
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    assert.equal(Deno.statSync(`${directory}/new`).mode! & 0o777, 0o700);
  }));

Deno.test("StateFile keeps what is written over a restart, as Go writes it", () =>
  inDirectory((directory) => {
    const path = `${directory}/agent.state`;
    const first = StateFile.open(path);
    first.write("b", utf8("two"));
    first.write("_machinekey", utf8("one"));
    first.write("gone", utf8("x"));
    first.write("gone", undefined);
    first.close();
    // json.MarshalIndent(map[string][]byte, "", "  ")
    assert.equal(Deno.readTextFileSync(path), '{\n  "_machinekey": "b25l",\n  "b": "dHdv"\n}');
    const second = StateFile.open(path);
    assert.deepEqual(second.read("b"), utf8("two"));
    assert.equal(second.read("gone"), undefined);
    second.close();
    assert.deepEqual([...Deno.readDirSync(directory)].map((entry) => entry.name).sort(), [
      "agent.state",
      "agent.state.lock",
    ]);
  }));

Deno.test("StateFile.write() writes nothing when nothing changes", () =>
  inDirectory((directory) => {
    const path = `${directory}/s`;
    const file = StateFile.open(path);
    file.write("a", utf8("1"));
    const { ino } = Deno.statSync(path);
    file.write("a", utf8("1"));
    file.write("never", undefined);
    assert.equal(Deno.statSync(path).ino, ino);
    file.close();
  }));

Deno.test("StateFile.open() refuses damaged files, names the damage and leaves them as they are", () =>
  inDirectory((directory) => {
    const path = `${directory}/s`;
    for (
      const [text, seen] of [
        ["", "it is empty"],
        ["  \n", "it is empty"],
        ['{"a": "dHdv"', "it is not JSON"],
        ["[]", "it is not an object"],
        ["null", "it is not an object"],
        ['{"a": 1}', 'the value of "a" is not base64'],
        ['{"a": "%%%"}', 'the value of "a" is not base64'],
        ["\u0000\u0000\u0000", "it is not JSON"],
      ]
    ) {
      Deno.writeTextFileSync(path, text);
      const message = openError(path);
      assert.ok(message.includes(seen), message);
      assert.equal(Deno.readTextFileSync(path), text);
    }
  }));

Deno.test("StateFile.open() refuses a read-only file, a directory, and a file in use", () =>
  inDirectory((directory) => {
    const path = `${directory}/s`;
    Deno.writeTextFileSync(path, "{}", { mode: 0o400 });
    assert.match(openError(path), /read-only/);
    assert.equal(Deno.readTextFileSync(path), "{}");
    Deno.mkdirSync(`${directory}/d`);
    assert.match(openError(`${directory}/d`), /not a regular file/);
    Deno.chmodSync(path, 0o600);
    const first = StateFile.open(path);
    assert.match(openError(path), /another daemon/);
    first.close();
    StateFile.open(path).close();
  }));

Deno.test("StateFile follows a symbolic link and keeps it", () =>
  inDirectory((directory) => {
    Deno.writeTextFileSync(`${directory}/real`, "{}");
    Deno.symlinkSync(`${directory}/real`, `${directory}/link`);
    const file = StateFile.open(`${directory}/link`);
    file.write("a", utf8("1"));
    file.close();
    assert.ok(Deno.lstatSync(`${directory}/link`).isSymlink);
    assert.match(Deno.readTextFileSync(`${directory}/real`), /MQ==/);
  }));

Deno.test("StateFile.write() that fails says so, and the old state stands", () =>
  inDirectory((directory) => {
    const path = `${directory}/s`;
    const file = StateFile.open(path);
    file.write("a", utf8("1"));
    Deno.mkdirSync(`${path}.tmp${Deno.pid}`);
    assert.throws(() => file.write("a", utf8("2")), StateFileError);
    assert.deepEqual(file.read("a"), utf8("1"));
    Deno.removeSync(`${path}.tmp${Deno.pid}`);
    file.write("a", utf8("2"));
    file.close();
    assert.match(Deno.readTextFileSync(path), /Mg==/);
  }));

Deno.test("StateFile.open() removes what killed processes left unfinished, and nothing else", () =>
  inDirectory((dir) => {
    const others = ["agent.state.tmpx", "agent.state.tmp", "other.state.tmp12", "agent.state.bak"];
    for (const name of ["agent.state.tmp123", ...others]) Deno.writeTextFileSync(`${dir}/${name}`, "");
    StateFile.open(`${dir}/agent.state`).close();
    const left = [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
    assert.deepEqual(left, ["agent.state", "agent.state.lock", ...others].sort());
  }));

Deno.test("MemoryState keeps copies", () => {
  const store = new MemoryState();
  const value = utf8("x");
  store.write("a", value);
  value[0] = 0;
  assert.deepEqual(store.read("a"), utf8("x"));
  assert.equal(formatState(new Map()), "{}");
});
