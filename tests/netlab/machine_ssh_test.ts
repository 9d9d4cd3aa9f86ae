// `agent ssh` and `tailscale ssh` by the machine's ssh to a real sshd on a Debian machine, whose host key control announces.

import assert from "node:assert/strict";
import { VERSION } from "../../base/version.ts";
import { until } from "../interop/support/agent.ts";
import { buildTailscaleCli } from "../interop/support/build.ts";
import { AUTH_KEY, DOMAIN, sceneTest } from "../interop/support/scene.ts";
import { builtAgent } from "../support/built_agent.ts";
import { programMissing } from "./lab.ts";
import { Machine, MACHINE_PROGRAMS } from "./machine.ts";

const TITLE = "machine ssh: the announced host key is trusted and no other, by name and address, ours and Tailscale's";
const missing = [...MACHINE_PROGRAMS, "ssh", "ssh-keygen"].map(programMissing).find((reason) => reason !== undefined);

if (missing !== undefined && Deno.env.get("CI") !== "true") {
  Deno.test({ name: `${TITLE} [skipped: ${missing}]`, ignore: true, fn: () => {} });
} else {
  sceneTest(TITLE, async (scene) => {
    const stock = await buildTailscaleCli();
    if (stock.kind === "skip") throw new Error(stock.reason);
    const agent = await scene.joinedAgent("left", "ours");
    await using machine = await Machine.boot(scene.right, await builtAgent());
    await agent.namespace.must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", `${scene.dir}/id`]);
    const login = (await Deno.readTextFile(`${scene.dir}/id.pub`)).trim();
    await machine.shell(`
      mkdir -p /root/.ssh; echo '${login}' >/root/.ssh/authorized_keys
      systemctl start ssh; dpkg --install /share/agent-${VERSION}.deb
    `);
    await machine.must("agent", "up", "--login-server", scene.control.url, "--auth-key", AUTH_KEY, "--hostname=server");
    const address = (await machine.must("agent", "ip", "-4")).trim();
    const [type, key] = (await machine.must("cat", "/etc/ssh/ssh_host_ed25519_key.pub")).split(" ");
    const other = login.split(" ").slice(0, 2).join(" ");

    await agent.awaitPeer(address);
    const node = await scene.control.node("server");
    const announces = async (...sshHostKeys: string[]) => {
      await scene.control.rawMapResponse("ours", {
        PeersChanged: [{ ...node, Hostinfo: { ...node.Hostinfo, sshHostKeys } }],
      });
      await until(`ours hears of ${sshHostKeys.length} keys`, 20_000, async () => {
        return JSON.stringify((await agent.peer(address)).sshHostKeys ?? []) === JSON.stringify(sshHostKeys);
      });
    };
    const env = { XDG_CONFIG_HOME: `${scene.dir}/config` };
    const flags = ["-i", `${scene.dir}/id`, "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=20"];
    const ours = (target: string, ...command: string[]) =>
      agent.commandWith({ env }, "ssh", target, ...flags, ...command);
    const theirs = (target: string, ...command: string[]) =>
      agent.namespace.run([stock.path, "--socket", agent.socket, "ssh", target, ...flags, ...command], {
        env,
        timeout: 60_000,
      });

    await announces(`${type} ${key}`);
    for (const ssh of [ours, theirs]) {
      for (const target of ["root@server", `root@server.${DOMAIN}`, `root@${address}`]) {
        const { code, stdout, stderr } = await ssh(target, "cat", "/etc/hostname", "--help");
        assert.match(stdout, /^Usage: cat /, `${target}: ${stderr}`);
        assert.equal(code, 0);
      }
      assert.equal((await ssh("root@server", "exit 7")).code, 7);
    }
    await agent.cli("set", "--accept-dns=false");
    assert.equal((await ours("root@server", "true")).code, 0);
    const file = await Deno.readTextFile(`${scene.dir}/config/agent/ssh_known_hosts`);
    assert.match(file, new RegExp(`^server\\.${DOMAIN}\\. ${type} `));
    assert.equal(file, await Deno.readTextFile(`${scene.dir}/config/tailscale/ssh_known_hosts`), "as Tailscale's");

    await announces(other);
    const wrong = await ours("root@server", "true");
    assert.equal(wrong.code, 255);
    assert.match(wrong.stderr, /Host key verification failed/);
    await announces();
    const none = await ours("root@server", "true");
    assert.equal(none.code, 255);
    assert.match(none.stderr, /^server announces no SSH host keys, .*\n/);
    // The packaged executable calls itself, as it was called, from wherever ssh runs it.
    const packaged = await machine.run("agent", "ssh", "ours", "true");
    assert.match(packaged.stderr, /dial failure: .*refused/i);
    assert.equal(packaged.code, 255);
    assert.equal((await agent.command("ssh")).code, 2);
    assert.match((await agent.command("ssh", "--help")).stdout, /\[user@\]HOST/);
  });
}
