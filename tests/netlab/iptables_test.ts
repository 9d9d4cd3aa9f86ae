// The packet filter by iptables: where there is no nft, and where the host's own rules are in the older tables.

import assert from "node:assert/strict";
import { type AgentNode, until } from "../interop/support/agent.ts";
import { daemonTraces } from "./kernel_state.ts";
import type { LabNamespace } from "./lab.ts";
import { groundTest, isCutOff, reaches } from "./tailnet_ground.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
/** Something that is no file in its place is as good as nothing there. */
const HIDE_NFT = 'mount --bind /dev/null /usr/sbin/nft; exec "$@"';
const WITHOUT_NFT = ["unshare", "-m", "sh", "-c", HIDE_NFT, "sh", Deno.execPath(), "run", "-A", "--no-lock", MAIN];

/** Chains of ours and rules, jumps among others' included, of both families; nothing else. */
async function ours(ns: LabNamespace, variant: "nft" | "legacy"): Promise<string[]> {
  const texts = await Promise.all(
    [`iptables-${variant}-save`, `ip6tables-${variant}-save`].map((name) => ns.must([name])),
  );
  return texts.flatMap((text, i) =>
    text.split("\n").filter((line) => /agent-/.test(line)).map((line) => `${i} ${line}`)
  );
}

async function backend(agent: AgentNode, name: string): Promise<void> {
  await until(`the filter is ${name}`, 20_000, async () => (await agent.status()).Agent.Netfilter.Backend === name);
}

groundTest(
  "iptables where only that exists: exact sets after up, down, crash, restart and --cleanup; routes work with SNAT",
  async (ground) => {
    await ground.startCoordinator("--approve-routes", "10.1.0.0/16");
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    const lana = ground.behind(alpha, "lana", "10.1.0");
    // As ufw: whatever is not an answer is dropped.
    await alpha.must(["iptables-nft-restore", "--noflush"], {
      input: "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:theirs - [0:0]\n-A INPUT -j theirs\n" +
        "-A theirs -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n",
    });
    const a = await ground.agent(alpha, "alpha", { program: WITHOUT_NFT, port: 41641 });
    await ground.join(a, "--advertise-routes", "10.1.0.0/24");
    const b = await ground.joined(beta, "beta", "--accept-routes");
    const [ip] = await a.ips();
    await backend(a, "iptables");
    await b.awaitPeer(ip);
    await reaches(beta, ip);
    await reaches(beta, "10.1.0.2");
    assert.ok(await isCutOff(lana, (await b.ips())[0]) === false, "an offered network reaches the tailnet");
    const full = await until("chains of both families", 20_000, async () => {
      const lines = await ours(alpha, "nft");
      return lines.some((line) => line.startsWith("1 -A OUTPUT")) && lines;
    });
    assert.deepEqual(
      full.filter((line) => line.startsWith("0 ")).map((line) => line.slice(2)).sort(),
      expected(ip, 41641),
    );
    const untouched = /-A INPUT -j theirs/;

    await a.cli("down");
    await until("down takes them away", 20_000, async () => (await ours(alpha, "nft")).length === 0);
    await a.cli("up");
    const same = async () => assert.deepEqual(await ours(alpha, "nft"), full);
    await until("up puts them back", 20_000, async () => (await ours(alpha, "nft")).length === full.length);
    await same();
    await alpha.must(["iptables-nft", "-I", "INPUT", "-j", "theirs"]);
    await until("first again", 20_000, async () => {
      return /-A INPUT -j agent-input\n-A INPUT -j theirs/.test(
        await alpha.must(["iptables-nft-save", "-t", "filter"]),
      );
    });
    await alpha.must(["iptables-nft", "-F", "agent-forward"]);
    await until("put back", 20_000, async () => (await ours(alpha, "nft")).length === full.length);
    await same();

    await a.kill();
    await same();
    await a.run();
    await backend(a, "iptables");
    await reaches(beta, "10.1.0.2");
    await same();
    await a.kill();
    const { code, stderr } = await alpha.run([...WITHOUT_NFT, "daemon", "--cleanup"]);
    assert.deepEqual([code, await ours(alpha, "nft")], [0, []], stderr);
    assert.match(stderr, /removed the packet filter's rules \(iptables/);
    assert.match(await alpha.must(["iptables-nft-save"]), untouched);
    await a.run();
    await backend(a, "iptables");
    assert.equal(await a.stop(), 0);
    assert.deepEqual(await ours(alpha, "nft"), []);
    assert.deepEqual(daemonTraces(alpha), { rules: 0, routes: 0, device: false });
  },
  ["iptables-nft-restore"],
);

/** Chains and rules of a router for 10.1.0.0/24 with the address, all tables', in the words of iptables-save; sorted. */
const expected = (ip4: string, udp: number): string[] =>
  `:agent-input - [0:0]
-A INPUT -j agent-input
-A agent-input -s ${ip4}/32 -i lo -j ACCEPT
-A agent-input -i agent0 -j ACCEPT
-A agent-input -p udp -m udp --dport ${udp} -j ACCEPT
:agent-forward - [0:0]
-A FORWARD -j agent-forward
-A agent-forward -i agent0 -j ACCEPT
-A agent-forward -o agent0 -j ACCEPT
:agent-prerouting - [0:0]
-A PREROUTING -j agent-prerouting
-A agent-prerouting -m conntrack --ctstate RELATED,ESTABLISHED -m connmark --mark 0x80000/0xff0000 -j MARK --set-xmark 0x80000/0xff0000
-A agent-prerouting ! -i agent0 -p udp -m udp --dport ${udp} -j MARK --set-xmark 0x80000/0xff0000
:agent-input - [0:0]
-A INPUT -j agent-input
-A agent-input -i lo -j RETURN
-A agent-input -s 100.115.92.0/23 ! -i agent0 -j RETURN
-A agent-input -s 100.64.0.0/10 ! -i agent0 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A agent-input -s 100.64.0.0/10 ! -i agent0 -p udp -m udp --sport 67 --dport 68 -j RETURN
-A agent-input -s 100.64.0.0/10 ! -i agent0 -j DROP
:agent-forward - [0:0]
-A FORWARD -j agent-forward
-A agent-forward -i agent0 -j MARK --set-xmark 0x40000/0xff0000
-A agent-forward -s 100.64.0.0/10 -o agent0 -j DROP
-A agent-forward -o agent0 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A agent-forward -s 10.1.0.0/24 -o agent0 -j RETURN
-A agent-forward -o agent0 -j DROP
:agent-output - [0:0]
-A OUTPUT -j agent-output
-A agent-output -m conntrack --ctstate NEW -m mark --mark 0x80000/0xff0000 -j CONNMARK --set-xmark 0x80000/0xff0000
:agent-services - [0:0]
-A OUTPUT -j agent-services
-A agent-services -d 100.100.100.100/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 100.100.100.100:5252
:agent-postrouting - [0:0]
-A POSTROUTING -j agent-postrouting
-A agent-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE`.split("\n").sort();

groundTest(
  "iptables-legacy: an operator whose alternatives lead there, before anybody has made a rule",
  async (ground) => {
    await ground.startCoordinator();
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    // The alternatives of this daemon alone.
    const choose = "mount -t tmpfs tmpfs /etc/alternatives; " +
      'for name in iptables ip6tables; do ln -s "/usr/sbin/$name-legacy-restore" "/etc/alternatives/$name-restore"; done; ' +
      'exec "$@"';
    const program = ["unshare", "-m", "sh", "-c", choose, "sh", Deno.execPath(), "run", "-A", "--no-lock", MAIN];
    const a = await ground.agent(alpha, "alpha", { program });
    await ground.join(a);
    await backend(a, "iptables-legacy");
    const b = await ground.joined(beta, "beta");
    await backend(b, "nftables");
    await b.awaitPeer((await a.ips())[0]);
    await reaches(beta, (await a.ips())[0]);
    assert.ok((await ours(alpha, "legacy")).length > 20);
    assert.equal(await a.stop(), 0);
    assert.deepEqual(await ours(alpha, "legacy"), []);
  },
  ["iptables-legacy-restore"],
);

groundTest(
  "iptables-legacy: a host whose rules are in the older tables, with nft beside; what is flushed is put back",
  async (ground) => {
    await ground.startCoordinator("--approve-routes", "10.1.0.0/16");
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    ground.behind(alpha, "lana", "10.1.0");
    // As Docker does it there.
    await alpha.must(["iptables-legacy-restore", "--noflush"], { input: "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n" });
    const a = await ground.joined(alpha, "alpha", "--advertise-routes", "10.1.0.0/24");
    await backend(a, "iptables-legacy");
    const b = await ground.joined(beta, "beta", "--accept-routes");
    await b.awaitPeer((await a.ips())[0]);
    await reaches(beta, "10.1.0.2");
    assert.doesNotMatch(await alpha.must(["nft", "list", "ruleset"]), /agent/);
    const full = await ours(alpha, "legacy");
    await alpha.must(["iptables-legacy", "-F"]);
    await until("noticed, though the kernel tells nobody", 40_000, async () => {
      return (await ours(alpha, "legacy")).length === full.length;
    }, 500);
    await reaches(beta, "10.1.0.2");
    assert.equal(await a.stop(), 0);
    assert.deepEqual(await ours(alpha, "legacy"), []);
    assert.match(await alpha.must(["iptables-legacy-save"]), /:FORWARD DROP/);
  },
  ["iptables-legacy-restore"],
);
