import assert from "node:assert/strict";
import { parseIp, parsePrefix } from "../../base/ip.ts";
import { conntrackProblem, forwardingProblem } from "../../daemon/forwarding.ts";
import { instanceOf, ONE_NODE } from "../../daemon/instance.ts";
import { createLog } from "../../daemon/log.ts";
import { Firewall } from "../../daemon/netfilter/firewall.ts";
import type { FilterBackend } from "../../daemon/netfilter/firewall.ts";
import { localUseOf, NO_LOCAL_USE, orAsBefore, resolversOf } from "../../daemon/netfilter/local_use.ts";
import { applyScript, removalScript } from "../../daemon/netfilter/nft_script.ts";
import type { Seen } from "../../daemon/netfilter/nft_script.ts";
import { rulesetOf } from "../../daemon/netfilter/ruleset.ts";
import type { FirewallState } from "../../daemon/netfilter/ruleset.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";

const STATE: FirewallState = {
  mode: "on",
  tun: "agent0",
  addresses: ["100.64.0.1", "fd7a:115c:a1e0::1"],
  udpPort: { 4: 41641, 6: 0 },
  snat: true,
  filtering: "own",
  offered: ["10.1.0.0/16"],
  guestDevices: ["docker0"],
  localUse: NO_LOCAL_USE,
  acceptCgnat: false,
};
const NOTHING: Seen = { tables: [], chains: [], rules: [] };
const script = (state: Partial<FirewallState>, families: (4 | 6)[] = [4], seen = NOTHING) =>
  applyScript(ONE_NODE, rulesetOf({ ...STATE, ...state }, ONE_NODE, families), "agent0", seen);

Deno.test("incident TS-2024-005: what neither this machine nor an offered network began does not enter the tunnel", () => {
  const own = script({});
  assert.match(own, /forward oifname "agent0" ct state established,related counter return\n/);
  assert.match(own, /forward iifname "docker0" oifname "agent0" counter return\n/);
  assert.match(
    own,
    /forward oifname "agent0" ip saddr 10\.1\.0\.0\/16 counter return\nadd rule ip agent forward oifname "agent0" counter drop\n/,
  );
  const strict = script({ filtering: "strict" });
  assert.doesNotMatch(strict, /docker0|10\.1\.0\.0/);
  assert.match(strict, /forward oifname "agent0" counter drop\n/);
  assert.doesNotMatch(script({ filtering: "off" }), /oifname "agent0" counter drop/);
});

Deno.test("incidents tailscale 12829, 12555, 3104: local use of 100.64.0.0/10 is found, exempted and named", () => {
  const route = (text: string, gateway?: string) => ({
    destination: parsePrefix(text)!,
    ...(gateway !== undefined && { gateway: parseIp(gateway)! }),
  });
  const use = localUseOf({
    tun: "agent0",
    service: instanceOf("work")!.serviceAddresses,
    networks: [
      { device: "eth0", prefix: "100.72.3.4/16", kind: "lan" },
      { device: "eth1", prefix: "192.0.2.1/24", kind: "lan" },
      { device: "agent0", prefix: "100.64.0.1/32", kind: "tunnel" },
      { device: "tailscale0", prefix: "100.65.0.1/32", kind: "tunnel" },
      { device: "agent-home", prefix: "100.100.100.151/32", kind: "tunnel" },
    ],
    routes: [
      route("0.0.0.0/0", "100.127.0.1"),
      route("100.80.0.0/12", "10.0.0.1"),
      route("100.72.9.0/24"),
      route("10.0.0.0/8"),
    ],
    // The cloud's own, MagicDNS of Tailscale, of this node and of another instance, and one of the internet.
    resolvers: resolversOf(
      ["# x", "100.100.2.136", "100.100.100.100", instanceOf("work")!.serviceAddresses[0], "100.100.100.151", "9.9.9.9"]
        .map((address) => `nameserver ${address}\n`).join(""),
    ),
  });
  assert.deepEqual(use, {
    prefixes: [
      { prefix: "100.80.0.0/12", use: "route" },
      { prefix: "100.72.0.0/16", use: "network of eth0" },
      { prefix: "100.127.0.1/32", use: "gateway" },
      { prefix: "100.100.2.136/32", use: "resolver" },
    ],
    tunnels: ["agent-home", "tailscale0"],
  });
  const text = script({ localUse: use });
  assert.match(text, /input iifname "tailscale0" ip saddr 100\.64\.0\.0\/10 counter return\n/);
  for (const { prefix } of use.prefixes) assert.ok(text.includes(`ip saddr ${prefix} counter return\n`), prefix);
  assert.ok(text.indexOf("100.100.2.136/32") < text.indexOf("100.64.0.0/10 counter drop"));
  assert.match(text, /100\.64\.0\.0\/10 ct state established,related counter return\n/);
  assert.doesNotMatch(script({ acceptCgnat: true }), /input .*100\.64\.0\.0\/10/);
});

Deno.test("the ruleset: iptables' table holds what iptables can print, and instances nothing of each other", () => {
  const text = script({}, [4, 6]);
  for (const line of text.split("\n").filter((one) => / ip6? filter agent-/.test(one))) {
    assert.doesNotMatch(line, /mark|ct |masquerade/, line);
  }
  assert.doesNotMatch(text, /ip6 .*udp dport/, "no port, no rule");
  const work = instanceOf("work")!;
  const other = applyScript(work, rulesetOf({ ...STATE, tun: "agent-work" }, work, [4]), "agent-work", NOTHING);
  assert.doesNotMatch(other, /agent0|agent-input|0x80000|0x40000/);
  assert.equal(removalScript(ONE_NODE, NOTHING), "");
  assert.equal(script({ mode: "off" }), "");
  assert.doesNotMatch(script({ mode: "nodivert" }), /jump|hook/);
});

Deno.test("Firewall makes what was asked for last, puts back what others change, and tells of trouble once", async () => {
  let kernel = "";
  let fail = "";
  const problems: string[] = [];
  const scheduler = new FakeScheduler();
  const applied: string[] = [];
  const firewall = new Firewall({
    instance: ONE_NODE,
    families: () => [4],
    scheduler,
    log: createLog({ verbose: 0, wall: () => 0, bare: true, write: () => {} }),
    problem: (text) => problems.push(text),
    backend: () =>
      Promise.resolve(
        {
          name: "fake",
          silent: false,
          look: () => Promise.resolve({ print: kernel, limit: "" }),
          apply: (ruleset) => {
            if (fail !== "") return Promise.reject(new Error(fail));
            applied.push(kernel = JSON.stringify(ruleset));
            return Promise.resolve();
          },
          remove: () => Promise.resolve(void (kernel = "")),
        } satisfies FilterBackend,
      ),
  });
  firewall.set(undefined);
  firewall.set(STATE);
  firewall.set({ ...STATE, snat: false });
  await firewall.settled;
  const wanted = kernel;
  assert.equal(applied.length, 1, "what is overtaken is left out");
  firewall.set({ ...STATE, snat: false });
  firewall.repair();
  await firewall.settled;
  assert.equal(applied.length, 1, "nothing changed, nothing done");
  kernel = "flushed";
  firewall.repair();
  await firewall.settled;
  assert.equal(kernel, wanted);
  kernel = "flushed again at once";
  firewall.repair();
  await firewall.settled;
  assert.notEqual(kernel, wanted, "two programs do not keep each other busy");
  await scheduler.advance(2_000);
  await firewall.settled;
  assert.equal(kernel, wanted);
  fail = "no room";
  firewall.set(STATE);
  await firewall.settled;
  assert.equal(problems.at(-1), "no room");
  fail = "";
  firewall.repair();
  await firewall.settled;
  assert.deepEqual([problems.at(-1), kernel === wanted], ["", false]);
  await firewall.close();
  assert.equal(kernel, "");
});

Deno.test("forwardingProblem() and conntrackProblem() name the sysctls to set", () => {
  const sysctls = (values: Record<string, string>) => (path: string) => values[path];
  const off = sysctls({ "net/ipv4/ip_forward": "0\n", "net/ipv6/conf/all/forwarding": "1\n" });
  assert.match(forwardingProblem(["10.0.0.0/8"], [], off), /sysctl -w net\.ipv4\.ip_forward=1 and keep/);
  assert.equal(forwardingProblem(["fd00::/8"], [], off), "");
  assert.equal(forwardingProblem(["192.0.2.1/32"], ["192.0.2.1"], off), "", "an address of ours needs no forwarding");
  assert.match(
    forwardingProblem(["0.0.0.0/0", "::/0"], [], sysctls({})),
    /ip_forward=1 net\.ipv6\.conf\.all\.forwarding=1/,
  );
  const full = sysctls({ "net/netfilter/nf_conntrack_count": "64\n", "net/netfilter/nf_conntrack_max": "64\n" });
  assert.match(conntrackProblem(full), /full \(64 of 64\).*nf_conntrack_max/);
  assert.equal(conntrackProblem(sysctls({})), "");
});

Deno.test("local use: where it cannot be seen, what was seen before stands", () => {
  const wrong: unknown[] = [];
  let look = () => NO_LOCAL_USE;
  const seen = orAsBefore(() => look(), (cause) => wrong.push(cause));
  const use = { prefixes: [], tunnels: ["tailscale0"] };
  const fail = () => {
    throw new Error("too many open files");
  };
  look = fail;
  assert.equal(seen(), NO_LOCAL_USE);
  look = () => use;
  assert.equal(seen(), use);
  look = fail;
  assert.equal(seen(), use);
  assert.equal(wrong.length, 2);
});
