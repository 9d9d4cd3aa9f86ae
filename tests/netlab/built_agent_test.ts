// The executable as an operator has it: a whole tailnet run from the one file, which is then replaced, put back and renamed
// under the running daemons. Every command of the README goes on working.

import assert from "node:assert/strict";
import { VERSION } from "../../base/version.ts";
import { AgentNode, until } from "../interop/support/agent.ts";
import { CoordinatorProcess } from "../interop/support/coordinator_process.ts";
import { builtAgent } from "../support/built_agent.ts";
import { TAILSCALE_STATE } from "../support/tailscale_state.ts";
import { Lab, privilegedTest } from "./lab.ts";

privilegedTest(
  "the executable is replaced, put back and renamed while daemons run: every command works on",
  async () => {
    const dir = await Deno.makeTempDir({ prefix: "agent-replaced-" });
    await using lab = await Lab.create();
    const [server, alice, bob] = ["server", "alice", "bob"].map((name) => lab.namespace(name));
    lab.link(alice, "10.31.1.2/24", server, "10.31.1.1/24");
    lab.link(bob, "10.31.2.2/24", server, "10.31.2.1/24");
    lab.router(server);
    alice.route("0.0.0.0/0", "10.31.1.1");
    bob.route("0.0.0.0/0", "10.31.2.1");
    const file = `${dir}/agent`;
    /** Puts another file in the place, as a package manager would. */
    const install = async (from: string) => {
      await Deno.copyFile(from, `${file}.new`);
      await Deno.chmod(`${file}.new`, 0o755);
      await Deno.rename(`${file}.new`, file);
    };
    const current = `${await builtAgent()}/agent`;
    const env = { AGENT_UNPACK_DIR: `${dir}/cache`, XDG_CONFIG_HOME: `${dir}/config` };
    try {
      await install(current);
      const program = [file];
      await using coordinator = await CoordinatorProcess.start({
        namespace: server,
        dir,
        host: "10.31.1.1",
        program,
        env,
      });
      const key = await coordinator.createKey("--reusable");
      await Deno.mkdir(`${dir}/tailscale`);
      await Deno.writeTextFile(`${dir}/tailscale/tailscaled.state`, TAILSCALE_STATE);
      await using a = await AgentNode.start({ namespace: alice, dir, name: "alice", program, env });
      await using b = await AgentNode.start({ namespace: bob, dir, name: "bob", program, env });
      await Promise.all([a.up(coordinator.url, key), b.up(coordinator.url, key)]);
      const [address] = await b.ips();
      await a.awaitPeer(address);

      /** What the README tells to type, each with its exit code and something it must print. */
      const everything = async (version: string) => {
        const expect = async (args: readonly string[], what: RegExp, code = 0) => {
          const ran = await a.command(...args);
          assert.equal(ran.code, code, `${args.join(" ")}: ${ran.stderr}${ran.stdout}\n${await a.log()}`);
          assert.match(ran.stdout + ran.stderr, what);
        };
        await expect(["version"], new RegExp(`^${version.replaceAll(".", "\\.")}\n`));
        await expect(["version", "--daemon"], new RegExp(`Daemon: ${VERSION}`));
        await expect(["wait"], /^$/);
        await expect(["status"], /bob/);
        await expect(["status", "--json"], /"BackendState": "Running"/);
        await expect(["ping", "bob"], /pong from bob/);
        await expect(["ping", "--icmp", "--c", "1", "bob"], /pong from bob/);
        await expect(["netcheck"], /UDP: true/);
        await expect(["whois", address], /bob/);
        await expect(["ip", "-4"], /^100\./);
        await expect(["whoami"], /alice/);
        await expect(["dns", "status"], /MagicDNS: enabled/);
        await expect(["dns", "query", "bob.tailnet.internal"], new RegExp(address.replaceAll(".", "\\.")));
        await expect(["nc", "bob", "9"], /^dial failure: .*refused/i, 1);
        await expect(["ssh", "bob"], /bob announces no SSH host keys[^]*dial failure/, 255);
        await expect(["set", "--shields-up"], /^$/);
        await expect(["get", "shields-up"], /true/);
        await expect(["set", "--shields-up=false"], /^$/);
        await expect(["lock"], /Tailnet Lock/);
        await expect(["config", "show"], /"version": "alpha0"/);
        await expect(["config", "schema"], /2020-12/);
        await expect(["reload"], /^config mode not in use\n$/, 1);
        await expect(["metrics"], /^# TYPE tailscaled_/);
        await expect(["metrics", "write", `${dir}/agent.prom`], /^$/);
        await expect(["bugreport", "--diagnose", "--output", `${dir}/report-${crypto.randomUUID()}`], /^BUG-/);
        await expect(["debug", "log-level", "--for", "10m", "debug"], /^debug for /);
        await expect(["renew", "--auth-key", key], /^Renewed: /);
        const taking = ["--from", `${dir}/tailscale`, "--statedir", `${dir}/none`];
        await expect(["migrate", ...taking, "--dry-run"], /^Would take over .*\n {2}a1b2 {2}work/);
        await expect(["down"], /^$/);
        await expect(["up"], /^$/);
        await expect(["wait"], /^$/);
        assert.match(await coordinator.command("nodes", "list"), /alice/);
      };
      await everything(VERSION);

      await install(`${await builtAgent("0.1.1")}/agent`);
      await everything("0.1.1");
      // A worker that was not needed until now: secrets are derived in one of its own. Its code is the old version's.
      const lockKey = /tlpub:[0-9a-f]{64}/.exec(await a.cli("lock"))![0];
      const made = await a.cli("lock", "init", "--confirm", "--accept-risk=one-signer", lockKey);
      const secret = /disablement-secret:[0-9a-fA-F]+/.exec(made)?.[0] ?? assert.fail(made);
      await until("bob is under the lock", 20_000, async () => /enabled/i.test(await b.cli("lock")));
      await a.cli("lock", "disable", secret);

      await install(current);
      await everything(VERSION);
      await Deno.rename(file, `${dir}/agent.old`);
      await Deno.symlink(`${dir}/agent.old`, file);
      await everything(VERSION);
      assert.equal(await a.stop(), 0);
      await a.run();
      await a.awaitPeer(address);
      await everything(VERSION);
    } finally {
      await lab.dispose();
      await Deno.remove(dir, { recursive: true });
    }
  },
);
