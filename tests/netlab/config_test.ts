// A node by its file alone, under our coordinator: started, reloaded, with mistakes, locked; and `agent run`.

import assert from "node:assert/strict";
import { until } from "../interop/support/agent.ts";
import { RunningCommand } from "../interop/support/running_command.ts";
import { groundTest } from "./tailnet_ground.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

groundTest(
  "a file declares the node: it joins, follows changes, keeps what it was at mistakes, and is locked",
  async (ground) => {
    await ground.startCoordinator();
    const key = await ground.coordinator.createKey("--reusable");
    const path = `${ground.dir}/agent.json`;
    const keyPath = `${ground.dir}/key`;
    await Deno.writeTextFile(keyPath, `${key}\n`, { mode: 0o600 });
    const write = (more: Record<string, unknown>) =>
      Deno.writeTextFile(
        path,
        `// The lab's.\n${
          JSON.stringify({
            version: "alpha0",
            ServerURL: ground.coordinator.url,
            AuthKey: `file:${keyPath}`,
            acceptDNS: false,
            ...more,
          })
        }`,
      );
    await write({ Hostname: "declared" });
    const agent = await ground.agent(ground.machine("alpha"), "node", { args: ["--config", path] });
    await until("it joined by its file alone", 30_000, async () => (await agent.status()).BackendState === "Running");
    assert.equal((await agent.command("config", "diff")).code, 0);

    await write({ Hostname: "renamed", AdvertiseRoutes: ["10.7.0.0/24"], LogLevel: "debug" });
    const drift = await agent.command("config", "diff");
    assert.equal(drift.code, 1);
    assert.match(drift.stdout, /^Hostname +"renamed" +"declared"$/m);
    Deno.kill(agent.pid, "SIGHUP");
    await until(
      "SIGHUP has it follow the file",
      20_000,
      async () => (await agent.command("config", "diff")).code === 0,
    );
    await until("the coordinator hears of it", 20_000, async () => {
      const [node] = await ground.coordinator.nodes();
      return JSON.stringify(node).includes("renamed");
    });
    assert.deepEqual((await agent.local("prefs")).AdvertiseRoutes, ["10.7.0.0/24"]);

    const refused = await agent.command("set", "--shields-up");
    assert.deepEqual([refused.code, refused.stderr], [
      1,
      "can't reconfigure tailscaled when using a config file; config file is locked\n",
    ]);
    assert.match((await agent.command("up")).stderr, /config file is locked/);
    assert.equal((await agent.command("down")).code, 1);

    const before = await agent.local("prefs");
    await write({ Hostname: "third", ShieldUp: true });
    const bad = await agent.command("reload");
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /^\S+agent\.json:2:\d+: unknown key "ShieldUp"; did you mean "ShieldsUp"\?\n$/);
    assert.deepEqual(await agent.local("prefs"), before);
    const { Health, BackendState } = await agent.status();
    assert.equal(BackendState, "Running");
    assert.ok(
      Health.some((text: string) => text.includes("did you mean")),
      JSON.stringify(Health),
    );

    await write({ Hostname: "third", Locked: false });
    assert.equal(await agent.cli("reload"), "config reloaded\n");
    assert.equal((await agent.local("prefs")).AdvertiseRoutes, null, "what was taken out of the file is taken back");
    await agent.cli("set", "--shields-up");
    const shown = JSON.parse(await agent.cli("config", "show"));
    assert.deepEqual([shown.Locked, shown.Hostname, shown.ShieldsUp], [false, "third", true]);
    assert.doesNotMatch(await agent.log(10_000), new RegExp(key));

    // A file that cannot be used at the start: one line for each mistake, and an exit code of its own.
    await agent.stop();
    await Deno.writeTextFile(path, '{"version": "alpha0", "Hostname": 5}');
    await assert.rejects(agent.run(), /agent\.json:1:35: Hostname: saw 5/);
  },
);

groundTest(
  "agent run: daemon and up in one process, by a key of the environment; its end by signal and by a bad key",
  async (ground) => {
    await ground.startCoordinator();
    const key = await ground.coordinator.createKey();
    const machine = ground.machine("alpha");
    const socket = `${ground.dir}/run.sock`;
    const begin = (env: Record<string, string>, ...args: string[]) =>
      new RunningCommand(
        machine.spawn([
          ...[Deno.execPath(), "run", "-A", "--no-lock", MAIN, "run", "--socket", socket],
          ...["--login-server", ground.coordinator.url, "--accept-dns=false", "--hostname", "contained", ...args],
        ], {
          stdin: "null",
          stdout: "piped",
          stderr: "piped",
          env: { AGENT_TEST_ETC: ground.dir, AGENT_AUTHKEY: "", ...env },
        }),
        "agent run",
      );
    const state = async () => {
      const { stdout } = await machine.run([
        ...[Deno.execPath(), "run", "-A", "--no-lock", MAIN, "--socket", socket, "status", "--json"],
      ]);
      return JSON.parse(stdout || "{}");
    };
    const dir = `${ground.dir}/data`;
    await Deno.mkdir(dir);
    const first = begin({ TS_AUTHKEY: key }, "--state-dir", dir);
    const joined = await until("it is connected", 60_000, async () => {
      const status = await state();
      return status.BackendState === "Running" && status;
    }, 300);
    first.kill("SIGTERM");
    const ended = await first.end();
    assert.deepEqual([ended.code, ended.stdout], [0, ""]);
    assert.doesNotMatch(ended.stderr, new RegExp(key));

    // The key could be used once. The state is kept, so nobody needs it again.
    const again = begin({ TS_AUTHKEY: key }, "--state-dir", dir);
    const rejoined = await until("it is connected again", 60_000, async () => {
      const status = await state();
      return status.BackendState === "Running" && status;
    }, 300);
    assert.equal(rejoined.Self.PublicKey, joined.Self.PublicKey);
    again.kill("SIGTERM");
    assert.equal((await again.end()).code, 0);

    const refused = await begin({ AGENT_AUTHKEY: "tskey-auth-nosuch" }, "--state", "mem:").end();
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /backend error: /);
  },
);
