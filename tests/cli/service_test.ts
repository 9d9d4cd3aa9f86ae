import assert from "node:assert/strict";
import { CliError } from "../../cli/exit_codes.ts";
import { installedExecutable } from "../../cli/service/install.ts";
import { unitFile, unitWord } from "../../cli/service/unit_file.ts";
import { privilegedTest } from "../netlab/privileged.ts";

Deno.test("unitWord() lets systemd expand nothing of a word", () => {
  assert.equal(unitWord("/usr/bin/agent"), "/usr/bin/agent");
  assert.equal(unitWord("--hostname=50%"), "--hostname=50%%");
  assert.equal(unitWord('a "b" $c \\'), '"a \\"b\\" $$c \\\\"');
});

Deno.test("unitFile() has what the service relies on", () => {
  const text = unitFile({ exec: "/opt/my agent", port: 1, flags: ["--verbose", "1"] });
  for (
    const line of [
      "Type=notify",
      "Restart=always",
      "RestartSec=1",
      "StartLimitIntervalSec=0",
      "RuntimeDirectory=agent",
      "StateDirectory=agent",
      "Environment=PORT=1 FLAGS=",
      'ExecStart="/opt/my agent" daemon --port=${PORT} $FLAGS --verbose 1',
    ]
  ) assert.ok(text.includes(`\n${line}\n`), line);
  assert.doesNotMatch(text, /^(MemoryDenyWriteExecute|LimitAS)=/m);
});

privilegedTest("installedExecutable() takes only a file that nobody but root can change", async () => {
  // Not below /tmp, which others may write to.
  const dir = await Deno.makeTempDir({ dir: "/opt", prefix: "agent-test-" });
  try {
    await Deno.chmod(dir, 0o755);
    const path = `${dir}/agent`;
    await Deno.writeTextFile(path, "", { mode: 0o755 });
    await Deno.chmod(path, 0o755);
    assert.equal(installedExecutable(path), path);
    const refused = (what: RegExp) =>
      assert.throws(() => installedExecutable(path), (error) => {
        assert.ok(error instanceof CliError);
        assert.match(error.message, what);
        return true;
      });
    await Deno.chmod(path, 0o775);
    refused(/others than root may change the file \/opt.*install -m 0755/);
    await Deno.chmod(path, 0o755);
    await Deno.chown(dir, 1000, null);
    refused(/others than root may change the directory/);
    assert.throws(() => installedExecutable("/usr/bin/deno-of-somebody/deno"), /No such file|Cannot/);
    assert.throws(() => installedExecutable("main.ts"), /build the executable first/);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
