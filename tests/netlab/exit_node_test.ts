// An exit node: everything leaves by it, the local network as it is allowed to, and nothing by another way while it, or
// the daemon, is away.

import assert from "node:assert/strict";
import { ONE_NODE } from "../../daemon/instance.ts";
import { until } from "../interop/support/agent.ts";
import { Capture, leaked, type OwnTraffic } from "./capture.ts";
import { deviceAddresses, tableRoutes } from "./kernel_state.ts";
import type { LabNamespace } from "./lab.ts";
import { groundTest, INTERNET, INTERNET6, isCutOff, reaches } from "./tailnet_ground.ts";

/** What the agent of alpha sends itself: by this port, and to coordinator, relay and router. */
const OWN: OwnTraffic = { port: 41641, servers: ["10.90.0.1.9080", "10.90.0.1.9443"], router: "10.90.1.1" };

/** Counts what leaves the machine by `device` without our mark, neighbour discovery left out. @returns a reader */
async function countUnmarked(machine: LabNamespace, device: string): Promise<() => Promise<number>> {
  await machine.nft(
    `table inet lab_leaks { counter leaks {}; chain post { type filter hook postrouting priority 300; ` +
      `oifname "${device}" meta mark and 0xff0000 != 0x80000 icmpv6 type != { 133-137, 143 } counter name leaks; ` +
      `oifname "${device}" meta mark and 0xff0000 != 0x80000 meta l4proto != icmpv6 counter name leaks; }; }`,
  );
  return async () => {
    const text = await machine.must(["nft", "-j", "list", "counter", "inet", "lab_leaks", "leaks"]);
    return JSON.parse(text).nftables.find(({ counter }: { counter?: unknown }) => counter !== undefined).counter
      .packets;
  };
}

const DNS_SERVER = new URL("./dns_server_program.ts", import.meta.url).pathname;
const MAIN = new URL("../../main.ts", import.meta.url).pathname;

groundTest(
  "exit node: the default route moves, LAN access is obeyed, and nothing leaks over kill -9 and restart",
  async (ground) => {
    await ground.startCoordinator("--approve-routes", "exit");
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    const lana = ground.behind(alpha, "lana", "10.1.0");
    ground.lab.router(beta);
    const a = await ground.agent(alpha, "alpha", { port: OWN.port });
    await ground.join(a);
    const b = await ground.joined(beta, "beta", "--advertise-exit-node");
    const [exit, exit6] = await b.ips();
    const device = [exit, exit6, ONE_NODE.serviceAddresses[1]].map((ip) => `${ip}/${ip.includes(":") ? 128 : 32}`);
    assert.deepEqual(deviceAddresses(beta).sort(), device.sort(), "what it offers to reach is not the device's own");
    await a.awaitPeer(exit);
    await until("beta offers", 20_000, async () => (await a.peer(exit)).ExitNodeOption === true);
    assert.match(await a.cli("exit-node", "list"), /beta\.tailnet\.internal/);
    await until("a suggestion", 20_000, async () => /beta/.test((await a.command("exit-node", "suggest")).stdout), 500);
    assert.match(await a.cli("status"), /idle; offers exit node/);

    await ground.core.nft(
      `table inet lab_by { counter own {}; counter exit {}; chain input { type filter hook input priority 0; ` +
        `ip daddr ${INTERNET} ip saddr 10.90.1.2 counter name own; ip daddr ${INTERNET} ip saddr 10.90.2.2 counter name exit; }; }`,
    );
    const by = async () => {
      const text = await ground.core.must(["nft", "-j", "reset", "counters", "table", "inet", "lab_by"]);
      const listed: { counter?: { name: string; packets: number } }[] = JSON.parse(text).nftables;
      return Object.fromEntries(
        listed.flatMap(({ counter }) => counter === undefined ? [] : [[counter.name, counter.packets]]),
      );
    };
    await reaches(alpha, INTERNET);
    assert.ok((await by()).own > 0);
    const leaks = await countUnmarked(alpha, "eth0");

    const sysctl = (ns: LabNamespace) =>
      ns.within(() => Deno.readTextFileSync("/proc/sys/net/ipv4/conf/all/src_valid_mark")).trim();
    assert.equal(sysctl(alpha), "0");
    await a.cli("set", "--exit-node", "beta");
    await reaches(alpha, INTERNET);
    await by();
    const before = await leaks();
    await reaches(alpha, INTERNET);
    await reaches(alpha, INTERNET6);
    const counted = await by();
    assert.deepEqual([counted.own, counted.exit > 0], [0, true], "by beta only");
    assert.match(await a.cli("status"), /exit node/);
    assert.equal((await a.status()).ExitNodeStatus.Online, true);
    assert.ok(await isCutOff(alpha, "10.1.0.2"), "the local network is not reached");
    await a.cli("set", "--exit-node-allow-lan-access");
    await reaches(alpha, "10.1.0.2");
    await reaches(lana, "10.1.0.1");
    await a.cli("set", "--exit-node-allow-lan-access=false");
    assert.ok(await isCutOff(alpha, "10.1.0.2"));
    // Something that never stops asking, DNS too, over everything that follows, and a capture on the outer link.
    const dig = (server: string) => `dig +tries=1 +time=1 @${server} leak.example.com`;
    const asking = alpha.spawn(
      [
        "sh",
        "-c",
        `while :; do ping -n -c 1 -W 1 ${INTERNET}; ping -n -c 1 -W 1 ${INTERNET6}; sleep 0.1; done & ` +
        `while :; do ${dig(INTERNET)}; ${dig(INTERNET6)}; ${dig(INTERNET)} +tcp; ${dig("10.90.0.1")}; sleep 0.1; done`,
      ],
      { stdin: "null", stdout: "null", stderr: "null" },
    );
    await using capture = await Capture.start(alpha, "eth0");
    await a.kill();
    assert.ok(await isCutOff(alpha, INTERNET), "while the daemon is dead nothing leaves");
    assert.ok(await isCutOff(alpha, INTERNET6));
    assert.deepEqual(tableRoutes(alpha).filter((route) => route.startsWith("unreachable")), [
      "unreachable 0.0.0.0/0",
      "unreachable ::/0",
    ]);
    await a.run();
    await reaches(alpha, INTERNET, 60_000);
    await reaches(alpha, INTERNET6);
    assert.equal(
      await leaks() - before,
      0,
      "without our mark nothing left, from before the kill until after the restart",
    );
    assert.deepEqual(leaked(capture.packets, OWN), [], "nor did the capture see anything but the agent's own");
    const own = capture.packets.filter((line) => line.includes(`.${OWN.port} > `)).length;
    assert.ok(own > 0, "the capture saw what it was to see");

    // The exit node goes: the end of the road, and health that says so.
    await b.cli("set", "--advertise-exit-node=false");
    await until(
      "health says so",
      30_000,
      async () => /exit node .* is not there/.test((await a.status()).Health?.join() ?? ""),
    );
    assert.ok(await isCutOff(alpha, INTERNET));
    assert.equal(await leaks() - before, 0);
    assert.deepEqual(leaked(capture.packets, OWN), []);
    await a.cli("set", "--exit-node=");
    await reaches(alpha, INTERNET);
    await until("the capture sees what the exit node kept in: pings and DNS of both families", 20_000, () => {
      const out = leaked(capture.packets, OWN);
      const all = [/^IP .*ICMP echo/, /^IP6 .*echo request/, /^IP .*\.53: UDP/, /^IP6 .*\.53: UDP/, /^IP .*\.53: tcp/];
      return Promise.resolve(all.every((kind) => out.some((line) => kind.test(line))));
    });
    await capture.stop();
    asking.kill("SIGKILL");
    console.log(`  from the kill to after the restart ${own} packets left alpha, all of them the agent's own`);
    assert.ok((await by()).own > 0, "by its own way again");
    assert.deepEqual(tableRoutes(alpha).filter((route) => route.includes(" ")), []);
    assert.equal(sysctl(alpha), "0", "as it was");
  },
  ["tcpdump", "dig"],
);

groundTest(
  "exit node, control known by name: the daemon finds it after kill -9, though the machine's questions go into the tunnel",
  async (ground) => {
    await ground.startCoordinator("--approve-routes", "exit");
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    ground.lab.router(beta);
    // A resolver on the internet, as most machines have one.
    ground.core.configure("lo", ["198.51.100.53/32"]);
    const argv = [Deno.execPath(), "run", "-A", "--no-lock", DNS_SERVER, "198.51.100.53", "10.90.0.1"];
    ground.core.spawn(argv, { stdin: "null", stdout: "null", stderr: "null" });
    const etc = `${ground.dir}/alpha.etc`;
    await Deno.mkdir(etc);
    await Deno.writeTextFile(`${etc}/resolv.conf`, "nameserver 198.51.100.53\n");
    /** A program that has that for its /etc/resolv.conf. */
    const withResolver = (...program: string[]) => [
      ...["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', `${etc}/resolv.conf`],
      ...program,
    ];
    const machineKnows = async () => {
      const { stdout } = await alpha.run(withResolver("getent", "ahostsv4", "control.example"), { timeout: 60_000 });
      return stdout.startsWith("10.90.0.1 ");
    };
    await until("the resolver answers", 20_000, machineKnows);
    const program = withResolver(Deno.execPath(), "run", "-A", "--no-lock", MAIN);
    const a = await ground.agent(alpha, "alpha", { program });
    await ground.join(a, "--login-server", "http://control.example:9080");
    const b = await ground.joined(beta, "beta", "--advertise-exit-node");
    const [exit] = await b.ips();
    await a.awaitPeer(exit);
    await until("beta offers", 20_000, async () => (await a.peer(exit)).ExitNodeOption === true);
    await a.cli("set", "--exit-node", "beta");
    await reaches(alpha, INTERNET);
    assert.ok(await machineKnows(), "by beta");

    await a.kill();
    assert.equal(await machineKnows(), false, "the machine's questions end at the way that is held");
    const startedAt = performance.now();
    await a.run();
    await reaches(alpha, INTERNET, 60_000);
    console.log(`  by the exit node again ${Math.round(performance.now() - startedAt)} ms after the start`);
    assert.ok(await machineKnows());

    // The exit node is cut off: the machine's questions are lost, ours are not.
    await ground.core.nft(
      "table inet lab_cut { chain on { type filter hook forward priority 0; ip saddr 10.90.2.2 drop; }; " +
        "chain to { type filter hook input priority 0; ip saddr 10.90.2.2 drop; ip6 saddr fd90:2::2 drop; }; }",
    );
    await a.kill();
    await a.run();
    await until("control answers", 60_000, async () => (await a.status()).Self?.Online === true);
    assert.equal(await machineKnows(), false);
  },
);
