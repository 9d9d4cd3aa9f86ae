// The service on a Debian 12 machine with systemd as process 1: the package's whole life, the sandbox, the watchdog, and
// a service without a package.

import assert from "node:assert/strict";
import { VERSION } from "../../base/version.ts";
import { AgentNode, until } from "../interop/support/agent.ts";
import { CoordinatorProcess } from "../interop/support/coordinator_process.ts";
import { builtAgent } from "../support/built_agent.ts";
import { Lab, privilegedTest } from "./lab.ts";
import { Machine, MACHINE_PROGRAMS } from "./machine.ts";

const NEXT = "0.1.1";

/** A machine, a peer and a coordinator, each on a link of its own to a router. */
class Ground implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly machine: Machine;
  readonly peer: AgentNode;
  readonly coordinator: CoordinatorProcess;
  readonly authKey: string;

  private constructor(machine: Machine, peer: AgentNode, coordinator: CoordinatorProcess, authKey: string) {
    this.machine = machine;
    this.peer = peer;
    this.coordinator = coordinator;
    this.authKey = authKey;
  }

  static async create(): Promise<Ground> {
    await using stack = new AsyncDisposableStack();
    const dir = await Deno.makeTempDir({ prefix: "agent-service-" });
    stack.defer(() => Deno.remove(dir, { recursive: true }));
    const lab = stack.use(await Lab.create());
    const [server, there, here] = ["server", "peer", "machine"].map((name) => lab.namespace(name));
    lab.link(there, "10.32.1.2/24", server, "10.32.1.1/24");
    lab.link(here, "10.32.2.2/24", server, "10.32.2.1/24");
    lab.router(server);
    there.route("0.0.0.0/0", "10.32.1.1");
    here.route("0.0.0.0/0", "10.32.2.1");
    await Deno.mkdir(`${dir}/share`);
    for (const [version, name] of [[VERSION, undefined], [NEXT, NEXT]] as const) {
      const built = await builtAgent(name);
      for (const file of [`agent-${version}.deb`, `agent-${version}.tar.gz`]) {
        await Deno.copyFile(`${built}/${file}`, `${dir}/share/${file}`);
      }
    }
    const coordinator = stack.use(await CoordinatorProcess.start({ namespace: server, dir, host: "10.32.1.1" }));
    const authKey = await coordinator.createKey("--reusable");
    const peer = stack.use(await AgentNode.start({ namespace: there, dir, name: "peer" }));
    await peer.up(coordinator.url, authKey);
    const machine = stack.use(await Machine.boot(here, `${dir}/share`));
    const ground = new Ground(machine, peer, coordinator, authKey);
    ground.#stack.use(stack.move());
    return ground;
  }

  /** Joins, and waits until systemd has heard of it. */
  async up(): Promise<void> {
    const { machine, coordinator, authKey } = this;
    await machine.must(
      "agent",
      "up",
      "--login-server",
      coordinator.url,
      "--auth-key",
      authKey,
      "--hostname",
      "machine",
    );
    await this.connected();
  }

  /** Waits until the unit is active and says that the node is connected. @returns its properties. */
  connected(): Promise<Record<string, string>> {
    return until("the unit is connected", 60_000, async () => {
      const unit = await this.machine.unit("agent", "ActiveState", "StatusText", "MainPID", "NRestarts").catch(() =>
        undefined
      );
      return unit?.ActiveState === "active" && unit.StatusText.startsWith("Connected; ") && unit;
    });
  }

  /** What the kernel, the resolver and the file system have of a node. */
  traces(): Promise<string> {
    return this.machine.shell(`
      ip -o link show | sed 's/^[0-9]*: //'; ip -o address show scope global | sed 's/^[0-9]*: //'
      ip rule; ip -6 rule; ip route show table all; ip -6 route show table all | grep -v 'proto kernel' || true
      nft list ruleset
      cat /proc/sys/net/ipv4/conf/*/src_valid_mark /proc/sys/net/ipv4/ip_forward
      resolvectl dns; resolvectl domain; ls -l /etc/resolv.conf; cat /etc/resolv.conf
      ls -d /run/agent /run/tailscale 2>/dev/null || true
    `);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

function machineTest(name: string, body: (ground: Ground) => Promise<void>): void {
  privilegedTest(name, async () => {
    await using ground = await Ground.create();
    try {
      await body(ground);
    } catch (error) {
      const { stdout } = await ground.machine.run("journalctl", "-b", "-n", "80", "--no-pager");
      console.log(`journal of the machine:\n${stdout}`);
      throw error;
    }
  }, ...MACHINE_PROGRAMS);
}

machineTest("the package: install, join, reboot, upgrade, downgrade, stop, remove, purge", async (ground) => {
  const { machine, peer } = ground;
  const before = await ground.traces();
  const installed = await machine.run("dpkg", "--install", `/share/agent-${VERSION}.deb`);
  assert.equal(installed.code, 0, installed.stderr);
  const unit = await machine.unit(
    "agent",
    "Type",
    "ActiveState",
    "SubState",
    "StatusText",
    "UnitFileState",
    "NotifyAccess",
  );
  assert.deepEqual([unit.Type, unit.ActiveState, unit.SubState, unit.UnitFileState], [
    "notify",
    "active",
    "running",
    "enabled",
  ]);
  assert.equal(unit.StatusText, "Needs login: run 'agent up'");
  await ground.up();
  const address = await machine.must("agent", "ip", "-4");
  const [peerAddress] = await peer.ips();
  await machine.must("agent", "ping", "--timeout", "20s", peerAddress);
  await machine.must("ping", "-c", "1", "-W", "10", peerAddress);

  // At boot: after the resolver and the bus, with the same identity.
  await machine.reboot();
  const booted = await ground.connected();
  assert.match(booted.StatusText, new RegExp(` ${address.replaceAll(".", "\\.")} `));
  const started = async (name: string, property: string) => Number((await machine.unit(name, property))[property]);
  const resolved = await started("systemd-resolved", "ActiveEnterTimestampMonotonic");
  const agent = await started("agent", "InactiveExitTimestampMonotonic");
  const ready = await started("agent", "ActiveEnterTimestampMonotonic");
  assert.ok(resolved > 0 && resolved <= agent, `resolved ${resolved}, agent begins ${agent}`);
  assert.equal((await machine.unit("network-pre.target", "ActiveState")).ActiveState, "active");
  console.log(`  READY ${((ready - agent) / 1000).toFixed(0)} ms after its start at boot`);

  // A connection through the tunnel, held open over upgrade and downgrade: a line each way five times a second.
  const echo = peer.namespace.spawn([
    Deno.execPath(),
    "eval",
    `for await (const c of Deno.listen({ hostname: "${peerAddress}", port: 7000 })) c.readable.pipeTo(c.writable).catch(() => {});`,
  ], { stdout: "null", stderr: "null" });
  await machine.must(
    "systemd-run",
    "--unit=stream",
    "bash",
    "-c",
    `
    until exec 3<>/dev/tcp/${peerAddress}/7000; do sleep 0.2; done
    while echo x >&3 && read -r -t 60 -u 3 _; do date +%s%3N; sleep 0.2; done >/run/stream
    echo broken >>/run/stream
  `,
  );
  const lines = async () =>
    (await machine.run("cat", "/run/stream")).stdout.trim().split("\n").filter((line) => line !== "");
  const grows = async () => {
    const seen = (await lines()).length;
    await until("the stream goes on", 60_000, async () => (await lines()).length > seen + 3);
  };
  await grows();
  // Two more nodes on the machine, of which one is stopped.
  await machine.shell(`
    mkdir /etc/agent
    for name in work idle; do
      echo '{"version": "alpha0", "Enabled": false}' >/etc/agent/$name.json
      systemctl start agent@$name
    done
    systemctl stop agent@idle
  `);
  for (const [what, version] of [["upgrade", NEXT], ["downgrade", VERSION]] as const) {
    const at = (await lines()).length;
    const options = what === "downgrade" ? ["--force-downgrade"] : [];
    await machine.must("dpkg", ...options, "--install", `/share/agent-${version}.deb`);
    await ground.connected();
    assert.match(
      await machine.must("agent", "version", "--daemon"),
      new RegExp(`Client: ${version}.*\nDaemon: ${version}`),
    );
    assert.equal(await machine.must("agent", "ip", "-4"), address, "the same node");
    const work = await machine.must("agent", "--instance", "work", "version", "--daemon");
    assert.match(work, new RegExp(`\nDaemon: ${version}`), "instances that run are restarted");
    const { ActiveState } = await machine.unit("agent@idle", "ActiveState");
    assert.equal(ActiveState, "inactive", "others are not started");
    await grows();
    const times = (await lines()).slice(at - 1).map(Number);
    const pause = Math.max(...times.slice(1).map((time, i) => time - times[i]));
    console.log(`  ${what}: an open TCP connection through the tunnel went on, after a pause of ${pause} ms`);
  }
  assert.ok(!(await lines()).includes("broken"));
  await machine.run("systemctl", "stop", "stream");
  echo.kill("SIGKILL");

  await machine.must("systemctl", "stop", "agent", "agent@work");
  assert.equal(await ground.traces(), before, "stopping leaves the machine as it was");
  await machine.must("systemctl", "start", "agent", "agent@work");
  await ground.connected();
  await machine.must("dpkg", "--remove", "agent");
  assert.equal(await ground.traces(), before, "so does removing");
  assert.notEqual((await machine.unit("agent@work", "ActiveState")).ActiveState, "active");
  await machine.shell("test -s /var/lib/agent-work/agent.state; rm -r /etc/agent; mkdir /var/lib/agent-other");
  await machine.shell("test -s /var/lib/agent/agent.state && test ! -e /var/cache/agent && test -e /etc/default/agent");
  await machine.must("dpkg", "--purge", "agent");
  await machine.shell("rmdir /var/lib/agent-other");
  for (const folder of ["etc", "usr", "var/lib", "var/cache"]) {
    const left = (await machine.changed(folder)).filter((path) =>
      path.includes("agent") && !path.startsWith("systemd/")
    );
    const present: string[] = [];
    for (const path of left) {
      if ((await machine.run("test", "-e", `/${folder}/${path}`)).code === 0) present.push(path);
    }
    assert.deepEqual(present, [], `left in /${folder}`);
  }
});

machineTest("the sandbox: its exposure, and what a node does inside it", async (ground) => {
  const { machine, peer, authKey } = ground;
  await machine.must("dpkg", "--install", `/share/agent-${VERSION}.deb`);
  await ground.up();
  const report = await machine.must("systemd-analyze", "security", "agent", "--no-pager");
  const exposure = Number(/exposure level for agent\.service: ([\d.]+)/.exec(report)?.[1]);
  console.log(`  systemd-analyze security: ${exposure}`);
  assert.ok(exposure <= 2.0, report);
  const { MainPID } = await machine.unit("agent", "MainPID");
  const status = await machine.shell(`cat /proc/${MainPID}/status`);
  // 10 bind service, 12 net admin, 13 net raw.
  assert.match(status, /^CapEff:\t0000000000003400$/m);
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, /^Seccomp:\t2$/m);
  // TUN, addresses, routes, rules.
  const [peerAddress] = await peer.ips();
  assert.match(await machine.must("ip", "route", "get", peerAddress), /dev agent0 table 52/);
  await machine.must("ping", "-c", "1", "-W", "10", peerAddress);
  // Netfilter, and nothing that the sandbox would keep from the node.
  assert.match(await machine.must("nft", "list", "ruleset"), /chain agent-input/);
  const { Health } = JSON.parse(await machine.must("agent", "status", "--json"));
  assert.deepEqual(Health ?? [], []);
  assert.match(
    await machine.must("getent", "ahostsv4", "peer"),
    new RegExp(`^${peerAddress} `),
    "names, by systemd-resolved",
  );
  // As the daemon's own processes see the machine: what is closed, and what is open.
  const inside = (script: string) => machine.run("nsenter", "--mount", "--target", MainPID, "--", "sh", "-c", script);
  for (const path of ["/usr/x", "/boot/x", "/home/x", "/proc/sys/kernel/hostname", "/sys/fs/cgroup/x", "/dev/x"]) {
    assert.notEqual((await inside(`echo x >${path}`)).code, 0, `${path} can be written`);
  }
  assert.equal((await inside("echo 1 >/proc/sys/net/ipv4/conf/all/src_valid_mark")).code, 0, "an exit node needs it");
  for (const path of ["/etc/agent-test", "/run/agent/x", "/var/lib/agent/x"]) {
    assert.equal((await inside(`echo x >${path} && rm ${path}`)).code, 0, `${path} cannot be written`);
  }
  // A kernel without IPv6 refuses its sockets, and that is what systemd does here.
  await machine.shell(`
    mkdir -p /etc/systemd/system/agent.service.d
    printf '[Service]\\nRestrictAddressFamilies=\\nRestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK\\n' \
      >/etc/systemd/system/agent.service.d/no-ipv6.conf
    systemctl daemon-reload; systemctl restart agent
  `);
  await ground.connected();
  await machine.must("ping", "-c", "1", "-W", "10", peerAddress);
  const without = JSON.parse(await machine.must("agent", "status", "--json"));
  assert.deepEqual(without.Health ?? [], [], "without IPv6 nothing is amiss");

  // A program for key expiry, as the README has it; every key ends within a year.
  const nodeKey = async () => JSON.parse(await machine.must("agent", "status", "--json")).Self.PublicKey;
  const key = await nodeKey();
  await machine.shell(`
    mkdir -p /etc/agent; echo '${authKey}' >/etc/agent/auth-key; chmod 600 /etc/agent/auth-key
    cat >/usr/local/sbin/renew-key <<'END'
#!/bin/sh
exec agent --socket "$AGENT_SOCKET" renew --auth-key file:/etc/agent/auth-key --timeout 5m
END
    chmod 755 /usr/local/sbin/renew-key
    echo 'FLAGS="--expiry-hook=/usr/local/sbin/renew-key --expiry-warning=365d"' >>/etc/default/agent
    systemctl restart agent
  `);
  await ground.connected();
  await until("the hook has renewed the key", 60_000, async () => await nodeKey() !== key);
  await machine.must("ping", "-c", "1", "-W", "10", peerAddress);

  // The node moved here, and then the program that it was taken from runs again: ours plays it, by its name.
  await machine.shell(`
    sed -i /^FLAGS=.--expiry/d /etc/default/agent
    systemctl stop agent
    mkdir -m 700 /var/lib/tailscale; mv /var/lib/agent/agent.state /var/lib/tailscale/tailscaled.state
    agent migrate; systemctl start agent
  `);
  await ground.connected();
  await machine.shell(`
    systemctl stop agent
    ln -s /usr/bin/agent /usr/local/sbin/tailscaled
    systemd-run --quiet --unit=twin --service-type=notify --property=NotifyAccess=all /usr/local/sbin/tailscaled
  `);
  await machine.run("systemctl", "start", "agent");
  await until("the twin is seen", 30_000, async () => {
    const { stdout } = await machine.run("journalctl", "-b", "-u", "agent", "-o", "cat", "--no-pager");
    return /^error: Cannot run: .*tailscaled.* runs on \/var\/lib\/tailscale, whose node was taken over/m.test(stdout);
  });
  await machine.must("systemctl", "stop", "twin");
  await ground.connected();
});

machineTest(
  "the watchdog: a data plane that hangs is started again, and so is a daemon that was killed",
  async (ground) => {
    const { machine } = ground;
    await machine.must("dpkg", "--install", `/share/agent-${VERSION}.deb`);
    await machine.shell(`
    mkdir /etc/systemd/system/agent.service.d
    printf '[Service]\\nWatchdogSec=2\\n' >/etc/systemd/system/agent.service.d/watchdog.conf
    systemctl daemon-reload; systemctl restart agent
  `);
    await ground.up();
    const first = await ground.connected();
    // Alive for three times the watchdog's time: it is being fed.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    assert.equal((await ground.connected()).MainPID, first.MainPID);

    // The worker's thread alone is stopped: the main thread goes on.
    using frozen = await freezeWorker(await machine.threads(Number(first.MainPID)));
    await until("systemd misses the data plane", 30_000, async () => {
      const { stdout } = await machine.run("journalctl", "-b", "-u", "agent", "--no-pager");
      return stdout.includes("Watchdog timeout (limit 2s)!");
    });
    frozen.thaw();
    const second = await ground.connected();
    assert.notEqual(second.MainPID, first.MainPID);

    await machine.shell(`kill -9 ${second.MainPID}`);
    const third = await until("a new process is connected", 30_000, async () => {
      const now = await ground.connected();
      return now.MainPID !== second.MainPID && now;
    });
    assert.ok(Number(third.NRestarts) >= 2);
    await machine.must("agent", "ping", "--timeout", "20s", (await ground.peer.ips())[0]);
  },
);

machineTest("install-service and uninstall-service, from the tarball", async (ground) => {
  const { machine } = ground;
  const before = await ground.traces();
  await machine.shell(
    `cd /root; tar -xzf /share/agent-${VERSION}.tar.gz; mkdir /home/ann; cp agent-${VERSION}/agent /home/ann/`,
  );
  const refused = await machine.run("/home/ann/agent", "install-service");
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^Cannot run \/home\/ann\/agent as a service, .*install -m 0755[^\n]*\n$/);
  await machine.shell(`install -m 0755 /root/agent-${VERSION}/agent /usr/local/bin/agent`);
  assert.equal((await machine.run("agent", "uninstall-service")).code, 1);

  assert.match(
    await machine.must("agent", "install-service", "--port", "0", "--", "--verbose", "1"),
    /runs \/usr\/local\/bin\/agent\./,
  );
  const unit = await machine.unit("agent", "ActiveState", "UnitFileState", "FragmentPath");
  assert.deepEqual(unit, {
    ActiveState: "active",
    UnitFileState: "enabled",
    FragmentPath: "/etc/systemd/system/agent.service",
  });
  await ground.up();
  // Again is no harm: the new unit takes the old one's place.
  await machine.must("agent", "install-service");
  await ground.connected();

  // The service takes a configuration where there is one; a reload says whether it could.
  const write = (name: string, text: string) =>
    machine.shell(`mkdir -p /etc/agent; echo '${text}' >/etc/agent/${name}.json`);
  await machine.must("systemctl", "reload", "agent");
  await write("agent", '{"version": "alpha0", "Nickname": "declared"}');
  assert.equal((await machine.run("agent", "config", "diff", "/etc/agent/agent.json")).code, 1);
  await machine.must("systemctl", "reload", "agent");
  await machine.must("agent", "config", "diff");
  await write("agent", '{"version": "alpha0", "Nicknam": "x"}');
  assert.notEqual((await machine.run("systemctl", "reload", "agent")).code, 0);
  const { ActiveState } = await machine.unit("agent", "ActiveState");
  assert.equal(ActiveState, "active", "a file with mistakes changes nothing");
  await ground.connected();

  // Another node beside it, by a file of its own.
  await write("work", '{"version": "alpha0", "Enabled": false, "Hostname": "second"}');
  await machine.must("agent", "install-service", "--instance", "work");
  assert.equal((await machine.unit("agent@work", "ActiveState")).ActiveState, "active");
  assert.match(await machine.must("agent", "--instance", "work", "config", "show"), /"Hostname": "second"/);
  await machine.must("agent", "--instance", "work", "uninstall-service");
  await machine.shell("rm -r /etc/agent /var/lib/agent-work");
  await machine.must("agent", "uninstall-service");
  assert.equal(await ground.traces(), before);
  assert.notEqual((await machine.run("systemctl", "cat", "agent")).code, 0, "no unit is left");
  await machine.shell("test -s /var/lib/agent/agent.state");
});

/** Stops the thread that moves packets, by a freezer of cgroup v1, which alone stops single threads. */
async function freezeWorker(threads: readonly number[]): Promise<Disposable & { thaw(): void }> {
  const group = `/sys/fs/cgroup/freezer/agent-test-${crypto.getRandomValues(new Uint8Array(4)).toHex()}`;
  Deno.mkdirSync(group);
  const names = await Promise.all(threads.map(async (tid) => ({
    tid,
    name: (await Deno.readTextFile(`/proc/${tid}/comm`)).trim(),
  })));
  // Deno names the threads of workers.
  for (const { tid } of names.filter(({ name }) => name.startsWith("worker"))) {
    Deno.writeTextFileSync(`${group}/tasks`, String(tid));
  }
  Deno.writeTextFileSync(`${group}/freezer.state`, "FROZEN");
  let frozen = true;
  const thaw = () => {
    if (frozen) Deno.writeTextFileSync(`${group}/freezer.state`, "THAWED");
    frozen = false;
  };
  return {
    thaw,
    [Symbol.dispose]: () => {
      thaw();
      try {
        Deno.removeSync(group);
      } catch {
        // Its threads end in a moment; an empty group is no harm.
      }
    },
  };
}
