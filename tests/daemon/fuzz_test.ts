import assert from "node:assert/strict";
import { utf8 } from "../../base/bytes.ts";
import { NodePrivate } from "../../base/keys.ts";
import { applyMapResponse } from "../../control/client/map_session.ts";
import { decodeMapResponse, isMalformed } from "../../control/wire/decode.ts";
import { CLOSED_LOCK_FILTER } from "../support/closed_lock.ts";
import { NodeView } from "../../daemon/node_view.ts";
import { publicPrefs, readMaskedPrefs, readPrefs, savedPrefsText } from "../../daemon/prefs.ts";
import { Router } from "../../daemon/router.ts";
import { statusJson } from "../../daemon/status.ts";
import { parseWhoIsQuery, whoIs } from "../../daemon/whois.ts";
import { testNode } from "../support/fake_control.ts";
import { mutate, SeededRandom } from "../support/random.ts";
import { TAILSCALE_PREFS } from "../support/tailscale_state.ts";

const RESPONSE = {
  Node: testNode(1, { KeyExpiry: "2030-01-01T00:00:00Z" }),
  Peers: [
    testNode(2, {
      CapMap: { a: [1] },
      AllowedIPs: ["100.64.0.2/32", "10.0.0.0/8", "::/0"],
      Endpoints: ["192.0.2.1:1"],
    }),
    testNode(3, { Tags: ["tag:x"], DERP: "127.3.3.40:7", Hostinfo: { Services: [{ Proto: "peerapi4", Port: 80 }] } }),
  ],
  DERPMap: { Regions: { "1": { RegionID: 1, RegionCode: "a", RegionName: "A", Nodes: [] } } },
  PacketFilter: [{
    SrcIPs: ["*", "100.64.0.1-100.64.0.9", "cap:a"],
    DstPorts: [{ IP: "*", Ports: { First: 0, Last: 65535 } }],
    IPProto: [6, 17],
    CapGrant: [{ Dsts: ["100.64.0.0/10"], CapMap: { x: [1] } }],
  }],
  UserProfiles: [{ ID: 1, LoginName: "alice", DisplayName: "Alice" }],
  Domain: "example.com",
  DNSConfig: { Proxied: true },
};

Deno.test("a netmap of mutated map responses never makes router, status or whois throw", () => {
  const random = new SeededRandom(Date.now() >>> 0);
  const document = utf8(JSON.stringify(RESPONSE));
  const privateKey = NodePrivate.generate(random.bytes);
  let usable = 0;
  for (let run = 0; run < 100_000; run++) {
    const decoded = decodeMapResponse(mutate(random, document));
    if (isMalformed(decoded)) continue;
    const applied = applyMapResponse(undefined, decoded.value, 0);
    if (!("state" in applied)) continue;
    const { netmap } = applied.state;
    usable++;
    try {
      const policy = {
        privateKey,
        routeAll: random.chance(0.5),
        shieldsUp: false,
        homeDerp: 1,
        controlNow: Date.now(),
      };
      const routed = new Router(CLOSED_LOCK_FILTER).route(netmap, policy);
      const view = new NodeView(netmap, routed.visible);
      statusJson({
        version: "",
        state: "Running",
        authUrl: "",
        haveNodeKey: true,
        health: [],
        hostname: "",
        view,
        engine: undefined,
        online: true,
        homeDerp: 1,
        endpoints: [],
        controlNow: Date.now(),
        tunName: "",
        controlUrl: "",
        netfilter: {
          backend: "nftables",
          localUse: { prefixes: [{ prefix: "100.72.0.0/16", use: "network of eth0" }], tunnels: [] },
        },
      }, true);
      const query = parseWhoIsQuery("100.64.0.2");
      if (typeof query === "object") whoIs(view, query);
    } catch (error) {
      throw new Error(`seed ${random.seed} run ${run}`, { cause: error });
    }
  }
  assert.ok(usable > 2_000, `${usable} mutated responses were still a netmap`);
});

Deno.test("readPrefs() and readMaskedPrefs() never throw on mutated preferences, and take what they write", () => {
  const random = new SeededRandom(Date.now() >>> 0);
  const masked = JSON.stringify({
    ...JSON.parse(TAILSCALE_PREFS),
    RouteAllSet: true,
    AutoUpdateSet: { ApplySet: true },
  });
  for (let run = 0; run < 20_000; run++) {
    const text = new TextDecoder().decode(mutate(random, utf8(masked)));
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      continue;
    }
    readMaskedPrefs(value);
    const prefs = readPrefs(value, random.chance(0.5) ? "saved" : "sent");
    if (typeof prefs === "string") continue;
    publicPrefs(prefs);
    const again = readPrefs(JSON.parse(savedPrefsText(prefs)), "saved");
    assert.ok(typeof again === "object", `seed ${random.seed} run ${run}: ${again}`);
    assert.equal(savedPrefsText(again), savedPrefsText(prefs), `seed ${random.seed} run ${run}`);
  }
});
