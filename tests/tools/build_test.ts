import assert from "node:assert/strict";
import { privilegedTest } from "../netlab/privileged.ts";
import { Lab } from "../netlab/lab.ts";
import { VERSION } from "../../base/version.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

privilegedTest(
  "task build makes one file that runs anywhere, as agent, tailscale and tailscaled, with its worker",
  async () => {
    const dir = await Deno.makeTempDir({ prefix: "agent-built-" });
    await using lab = await Lab.create();
    const where = lab.namespace("built");
    try {
      const build = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "tools/build.ts", "--self-extracting", `--output=${dir}/agent`],
        cwd: ROOT,
        stderr: "inherit",
      }).output();
      assert.equal(build.code, 0);
      for (const name of ["tailscale", "tailscaled"]) await Deno.symlink(`${dir}/agent`, `${dir}/${name}`);
      // No environment to speak of, an unwritable working directory, and nothing unpacked before.
      const cache = `${dir}/cache`;
      const run = async (name: string, ...args: string[]) => {
        const output = await new Deno.Command(`${dir}/${name}`, {
          args,
          cwd: "/proc",
          clearEnv: true,
          env: { AGENT_UNPACK_DIR: cache },
        }).output();
        return { code: output.code, text: new TextDecoder().decode(output.stdout) };
      };
      assert.ok((await run("agent", "version")).text.startsWith(VERSION));
      assert.match((await run("tailscale", "--help")).text, /^tailscale /);
      assert.match((await run("tailscaled", "--help")).text, /^Usage: tailscaled /);
      assert.equal((await run("agent", "bogus")).code, 2);
      assert.equal([...Deno.readDirSync(cache)].length, 1, "unpacked once");

      const socket = `${dir}/agent.sock`;
      const daemon = where.spawn([`${dir}/agent`, "daemon", "--state", `${dir}/state`, "--socket", socket], {
        env: { AGENT_UNPACK_DIR: cache },
        stdout: "null",
        stderr: "piped",
      });
      const lines = daemon.stderr.pipeThrough(new TextDecoderStream()).getReader();
      let log = "";
      while (!log.includes("device agent0")) {
        const { value, done } = await lines.read();
        if (done) break;
        log += value;
      }
      assert.match(log, /device agent0, UDP ports/, "the bundled worker runs");
      assert.equal((await run("agent", "--socket", socket, "status")).code, 1);
      daemon.kill("SIGTERM");
      assert.equal((await daemon.status).code, 0);
      await lines.cancel();
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);
