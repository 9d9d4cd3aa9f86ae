// Every way of telling a machine of DNS, on a Debian 12 whose process 1 is systemd, by the packaged service in its sandbox:
// systemd-resolved, openresolv, Debian's resolvconf, resolv.conf itself. One machine, to which one after the other is
// installed.

import assert from "node:assert/strict";
import { VERSION } from "../../base/version.ts";
import { until } from "../interop/support/agent.ts";
import { AUTH_KEY, DOMAIN, type Scene, sceneTest } from "../interop/support/scene.ts";
import { builtAgent } from "../support/built_agent.ts";
import { programMissing } from "./lab.ts";
import { Machine, MACHINE_PROGRAMS } from "./machine.ts";

const SERVER = new URL("./dns_server_program.ts", import.meta.url).pathname;
/** The machine's own DNS server, and what it answers to everything. */
const [OWN, OWN_ANSWER] = ["10.90.1.1", "192.0.2.1"];
/** The tailnet's. */
const [CORP, CORP_ANSWER] = ["10.90.0.1", "192.0.2.2"];
const US = "100.100.100.100";

class Ground {
  constructor(readonly scene: Scene, readonly machine: Machine, readonly peer: string) {}

  /** The address that programs of the machine get for a name, "" for none. */
  async lookup(name: string): Promise<string> {
    return (await this.machine.run("getent", "ahostsv4", name)).stdout.split(/\s/)[0];
  }

  async finds(name: string, address: string, why: string): Promise<void> {
    let seen = "";
    await until(`${name} is ${address} ${why}`, 60_000, async () => (seen = await this.lookup(name)) === address)
      .catch((error) => {
        throw new Error(`${error.message}; it is "${seen}"`);
      });
  }

  /** Names of nodes, whole and short, and the machine's own server for the rest. */
  async works(why: string): Promise<void> {
    await this.finds(`theirs.${DOMAIN}`, this.peer, why);
    await this.finds("theirs", this.peer, why);
    await this.finds("web.example", OWN_ANSWER, why);
    assert.equal(
      (await this.machine.run("getent", "hosts", this.peer)).stdout.split(/\s+/)[1],
      `theirs.${DOMAIN}`,
      why,
    );
    // With its dot, so that no search domain is tried: the machine's server has all names there are.
    assert.equal(await this.lookup(`nobody.${DOMAIN}.`), "", why);
    // The files are everybody's to read, whatever the service's umask is.
    const asUser = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    assert.match((await this.machine.run(...asUser, "cat", "/etc/resolv.conf")).stdout, /^nameserver /m, why);
  }

  /** What the machine has of us, device by device and file by file. */
  async state(): Promise<string> {
    return await this.machine.shell(`
      if command -v resolvectl >/dev/null; then
        resolvectl status eth0 | cat; resolvectl dns | grep -v 'agent0):$'; resolvectl domain | grep -v 'agent0):$'
      fi
      ls -l /etc/resolv.conf | sed 's/.* //'; cat /etc/resolv.conf
      ls /etc | grep -i resolv || true
      find /run/resolvconf /etc/resolvconf -path '*agent*' 2>/dev/null || true
    `);
  }

  async start(): Promise<void> {
    await this.machine.must("systemctl", "start", "agent");
    await this.machine.must("agent", "wait", "--timeout", "60s");
  }

  /** Ended in each way, and back; the machine is then as it was. @param left what a crash leaves, if it leaves anything. */
  async ends(before: string, crash: { readonly leaves: boolean }): Promise<void> {
    const { machine } = this;
    await machine.must("agent", "down");
    await until("as it was after down", 20_000, async () => await this.state() === before);
    await machine.must("agent", "up");
    await this.finds("theirs", this.peer, "after up");
    await machine.must("systemctl", "stop", "agent");
    assert.equal(await this.state(), before, "after stop");
    await this.start();
    await this.finds("theirs", this.peer, "after start");
    // A crash, and systemd does not start it again.
    await machine.shell(`
      mkdir -p /run/systemd/system/agent.service.d
      printf '[Service]\\nRestart=no\\n' >/run/systemd/system/agent.service.d/no-restart.conf
      systemctl daemon-reload; systemctl kill --kill-whom=main -s KILL agent
    `);
    await until(
      "it is dead",
      20_000,
      async () => (await machine.unit("agent", "ActiveState")).ActiveState === "failed",
    );
    assert.equal(await this.state() !== before, crash.leaves, "after a crash");
    const cleaned = await machine.run("agent", "daemon", "--cleanup");
    assert.equal(cleaned.code, 0, cleaned.stderr);
    assert.equal(await this.state(), before, `after --cleanup: ${cleaned.stderr}`);
    // And one that systemd does start again.
    await machine.shell("rm -r /run/systemd/system/agent.service.d; systemctl daemon-reload");
    await this.start();
    await this.finds("theirs", this.peer, "after --cleanup and start");
    await machine.shell("systemctl kill --kill-whom=main -s KILL agent");
    await this.finds("theirs", this.peer, "after a crash and start");
    await machine.must("agent", "wait", "--timeout", "60s");
    await this.works("after a crash and start");
    // Before control says anything the machine has its own DNS again.
    await this.scene.control.control("stop");
    await machine.shell("systemctl kill --kill-whom=main -s KILL agent");
    await until("as it was after a crash and a start without control", 30_000, async () => {
      return await this.state() === before && (await machine.unit("agent", "ActiveState")).ActiveState === "active";
    });
    await this.scene.control.control("start");
    await this.finds("theirs", this.peer, "when control is back");
    await machine.must("systemctl", "stop", "agent");
    assert.equal(await this.state(), before, "after a crash, start and stop");
  }

  async journal(): Promise<string> {
    return await this.machine.must("journalctl", "-b", "-u", "agent", "--no-pager", "-o", "cat");
  }
}

async function withMachine(scene: Scene, body: (ground: Ground) => Promise<void>): Promise<void> {
  const servers = [[OWN, OWN_ANSWER], [CORP, CORP_ANSWER]].map((args) =>
    scene.core.spawn([Deno.execPath(), "run", "-A", "--no-lock", SERVER, ...args], {
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    })
  );
  const built = await builtAgent();
  await using machine = await Machine.boot(scene.left, built);
  try {
    const peer = await scene.peer("right", "theirs");
    await machine.shell(`
      mkdir -p /etc/systemd/resolved.conf.d
      printf '[Resolve]\\nDNS=${OWN}\\nLLMNR=no\\nMulticastDNS=no\\n' >/etc/systemd/resolved.conf.d/own.conf
      systemctl restart systemd-resolved
    `);
    await body(new Ground(scene, machine, peer.ips[0]));
  } catch (error) {
    console.error((await machine.run("journalctl", "-b", "-n", "60", "--no-pager")).stdout);
    throw error;
  } finally {
    for (const server of servers) server.kill("SIGKILL");
  }
}

/** systemd-resolved: split DNS, all names, its own restarts and the bus's; by D-Bus, and by resolvectl. */
async function resolved(ground: Ground): Promise<void> {
  const { machine, scene, peer } = ground;
  await ground.finds("web.example", OWN_ANSWER, "before us");
  const before = await ground.state();
  await machine.must("dpkg", "--install", `/share/agent-${VERSION}.deb`);
  await machine.must("agent", "up", "--login-server", scene.control.url, "--auth-key", AUTH_KEY, "--hostname=machine");
  // testcontrol would want the key again at every start.
  await scene.control.knobs({ requireAuthKey: "" });
  await ground.works("by resolved");
  assert.equal(await ground.lookup("host.corp.example"), OWN_ANSWER);
  assert.match(await machine.must("resolvectl", "query", `theirs.${DOMAIN}`), new RegExp(`${peer}.*link: agent0`));
  assert.match(await machine.must("agent", "dns", "status"), /told: systemd-resolved, because resolv\.conf leads/);
  assert.equal(await machine.must("resolvectl", "default-route", "agent0"), await link(machine, "no"));

  // Split DNS by control, then its servers for everything, then as it was.
  const magic = { Proxied: true, Domains: [DOMAIN] };
  const routes = { "corp.example": [{ Addr: CORP }] };
  await scene.control.knobs({ dnsConfig: { ...magic, Routes: routes } });
  await ground.finds("host.corp.example", CORP_ANSWER, "by split DNS");
  await ground.works("beside split DNS");
  await scene.control.knobs({ dnsConfig: { ...magic, Resolvers: [{ Addr: CORP }] } });
  await ground.finds("web.example", CORP_ANSWER, "by control's servers");
  assert.equal(await machine.must("resolvectl", "default-route", "agent0"), await link(machine, "yes"));
  assert.equal(await ground.lookup("theirs"), peer);
  await scene.control.knobs({ dnsConfig: magic });
  await ground.finds("web.example", OWN_ANSWER, "again");

  // What it was told survives a restart in its files; without them it has to be told again.
  const forget = "systemctl stop systemd-resolved; rm -rf /run/systemd/resolve/netif; systemctl start systemd-resolved";
  await machine.shell(forget);
  await ground.works("after a restart of resolved");
  await machine.must("systemctl", "restart", "dbus");
  await machine.shell(forget);
  await ground.works("after restarts of the bus and of resolved");

  // One that is stopped stays so, whatever we have to tell it.
  await machine.must("systemctl", "stop", "systemd-resolved");
  await machine.must("agent", "set", "--accept-dns=false");
  await machine.must("agent", "set", "--accept-dns=true");
  const complaint = /systemd-resolved does not run/;
  await until("it is complained of", 20_000, async () => complaint.test(await machine.must("agent", "status")));
  // Longer than until the next attempt.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  assert.equal((await machine.unit("systemd-resolved", "ActiveState")).ActiveState, "inactive");
  await machine.must("systemctl", "start", "systemd-resolved");
  await ground.works("after it was stopped and told meanwhile");
  await until("it is well again", 20_000, async () => !complaint.test(await machine.must("agent", "status")));

  await machine.must("agent", "set", "--accept-dns=false");
  await until("as it was with accept-dns off", 20_000, async () => !/agent0/.test(await ground.state()));
  assert.equal(await ground.lookup("theirs"), "");
  await machine.must("agent", "set", "--accept-dns=true");
  await ground.works("with accept-dns on again");
  assert.doesNotMatch(await ground.journal(), /using resolvectl|could not be set/);
  const { Health } = JSON.parse(await machine.must("agent", "status", "--json"));
  assert.deepEqual(Health ?? [], []);
  await machine.must("systemctl", "stop", "agent");
  assert.equal(await ground.state(), before, "after stop");
  await ground.start();
  // Its settings go with the device.
  await ground.ends(before, { leaves: false });

  // An address of the bus that our client does not know, and resolvectl does.
  const address = "unix:path=/nowhere;unix:path=/run/dbus/system_bus_socket";
  await machine.shell(`
    mkdir -p /run/systemd/system/agent.service.d
    printf '[Service]\\nEnvironment="DBUS_SYSTEM_BUS_ADDRESS=${address}"\\n' >/run/systemd/system/agent.service.d/bus.conf
    systemctl daemon-reload
  `);
  await ground.start();
  await ground.works("by resolvectl");
  assert.match(await ground.journal(), /using resolvectl/);
  await machine.must("systemctl", "stop", "agent");
  assert.equal(await ground.state(), before);
  await machine.shell("rm -r /run/systemd/system/agent.service.d; systemctl daemon-reload");
}

/** "Link 3 (agent0): no". */
async function link(machine: Machine, value: string): Promise<string> {
  const index = (await machine.must("cat", "/sys/class/net/agent0/ifindex")).trim();
  return `Link ${index} (agent0): ${value}`;
}

/** One of the two programs resolvconf. */
async function resolvconf(ground: Ground, deb: string, mode: string): Promise<void> {
  const { machine } = ground;
  await machine.shell(`
    rm -f /etc/resolv.conf; : >/etc/resolv.conf
    dpkg --install /opt/${deb}_*.deb
    printf 'nameserver ${OWN}\\nsearch lan.example\\n' | resolvconf -a eth0.test
  `);
  await ground.finds("web.example", OWN_ANSWER, `before us, by ${deb}`);
  const before = await ground.state();
  await ground.start();
  await ground.works(`by ${deb}`);
  assert.match(await machine.must("agent", "dns", "status"), new RegExp(`told: ${mode}, because`));
  const servers = (await machine.must("cat", "/etc/resolv.conf")).match(/^nameserver .*$/mg);
  assert.deepEqual(servers, [`nameserver ${US}`, "nameserver fd7a:115c:a1e0::53"], "only ours");
  assert.match(
    await machine.must("cat", "/etc/resolv.conf"),
    new RegExp(`^search ${DOMAIN.replaceAll(".", "\\.")} lan\\.example$`, "m"),
  );
  // Somebody else's record does not displace ours.
  await machine.shell("printf 'nameserver 192.0.2.99\\n' | resolvconf -a lo.other");
  assert.match(await machine.must("cat", "/etc/resolv.conf"), new RegExp(`^nameserver ${US}$`, "m"));
  assert.equal(await ground.lookup("theirs"), ground.peer);
  await machine.shell("resolvconf -d lo.other");
  await ground.ends(before, { leaves: true });
  await machine.shell(`resolvconf -d eth0.test; dpkg --purge ${deb}`);
}

async function direct(ground: Ground): Promise<void> {
  const { machine } = ground;
  await machine.shell(`rm -f /etc/resolv.conf; printf 'nameserver ${OWN}\\nsearch lan.example\\n' >/etc/resolv.conf`);
  const before = await ground.state();
  await ground.start();
  await ground.works("by resolv.conf");
  assert.match(await machine.must("agent", "dns", "status"), /told: direct, because resolv\.conf is nobody's/);
  await ground.ends(before, { leaves: true });
}

const missing = MACHINE_PROGRAMS.map(programMissing).find((reason) => reason !== undefined);
if (missing !== undefined && Deno.env.get("CI") !== "true") {
  Deno.test({ name: `machine dns [skipped: ${missing}]`, ignore: true, fn: () => {} });
} else {
  sceneTest(
    "machine dns: systemd-resolved, openresolv, resolvconf and resolv.conf, told and put back",
    async (scene) => {
      await withMachine(scene, async (ground) => {
        const step = async (name: string, run: () => Promise<void>) => {
          const startedAt = performance.now();
          await run();
          console.log(`  ${name}: ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
        };
        await step("systemd-resolved", () => resolved(ground));
        await ground.machine.shell("dpkg --purge systemd-resolved; rm -rf /run/systemd/resolve");
        await step("openresolv", () => resolvconf(ground, "openresolv", "openresolv"));
        await step("resolvconf", () => resolvconf(ground, "resolvconf", "debian-resolvconf"));
        await step("resolv.conf", () => direct(ground));
      });
    },
  );
}
