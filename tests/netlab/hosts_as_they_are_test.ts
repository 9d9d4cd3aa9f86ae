// The agent's routes, rules and packet filter on hosts that have their own: exact sets after up, down, crash and clean-up,
// and beside Docker, ufw, firewalld and whoever flushes everything. The rules of those programs are typed in as the
// programs make them, for none of them runs in a namespace.

import assert from "node:assert/strict";
import { type AgentNode, until } from "../interop/support/agent.ts";
import { daemonTraces, tableRoutes } from "./kernel_state.ts";
import type { LabNamespace } from "./lab.ts";
import { groundTest, reaches } from "./tailnet_ground.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** The ruleset without counts and handles. */
async function ruleset(ns: LabNamespace): Promise<string> {
  return (await ns.must(["nft", "-s", "list", "ruleset"])).trim();
}

/** The order of jumps and other rules in a base chain. */
async function chain(ns: LabNamespace, name: string, table = "ip filter"): Promise<string[]> {
  const text = await ns.must(["nft", "-s", "list", "chain", ...table.split(" "), name]);
  return text.split("\n").map((line) => line.trim()).filter((line) =>
    line !== "" && !/^(table|chain|type|\})/.test(line)
  );
}

async function awaitRules(agent: AgentNode): Promise<void> {
  await until("the filter is there", 20_000, async () => (await agent.status()).Agent.Netfilter.Backend === "nftables");
  await until(
    "its jump is there",
    20_000,
    async () => (await chain(agent.namespace, "INPUT").catch(() => [])).length > 0,
  );
}

/** What an agent with the address holds, as nft prints it; `udp` its port. */
const expected = (ip4: string, udp: number) =>
  `table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy accept;
		counter jump agent-input
	}

	chain agent-input {
		iifname "lo" ip saddr ${ip4} counter accept
		iifname "agent0" counter accept
		udp dport ${udp} counter accept
	}

	chain FORWARD {
		type filter hook forward priority filter; policy accept;
		counter jump agent-forward
	}

	chain agent-forward {
		iifname "agent0" counter accept
		oifname "agent0" counter accept
	}
}
table ip agent {
	chain made-table {
	}

	chain made-INPUT {
	}

	chain made-FORWARD {
	}

	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		ct state established,related ct mark & 0x00ff0000 == 0x00080000 counter meta mark set meta mark & 0xff08ffff | 0x00080000
		iifname != "agent0" udp dport ${udp} counter meta mark set meta mark & 0xff08ffff | 0x00080000
	}

	chain input {
		type filter hook input priority mangle; policy accept;
		iifname "lo" counter return
		iifname != "agent0" ip saddr 100.115.92.0/23 counter return
		iifname != "agent0" ip saddr 100.64.0.0/10 ct state established,related counter return
		iifname != "agent0" ip saddr 100.64.0.0/10 udp sport 67 udp dport 68 counter return
		iifname != "agent0" ip saddr 100.64.0.0/10 counter drop
	}

	chain forward {
		type filter hook forward priority mangle; policy accept;
		iifname "agent0" counter meta mark set meta mark & 0xff04ffff | 0x00040000
		oifname "agent0" ip saddr 100.64.0.0/10 counter drop
		oifname "agent0" ct state established,related counter return
		oifname "agent0" counter drop
	}

	chain output {
		type route hook output priority mangle; policy accept;
		ct state new meta mark & 0x00ff0000 == 0x00080000 counter ct mark set ct mark & 0xff08ffff | 0x00080000
	}

	chain services {
		type nat hook output priority -100; policy accept;
		ip daddr 100.100.100.100 tcp dport 80 counter dnat to 100.100.100.100:5252
	}

	chain postrouting {
		type nat hook postrouting priority srcnat - 1; policy accept;
		meta mark & 0x00ff0000 == 0x00040000 counter masquerade
	}
}`;

groundTest(
  "rules, routes and packet filter: exact sets after up, down, crash, restart and --cleanup",
  async (ground) => {
    await ground.startCoordinator();
    const alpha = ground.machine("alpha");
    const foreign = "table inet theirs { chain c { type filter hook input priority 5; tcp dport 1 counter accept; }; }";
    await alpha.nft(foreign);
    const untouched = await ruleset(alpha);
    const a = await ground.agent(alpha, "alpha", { port: 41641 });
    await ground.join(a);
    await awaitRules(a);
    const [ip4] = await a.ips();
    const full = await ruleset(alpha);
    for (const table of expected(ip4, 41641).split(/\n(?=table )/)) {
      assert.ok(full.includes(table), `${table}\n--\n${full}`);
    }
    assert.ok(full.startsWith(untouched) || full.includes(untouched));
    assert.deepEqual(daemonTraces(alpha), { rules: 8, routes: 0, device: true });

    await a.cli("down");
    await until("down takes the filter away", 20_000, async () => await ruleset(alpha) === untouched);
    assert.deepEqual(daemonTraces(alpha), { rules: 8, routes: 0, device: true });
    await a.cli("up");
    await until("up puts it back", 20_000, async () => await ruleset(alpha) === full);
    for (const [mode, has] of [["nodivert", /chain agent-input/], ["off", /^table inet theirs/]] as const) {
      await a.cli("set", `--netfilter-mode=${mode}`);
      const text = await ruleset(alpha);
      assert.match(text, has);
      assert.doesNotMatch(text, /jump agent|hook prerouting/);
    }
    assert.equal(await ruleset(alpha), untouched);
    await a.cli("set", "--netfilter-mode=on");
    assert.equal(await ruleset(alpha), full);

    await a.kill();
    assert.equal(await ruleset(alpha), full, "a crash leaves it");
    await a.run();
    await until("Running", 20_000, async () => (await a.status()).BackendState === "Running");
    await awaitRules(a);
    assert.equal(await ruleset(alpha), full, "nothing is there twice");
    await a.kill();
    const cleanup = [Deno.execPath(), "run", "-A", "--no-lock", MAIN, "daemon", "--cleanup"];
    const { code, stderr } = await alpha.run(cleanup);
    assert.deepEqual([code, await ruleset(alpha)], [0, untouched], stderr);
    assert.match(stderr, /removed 4 rules[\s\S]*removed the packet filter's rules/);
    assert.deepEqual(daemonTraces(alpha), { rules: 0, routes: 0, device: false });
    await a.run();
    await awaitRules(a);
    assert.equal(await a.stop(), 0);
    assert.deepEqual(
      [await ruleset(alpha), tableRoutes(alpha)],
      [untouched, []],
      "a daemon that is stopped leaves nothing",
    );
  },
);

groundTest(
  "hosts as they are: Docker, ufw, firewalld and its reload, a flush by another, a foreign ts-input",
  async (ground) => {
    await ground.startCoordinator("--approve-routes", "10.1.0.0/16");
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    const lana = ground.behind(alpha, "lana", "10.1.0");
    // As Docker (iptables-nft): policy DROP in FORWARD. As ufw: policy DROP in INPUT, its chains in between.
    const docker =
      "table ip filter { chain INPUT { type filter hook input priority 0; policy drop; counter jump ufw-before-input; }; " +
      "chain FORWARD { type filter hook forward priority 0; policy drop; counter jump DOCKER-USER; }; " +
      'chain DOCKER-USER { counter return; }; chain ufw-before-input { iifname "lo" counter accept; ' +
      "ct state related,established counter accept; }; };";
    const firewalld =
      "table inet firewalld { chain filter_INPUT { type filter hook input priority 10; policy accept; " +
      'ct state established,related accept; iifname "lo" accept; reject with icmpx admin-prohibited; }; ' +
      "chain filter_FORWARD { type filter hook forward priority 10; policy accept; ct state established,related accept; " +
      "reject with icmpx admin-prohibited; }; };";
    await alpha.nft(
      docker.replaceAll("chain ufw-before-input {", "chain ufw-before-input {").replace(
        /^/,
        "table ip filter { chain ufw-before-input { }; chain DOCKER-USER { }; };\n",
      ),
    );
    await alpha.nft(firewalld);
    const a = await ground.joined(alpha, "alpha", "--advertise-routes", "10.1.0.0/24");
    const b = await ground.joined(beta, "beta", "--accept-routes");
    const [ip] = await a.ips();
    await b.awaitPeer(ip);
    await reaches(beta, ip);
    await reaches(beta, "10.1.0.2");
    assert.equal((await chain(alpha, "INPUT"))[0], "counter jump agent-input", "ahead of others' rules");

    await alpha.nft("delete table inet firewalld");
    await alpha.nft(firewalld);
    await until("firewalld's reload is noticed", 15_000, async () => {
      return (await chain(alpha, "filter_INPUT", "inet firewalld"))[0].includes('iifname "agent0"');
    });
    await reaches(beta, "10.1.0.2");

    await alpha.must(["nft", "flush", "ruleset"]);
    await until("put back after a flush", 15_000, async () => (await ruleset(alpha)).includes("table ip agent {"));
    await reaches(beta, "10.1.0.2");

    // Another tailnet's rule that drops what is not of its own tunnel, inserted ahead of ours.
    await alpha.nft(
      'table ip filter { chain ts-input { iifname != "tailscale0" ip saddr 100.64.0.0/10 counter drop; }; };\n' +
        "insert rule ip filter INPUT counter jump ts-input",
    );
    await until("ours stands first again", 15_000, async () => {
      const [first, second] = await chain(alpha, "INPUT");
      return first === "counter jump agent-input" && second === "counter jump ts-input";
    });
    await reaches(beta, ip);
    console.log(`  INPUT: ${(await chain(alpha, "INPUT")).join(" | ")}`);
    await lana.must(["true"]);
  },
);

groundTest(
  "hosts as they are: 100.64.0.0/10 in local use is let in, and nothing else of it; status says so",
  async (ground) => {
    await ground.startCoordinator();
    const alpha = ground.machine("alpha");
    const carrier = ground.lab.namespace("carrier");
    ground.lab.link(carrier, ["100.72.0.1/16", "10.8.0.1/24"], alpha, ["100.72.0.2/16", "10.8.0.2/24"]);
    carrier.configure("lo", ["100.100.2.136/32", "100.99.0.1/32", "100.98.0.1/32"]);
    alpha.route("100.100.2.136/32", "100.72.0.1");
    alpha.route("100.98.0.0/16", "100.72.0.1");
    const a = await ground.joined(alpha, "alpha");
    await awaitRules(a);
    const { Netfilter } = (await a.status()).Agent;
    assert.deepEqual(Netfilter.Exempt, [
      "100.72.0.0/16 (network of eth1)",
      "100.98.0.0/16 (route)",
      "100.100.2.136/32 (route)",
    ]);
    assert.match(
      await a.cli("status"),
      /# Of 100\.64\.0\.0\/10 let in beside the tailnet:\n# +- 100\.72\.0\.0\/16 \(network of eth1\)/,
    );
    const ping = (from: string) => carrier.run(["ping", "-n", "-c", "1", "-W", "1", "-I", from, "10.8.0.2"]);
    for (const source of ["100.72.0.1", "100.100.2.136", "100.98.0.1"]) {
      assert.equal(
        (await ping(source)).code,
        0,
        source,
      );
    }
    assert.notEqual((await ping("100.99.0.1")).code, 0, "a tailnet address that is nobody's here");
    // A connection that this machine began is answered, whatever the address.
    alpha.route("100.99.0.0/16", "10.8.0.1");
    await alpha.must(["ping", "-n", "-c", "1", "-W", "2", "100.99.0.1"]);
  },
);

groundTest(
  "hosts as they are: strict rp_filter with an exit node, and IPv6 switched off",
  async (ground) => {
    await ground.startCoordinator("--approve-routes", "exit");
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    for (const device of ["all", "default", "eth0"]) alpha.sysctl(`net/ipv4/conf/${device}/rp_filter`, "1");
    ground.lab.router(beta);
    const b = await ground.joined(beta, "beta", "--advertise-exit-node");
    const a = await ground.joined(alpha, "alpha");
    const [exit] = await b.ips();
    await until("beta offers", 20_000, async () => (await a.peer(exit)).ExitNodeOption === true);
    await a.cli("set", "--exit-node", "beta");
    await reaches(alpha, "198.51.100.1");
    await until("a direct path", 20_000, async () => {
      await alpha.run(["ping", "-n", "-c", "1", "-W", "1", exit]);
      return (await a.peer(exit)).CurAddr !== "";
    });
    await a.stop();

    alpha.sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    await a.run();
    await reaches(alpha, "198.51.100.1", 60_000);
    assert.doesNotMatch((await a.status()).Health?.join("\n") ?? "", /rout|filter/i);
    await a.cli("set", "--exit-node=");
    await reaches(alpha, exit);
  },
);

groundTest(
  "hosts as they are: without nft and iptables the node works, and says in one line what is missing",
  async (ground) => {
    await ground.startCoordinator();
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    // Something that is no file in its place is as good as nothing there.
    const hide =
      'for path in /usr/sbin/nft /usr/sbin/*tables*restore; do mount --bind /dev/null "$path"; done; exec "$@"';
    const program = ["unshare", "-m", "sh", "-c", hide, "sh", Deno.execPath(), "run", "-A", "--no-lock", MAIN];
    const a = await ground.agent(alpha, "alpha", { program });
    await ground.join(a);
    const b = await ground.joined(beta, "beta");
    await b.awaitPeer((await a.ips())[0]);
    await reaches(beta, (await a.ips())[0]);
    const health = await until(
      "health says so",
      10_000,
      async () => (await a.status()).Health?.find((text: string) => text.includes("nft")),
    );
    assert.match(health, /packet filter .*Cannot find nft at .*; install the package nftables/);
  },
);
