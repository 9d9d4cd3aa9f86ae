import assert from "node:assert/strict";
import { formatIp, parseIp, parsePrefix, prefixContains } from "../../base/ip.ts";
import type { IpBytes } from "../../base/ip.ts";
import type { FilterRule } from "../../control/wire/tailcfg.ts";
import { addressSet, compileRules, rangePrefixes } from "../../daemon/filter_rules.ts";
import type { FilterRuleConfig } from "../../engine/config.ts";
import { testNode } from "../support/fake_control.ts";
import { SeededRandom } from "../support/random.ts";

const ANY_PORT = { First: 0, Last: 65535 };

function rulesOf(...rules: FilterRule[]): readonly FilterRuleConfig[] {
  return compileRules(rules, []).rules;
}

Deno.test("addressSet() reads addresses, prefixes, ranges and the star", () => {
  assert.deepEqual(addressSet("100.64.0.1"), ["100.64.0.1/32"]);
  assert.deepEqual(addressSet("fd7a::1"), ["fd7a::1/128"]);
  assert.deepEqual(addressSet("10.0.0.0/8"), ["10.0.0.0/8"]);
  assert.deepEqual(addressSet("*"), ["0.0.0.0/0", "::/0"]);
  assert.deepEqual(addressSet("10.0.0.1-10.0.0.4"), ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]);
  assert.deepEqual(addressSet("0.0.0.0-255.255.255.255"), ["0.0.0.0/0"]);
  assert.deepEqual(addressSet("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ["::/0"]);
  for (const bad of ["", "10.0.0.1/8", "10.0.0.4-10.0.0.1", "10.0.0.1-::1", "host", "1-2-3", "cap:x", "10.0.0.0/33"]) {
    assert.equal(addressSet(bad), undefined, bad);
  }
});

Deno.test("rangePrefixes() covers exactly the range, compared with one address after another", () => {
  const random = new SeededRandom(Date.now() >>> 0);
  for (let run = 0; run < 300; run++) {
    const a = random.int(400);
    const b = a + random.int(200);
    const ip = (n: number): IpBytes => Uint8Array.of(10, 0, n >> 8, n & 255);
    const prefixes = rangePrefixes(ip(a), ip(b));
    for (let n = 0; n < 700; n++) {
      const covering = prefixes.filter((prefix) => prefixContains(prefix, ip(n))).length;
      assert.equal(covering, n >= a && n <= b ? 1 : 0, `seed ${random.seed}: ${n} in ${a}-${b}`);
    }
    // No two neighbours could be one: the cover is the smallest there is.
    assert.ok(prefixes.length <= 2 * 9, `seed ${random.seed}: ${prefixes.length} prefixes for ${a}-${b}`);
  }
});

Deno.test("compileRules() keeps the protocols, and none is not the default set (TS-2025-006)", () => {
  const rule = (IPProto?: number[]): FilterRule => ({
    SrcIPs: ["100.64.0.1"],
    DstPorts: [{ IP: "*", Ports: { First: 22, Last: 22 } }],
    ...(IPProto && { IPProto }),
  });
  assert.deepEqual(rulesOf(rule())[0].protocols, []);
  assert.deepEqual(rulesOf(rule([]))[0].protocols, []);
  assert.deepEqual(rulesOf(rule([6, 17, 132]))[0].protocols, [6, 17, 132]);
  assert.deepEqual(rulesOf(rule([6, 300, -1]))[0].protocols, [6]);
  const unreadable = compileRules([rule([300])], []);
  assert.deepEqual(unreadable.rules, []);
  assert.equal(unreadable.problems.length, 1);
});

Deno.test("compileRules() leaves out what it cannot read and keeps the rest of the rule", () => {
  const { rules, problems } = compileRules([{
    SrcIPs: ["nonsense", "100.64.0.1"],
    DstPorts: [{ IP: "10.0.0.1/8", Ports: ANY_PORT }, { IP: "100.64.0.2", Ports: { First: 80, Last: 81 } }],
  }], []);
  assert.deepEqual(rules, [{
    sources: ["100.64.0.1/32"],
    destinations: [{ prefix: "100.64.0.2/32", first: 80, last: 81 }],
    protocols: [],
  }]);
  assert.equal(problems.length, 2);
});

Deno.test("compileRules() blocks everything when a rule has the old form", () => {
  const good: FilterRule = { SrcIPs: ["*"], DstPorts: [{ IP: "*", Ports: ANY_PORT }] };
  assert.deepEqual(rulesOf(good, { ...good, SrcBits: [32] }), []);
  assert.deepEqual(rulesOf(good, { SrcIPs: ["*"], DstPorts: [{ IP: "*", Bits: 8, Ports: ANY_PORT }] }), []);
});

Deno.test("compileRules() resolves a capability to the addresses of the peers that have it", () => {
  const peers = [testNode(2, { CapMap: { "https://example.com/cap/admin": null } }), testNode(3)];
  const rule: FilterRule = {
    SrcIPs: ["cap:https://example.com/cap/admin"],
    DstPorts: [{ IP: "*", Ports: ANY_PORT }],
  };
  assert.deepEqual(compileRules([rule], peers).rules[0].sources, ["100.64.0.2/32", "fd7a:115c:a1e0::2/128"]);
  assert.deepEqual(compileRules([rule], [testNode(3)]).rules, []);
  assert.deepEqual(compileRules([{ ...rule, SrcIPs: ["cap:toString"] }], peers).rules, []);
});

Deno.test("compileRules() makes nothing of a rule that only grants capabilities", () => {
  assert.deepEqual(rulesOf({ SrcIPs: ["*"], CapGrant: [{ Dsts: ["100.64.0.1/32"], Caps: ["x"] }] }), []);
});

/** The slow twin: does a rule let this packet in, straight from tailcfg's words. */
function admits(rule: FilterRule, source: IpBytes, destination: IpBytes, port: number, protocol: number): boolean {
  const within = (text: string, ip: IpBytes): boolean => {
    if (text === "*") return true;
    if (text.includes("/")) return prefixContains(parsePrefix(text)!, ip);
    const [first, last] = text.split("-").map((part) => parseIp(part)!);
    if (last === undefined) return formatIp(first) === formatIp(ip);
    const order = (a: IpBytes, b: IpBytes) => a.findIndex((byte, i) => byte !== b[i]);
    const atMost = (a: IpBytes, b: IpBytes) => order(a, b) < 0 || a[order(a, b)] < b[order(a, b)];
    return ip.length === first.length && atMost(first, ip) && atMost(ip, last);
  };
  const protocols = rule.IPProto?.length ? rule.IPProto : [6, 17, 1, 58];
  return protocols.includes(protocol) && rule.SrcIPs!.some((text) => within(text, source)) &&
    rule.DstPorts!.some(({ IP, Ports }) => within(IP, destination) && port >= Ports.First && port <= Ports.Last);
}

Deno.test("compileRules() admits what the rules admit: random rules and packets against a slow twin", () => {
  const random = new SeededRandom(Date.now() >>> 0);
  const ip = (): string => `10.0.${random.int(2)}.${random.int(16)}`;
  const set = (): string => {
    const [a, b] = [ip(), ip()].sort((x, y) =>
      Number(x.split(".")[2]) * 256 + Number(x.split(".")[3]) -
      Number(y.split(".")[2]) * 256 - Number(y.split(".")[3])
    );
    return random.pick(["*", ip(), `${a}-${b}`, "10.0.1.0/24", "10.0.0.8/29"]);
  };
  for (let run = 0; run < 400; run++) {
    const rule: FilterRule = {
      SrcIPs: [set(), set()],
      DstPorts: [{ IP: set(), Ports: { First: random.int(4), Last: 2 + random.int(4) } }],
      IPProto: random.pick([[], [6], [17, 132], [1]]),
    };
    const compiled = rulesOf(rule);
    for (let packet = 0; packet < 40; packet++) {
      const [source, destination] = [parseIp(ip())!, parseIp(ip())!];
      const [port, protocol] = [random.int(8), random.pick([1, 6, 17, 58, 132])];
      const fast = compiled.some((config) =>
        (config.protocols.length === 0 ? [6, 17, 1, 58] : config.protocols).includes(protocol) &&
        config.sources.some((prefix) => prefixContains(parsePrefix(prefix)!, source)) &&
        config.destinations.some((to) =>
          prefixContains(parsePrefix(to.prefix)!, destination) && port >= to.first && port <= to.last
        )
      );
      assert.equal(fast, admits(rule, source, destination, port, protocol), `seed ${random.seed} run ${run}`);
    }
  }
});
