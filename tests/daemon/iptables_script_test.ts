import assert from "node:assert/strict";
import { instanceOf, ONE_NODE } from "../../daemon/instance.ts";
import { isUsed, parseSaved, restoreScript, savedPrint } from "../../daemon/netfilter/iptables_script.ts";
import { NO_LOCAL_USE } from "../../daemon/netfilter/local_use.ts";
import { NO_RULES, rulesetOf } from "../../daemon/netfilter/ruleset.ts";
import type { FirewallState } from "../../daemon/netfilter/ruleset.ts";

const STATE: FirewallState = {
  mode: "on",
  tun: "agent0",
  addresses: ["100.64.0.1", "fd7a:115c:a1e0::1"],
  udpPort: { 4: 41641, 6: 0 },
  snat: true,
  filtering: "own",
  offered: ["10.1.0.0/16", "fd00:1::/64"],
  guestDevices: ["docker0"],
  localUse: NO_LOCAL_USE,
  acceptCgnat: false,
};
const RULES = rulesetOf(STATE, ONE_NODE, [4, 6]);

/** What a kernel holds after the lines: as `iptables-save` prints it, in the lines' own words. */
function play(script: string, before = ""): string {
  const tables = new Map<string, { chains: Map<string, string[]> }>();
  let chains = new Map<string, string[]>();
  for (const line of `${before}${script}`.split("\n")) {
    const [word, name, ...rest] = line.split(" ");
    const text = rest.join(" ");
    if (line.startsWith("*")) {
      chains = tables.get(line)?.chains ?? new Map();
      tables.set(line, { chains });
    } else if (line.startsWith(":")) chains.set(word.slice(1), []);
    else if (word === "-A") chains.set(name, [...chains.get(name) ?? [], text]);
    else if (word === "-I") chains.set(name, [text.replace(/^1 /, ""), ...chains.get(name) ?? []]);
    else if (word === "-F") chains.set(name, []);
    else if (word === "-X") {
      assert.deepEqual(chains.get(name), [], `${name} is not empty`);
      chains.delete(name);
    } else if (word === "-D") {
      const rules = chains.get(name) ?? [];
      const at = rules.indexOf(text);
      assert.ok(at >= 0, `no rule "${text}" in ${name}`);
      chains.set(name, rules.toSpliced(at, 1));
    }
  }
  return [...tables].map(([table, { chains }]) =>
    [table, ...[...chains.keys()].map((name) => `:${name} - [0:0]`)]
      .concat([...chains].flatMap(([name, rules]) => rules.map((rule) => `-A ${name} ${rule}`)), "COMMIT\n").join("\n")
  ).join("");
}

const HOST = "*filter\n:INPUT DROP [0:0]\n:ufw - [0:0]\n-A INPUT -j ufw\nCOMMIT\n";

Deno.test("iptables: the same rules as nft's, in chains of ours at the same places", () => {
  const script = restoreScript(ONE_NODE, RULES, 4, parseSaved(""));
  assert.equal(
    script,
    `*filter
:agent-input - [0:0]
:agent-forward - [0:0]
-A agent-input -s 100.64.0.1 -i lo -j ACCEPT
-A agent-input -i agent0 -j ACCEPT
-A agent-input -p udp -m udp --dport 41641 -j ACCEPT
-A agent-forward -i agent0 -j ACCEPT
-A agent-forward -o agent0 -j ACCEPT
-I INPUT 1 -j agent-input
-I FORWARD 1 -j agent-forward
COMMIT
*mangle
:agent-prerouting - [0:0]
:agent-input - [0:0]
:agent-forward - [0:0]
:agent-output - [0:0]
-A agent-prerouting -m conntrack --ctstate RELATED,ESTABLISHED -m connmark --mark 0x80000/0xff0000 -j MARK --set-xmark 0x80000/0xff0000
-A agent-prerouting ! -i agent0 -p udp -m udp --dport 41641 -j MARK --set-xmark 0x80000/0xff0000
-A agent-input -i lo -j RETURN
-A agent-input -s 100.115.92.0/23 ! -i agent0 -j RETURN
-A agent-input -s 100.64.0.0/10 ! -i agent0 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A agent-input -s 100.64.0.0/10 ! -i agent0 -p udp -m udp --sport 67 --dport 68 -j RETURN
-A agent-input -s 100.64.0.0/10 ! -i agent0 -j DROP
-A agent-forward -i agent0 -j MARK --set-xmark 0x40000/0xff0000
-A agent-forward -s 100.64.0.0/10 -o agent0 -j DROP
-A agent-forward -o agent0 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A agent-forward -i docker0 -o agent0 -j RETURN
-A agent-forward -s 10.1.0.0/16 -o agent0 -j RETURN
-A agent-forward -o agent0 -j DROP
-A agent-output -m conntrack --ctstate NEW -m mark --mark 0x80000/0xff0000 -j CONNMARK --set-xmark 0x80000/0xff0000
-I PREROUTING 1 -j agent-prerouting
-I INPUT 1 -j agent-input
-I FORWARD 1 -j agent-forward
-I OUTPUT 1 -j agent-output
COMMIT
*nat
:agent-services - [0:0]
:agent-postrouting - [0:0]
-A agent-services -d 100.100.100.100 -p tcp -m tcp --dport 80 -j DNAT --to-destination 100.100.100.100:5252
-A agent-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
-I OUTPUT 1 -j agent-services
-I POSTROUTING 1 -j agent-postrouting
COMMIT
`,
  );
  const six = restoreScript(ONE_NODE, RULES, 6, parseSaved(""));
  assert.match(six, /-A agent-forward -s fd00:1::\/64 -o agent0 -j RETURN\n/);
  assert.match(six, /-d fd7a:115c:a1e0::53 .* --to-destination \[fd7a:115c:a1e0::53\]:5252\n/);
  assert.doesNotMatch(six, /100\.|10\.1\.|udp .*--dport/);
});

Deno.test("iptables: rules replace those of before, and go without a trace of ours or a loss of others'", () => {
  const once = play(restoreScript(ONE_NODE, RULES, 4, parseSaved(HOST)), HOST);
  assert.match(once, /-A INPUT -j agent-input\n-A INPUT -j ufw\n/);
  const print = savedPrint(ONE_NODE, parseSaved(once));
  assert.match(print, /^filter INPUT first 1$/m);
  const twice = play(restoreScript(ONE_NODE, RULES, 4, parseSaved(once)), once);
  assert.equal(savedPrint(ONE_NODE, parseSaved(twice)), print, "nothing is there twice");
  // Another instance stands where it likes, and goes without ours.
  const work = instanceOf("work")!;
  const other = rulesetOf({ ...STATE, tun: "agent-work" }, work, [4]);
  const both = play(restoreScript(work, other, 4, parseSaved(twice)), twice);
  assert.equal(savedPrint(ONE_NODE, parseSaved(both)), print, "behind another instance is first all the same");
  const one = play(restoreScript(work, NO_RULES, 4, parseSaved(both)), both);
  assert.equal(savedPrint(ONE_NODE, parseSaved(one)), print);
  assert.equal(savedPrint(work, parseSaved(one)), "");

  const displaced = one.replace("-A INPUT -j agent-input\n", "-A INPUT -j ts-input\n-A INPUT -j agent-input\n");
  assert.match(savedPrint(ONE_NODE, parseSaved(displaced)), /^filter INPUT displaced 1$/m);
  const nodivert = rulesetOf({ ...STATE, mode: "nodivert" }, ONE_NODE, [4]);
  const kept = play(restoreScript(ONE_NODE, nodivert, 4, parseSaved(one)), one);
  assert.doesNotMatch(kept, /-j agent|^-A agent-output/m);
  assert.match(kept, /-A agent-input -i agent0 -j ACCEPT/);
  const gone = play(restoreScript(ONE_NODE, NO_RULES, 4, parseSaved(one)), one);
  assert.doesNotMatch(gone, /agent/);
  assert.match(gone, /-A INPUT -j ufw\n/);
  assert.equal(restoreScript(ONE_NODE, NO_RULES, 4, parseSaved(gone)), "");
});

Deno.test("iptables: tables that a program has only looked at are nobody's", () => {
  assert.equal(isUsed("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"), false);
  assert.equal(isUsed("*filter\n:INPUT DROP [0:0]\nCOMMIT\n"), true);
  assert.equal(isUsed("*nat\n:INPUT ACCEPT [0:0]\n-A POSTROUTING -j DOCKER\nCOMMIT\n"), true);
});
