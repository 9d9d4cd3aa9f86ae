import assert from "node:assert/strict";
import { CliError } from "../../cli/exit_codes.ts";
import { LocalClient } from "../../cli/local_client.ts";
import { installedExecutable, serviceConfig } from "../../cli/service/install.ts";
import { askedInstance } from "../../cli/instance_flag.ts";
import { packagedUnit, unitName, unitPath } from "../../cli/service/systemctl.ts";
import { whyNot } from "../../cli/service/uninstall.ts";
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
      'ExecStart="/opt/my agent" daemon --port=${PORT} --config=optional:/etc/agent/agent.json $FLAGS --verbose 1',
      'ExecReload="/opt/my agent" reload --if-configured',
    ]
  ) assert.ok(text.includes(`\n${line}\n`), line);
  assert.doesNotMatch(text, /^(MemoryDenyWriteExecute|LimitAS)=/m);
});

Deno.test("unitFile() of an instance has its name in all that two nodes cannot share", () => {
  const lines = unitFile({ exec: "/usr/bin/agent", instance: "%i" }).split("\n");
  for (
    const line of [
      "Environment=PORT=0 FLAGS=",
      "EnvironmentFile=-/etc/default/agent-%i",
      "ExecStart=/usr/bin/agent daemon --instance=%i --port=${PORT} --config=optional:/etc/agent/%i.json $FLAGS",
      "ExecReload=/usr/bin/agent --instance=%i reload --if-configured",
      "RuntimeDirectory=agent-%i",
      "StateDirectory=agent-%i",
      "CacheDirectory=agent",
    ]
  ) assert.ok(lines.includes(line), line);
  assert.ok(lines.some((line) => line.startsWith("ExecStopPost=") && line.includes(" --instance=%i --cleanup'")));
  const named = unitFile({ exec: "/usr/bin/agent", instance: "work", config: "/etc/my 50%.json" });
  assert.match(named, /^ExecStart=.* --config="\/etc\/my 50%%\.json" \$FLAGS$/m);
});

Deno.test("askedInstance() takes the name before the verb or behind it", () => {
  const context = { program: "agent", client: new LocalClient("/x") } as const;
  assert.equal(askedInstance("", context), undefined);
  assert.equal(askedInstance("", { ...context, instance: "home" }), "home");
  assert.equal(askedInstance("work", { ...context, instance: "home" }), "work");
  assert.throws(() => askedInstance("Work/..", context), /want 1 to 9 small letters/);
  assert.deepEqual([unitName(undefined), unitPath("work")], [
    "agent.service",
    "/etc/systemd/system/agent@work.service",
  ]);
});

Deno.test("uninstall-service knows the package's unit, of instances its template, and says what to do instead", async () => {
  const root = await Deno.makeTempDir();
  try {
    const units = `${root}/usr/lib/systemd/system`;
    await Deno.mkdir(units, { recursive: true });
    assert.equal(packagedUnit("work", root), undefined);
    await Deno.writeTextFile(`${units}/agent.service`, "");
    assert.equal(packagedUnit("work", root), undefined, "the one node's is not an instance's");
    await Deno.writeTextFile(`${units}/agent@.service`, "");
    assert.equal(packagedUnit("work", root), `${units}/agent@.service`);
    assert.equal(packagedUnit(undefined, root), `${units}/agent.service`);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
  assert.equal(whyNot("/etc/x", undefined, "work"), "there is no /etc/x");
  assert.match(whyNot("/etc/x", "/usr/lib/agent@.service", "work"), /; 'systemctl disable --now agent@work' stops it$/);
  assert.match(whyNot("/etc/x", "/usr/lib/agent.service", undefined), /--now agent' stops it, 'apt remove agent'/);
});

Deno.test("serviceConfig() takes a file that the service can see", () => {
  assert.throws(() => serviceConfig("/home/ann/agent.json"), /sees no home directories.*below \/etc\/agent/);
  assert.throws(() => serviceConfig("/etc/agent-nonexistent.json"), /Cannot use .*No such file/);
  assert.equal(serviceConfig("/etc/../etc/passwd"), "/etc/passwd");
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
