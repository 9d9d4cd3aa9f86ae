import assert from "node:assert/strict";
import type { FilterRule } from "../../control/wire/tailcfg.ts";
import { RelayGrants } from "../../daemon/relay_grants.ts";
import { grantedCaps } from "../../daemon/whois.ts";
import { parseIp } from "../../base/ip.ts";
import { testNode } from "../support/fake_control.ts";
import { SeededRandom } from "../support/random.ts";

const RELAY = "tailscale.com/cap/relay";
const TARGET = "tailscale.com/cap/relay-target";
const SELF = testNode(1);
const PEER = testNode(2);

function grants(...rules: FilterRule[]): RelayGrants {
  return new RelayGrants(rules, SELF);
}

function rule(SrcIPs: string[], Dsts: string[], ...Caps: string[]): FilterRule {
  return { SrcIPs, CapGrant: [{ Dsts, Caps }] };
}

Deno.test("RelayGrants has what rules grant a peer towards this node, in either spelling", () => {
  const everywhere = ["0.0.0.0/0", "::/0"];
  assert.equal(grants().of(PEER), undefined);
  assert.equal(grants(rule(["*"], everywhere, "other")).of(PEER), undefined);
  assert.deepEqual(grants(rule(["*"], everywhere, TARGET)).of(PEER), { serves: true, mayAsk: false });
  assert.deepEqual(grants(rule(["*"], everywhere, RELAY)).of(PEER), { serves: false, mayAsk: true });
  const modern = grants({ SrcIPs: ["100.64.0.2"], CapGrant: [{ Dsts: ["100.64.0.1/32"], CapMap: { [RELAY]: [] } }] });
  assert.deepEqual(modern.of(PEER), { serves: false, mayAsk: true });
  assert.equal(modern.of(testNode(3)), undefined);
  const both = grants(rule(["100.64.0.2"], everywhere, TARGET), rule(["100.64.0.0/24"], everywhere, RELAY));
  assert.deepEqual(both.of(PEER), { serves: true, mayAsk: true });
  assert.deepEqual(grants(rule(["100.64.0.1"], everywhere, TARGET)).of(SELF), { serves: true, mayAsk: false });
});

Deno.test("RelayGrants gives nothing for others' addresses, other destinations, or outside the lock", () => {
  assert.equal(grants(rule(["*"], ["100.64.0.9/32"], TARGET)).of(PEER), undefined);
  assert.equal(grants(rule(["100.64.0.9"], ["100.64.0.1/32"], TARGET)).of(PEER), undefined);
  const all = grants(rule(["*"], ["0.0.0.0/0", "::/0"], TARGET, RELAY));
  assert.equal(all.of(testNode(2, { UnsignedPeerAPIOnly: true })), undefined);
  assert.equal(all.of(testNode(2, { Addresses: [] })), undefined);
  assert.equal(all.of(testNode(2, { Addresses: ["10.0.0.0/8"] })), undefined, "no address of a host");
  const named = grants(rule(["cap:relay-here"], ["0.0.0.0/0"], TARGET));
  assert.equal(named.of(PEER), undefined);
  assert.deepEqual(named.of(testNode(2, { CapMap: { "relay-here": null } })), { serves: true, mayAsk: false });
});

Deno.test("RelayGrants agrees with what whois shows, for random rules", () => {
  const seed = 0x64a7;
  const random = new SeededRandom(seed);
  const sources = ["*", "100.64.0.2", "100.64.0.0/30", "100.64.0.3-100.64.0.5", "cap:x", "fd7a:115c:a1e0::/48"];
  const destinations = ["0.0.0.0/0", "::/0", "100.64.0.1/32", "100.64.0.2/31", "fd7a:115c:a1e0::1/128"];
  const some = <T>(list: readonly T[]) => list.filter(() => random.chance(0.4));
  for (let round = 0; round < 2_000; round++) {
    const rules = Array.from({ length: random.int(4) }, (): FilterRule => ({
      SrcIPs: some(sources),
      CapGrant: [
        { Dsts: some(destinations), Caps: some([RELAY, TARGET, "y"]) },
        { Dsts: some(destinations), CapMap: Object.fromEntries(some([RELAY, TARGET]).map((cap) => [cap, []])) },
      ],
    }));
    const node = testNode(2 + random.int(4), random.chance(0.3) ? { CapMap: { x: null } } : {});
    const [source, own] = [node, SELF].map((each) => parseIp(each.Addresses![0].split("/")[0])!);
    const caps = grantedCaps(rules, node, source, own);
    const expected = TARGET in caps || RELAY in caps ? { serves: TARGET in caps, mayAsk: RELAY in caps } : undefined;
    assert.deepEqual(new RelayGrants(rules, SELF).of(node), expected, `seed ${seed}, round ${round}`);
  }
});
