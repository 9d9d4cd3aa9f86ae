import assert from "node:assert/strict";
import { metricsInput } from "../../daemon/backend_status.ts";
import { localApiRoutes } from "../../daemon/localapi/routes.ts";
import { userMetrics } from "../../daemon/metrics.ts";
import { change } from "../../daemon/prefs.ts";
import { testNetmap, testNode } from "../support/fake_control.ts";
import { RELAY_SESSION } from "../support/fake_relay.ts";
import { TestNode } from "../support/test_node.ts";

const REQUEST = { peer: "02".padStart(64, "0"), disco: "0a".repeat(32), clients: RELAY_SESSION.clients, generation: 4 };
const GRANTS = [{
  SrcIPs: ["*"],
  CapGrant: [{ Dsts: ["0.0.0.0/0", "::/0"], Caps: ["tailscale.com/cap/relay", "tailscale.com/cap/relay-target"] }],
}];

async function running(node: TestNode, capabilities: Record<string, null> = {}): Promise<void> {
  const self = testNode(1, { CapMap: capabilities });
  node.control.netmap = testNetmap([testNode(2, { Cap: 121 })], { self, packetFilter: GRANTS });
  await node.up({}, "tskey-auth-x");
  await node.goLive();
}

Deno.test("a port in the preferences starts the relay server, tells control, and answers who asks", async () => {
  await using node = new TestNode();
  await running(node);
  assert.equal(node.relays.started.length, 0);
  assert.deepEqual(node.engine.config?.peers[0].relay, { serves: true, mayAsk: true });
  assert.deepEqual(node.engine.config?.relay, { client: true, self: false });

  node.backend.editPrefs(change({ RelayServerPort: 7777, RelayServerStaticEndpoints: ["203.0.113.5:7777"] }));
  await node.settle();
  const [relay] = node.relays.started;
  assert.equal(relay.options.port, 7777);
  assert.equal(node.control.updates.findLast(({ hostinfo }) => hostinfo !== undefined)?.hostinfo?.PeerRelay, true);
  assert.deepEqual(relay.addresses, ["203.0.113.5:7777", "192.0.2.10:7777"], "static first, then those found");
  assert.deepEqual(node.engine.config?.relay, { client: true, self: true }, "its own server is one to ask");

  node.engine.events.relayRequested(REQUEST);
  await node.settle();
  assert.deepEqual(relay.asked, [REQUEST]);
  assert.deepEqual(node.engine.relaySessions, [{ request: REQUEST, session: RELAY_SESSION }]);

  node.backend.editPrefs(change({ RelayServerPort: null }));
  await node.settle();
  assert.ok(relay.closed);
  assert.equal(node.control.updates.findLast(({ hostinfo }) => hostinfo !== undefined)?.hostinfo?.PeerRelay, undefined);
  node.engine.events.relayRequested(REQUEST);
  await node.settle();
  assert.equal(node.engine.relaySessions.length, 1, "nobody is there to give one");
});

Deno.test("another port starts another server, other endpoints do not; down stops it and up starts it", async () => {
  await using node = new TestNode();
  await running(node);
  node.backend.editPrefs(change({ RelayServerPort: 0 }));
  await node.settle();
  node.backend.editPrefs(change({ RelayServerStaticEndpoints: ["203.0.113.6:1"] }));
  await node.settle();
  assert.equal(node.relays.started.length, 1);
  assert.equal(node.relays.started[0].addresses[0], "203.0.113.6:1");
  node.backend.editPrefs(change({ RelayServerPort: 9999 }));
  await node.settle();
  assert.deepEqual(node.relays.running.map(({ options }) => options.port), [9999]);
  node.down();
  await node.settle();
  assert.equal(node.relays.running.length, 0);
  node.backend.editPrefs(change({ WantRunning: true }));
  await node.settle();
  assert.deepEqual(node.relays.running.map(({ options }) => options.port), [9999]);
});

Deno.test("control can forbid the server and the client", async () => {
  await using node = new TestNode();
  await running(node, { "disable-relay-server": null, "disable-relay-client": null });
  node.backend.editPrefs(change({ RelayServerPort: 7777 }));
  await node.settle();
  assert.equal(node.relays.started.length, 0);
  assert.deepEqual(node.engine.config?.relay, { client: false, self: false });
});

Deno.test("a server that cannot start says why and tries again; one that fails is started anew", async () => {
  await using node = new TestNode();
  await running(node);
  node.relays.failure = "Cannot bind UDP port 53 (IPv4): address already in use";
  node.backend.editPrefs(change({ RelayServerPort: 53 }));
  await node.settle();
  assert.ok(node.logged.some((line) => line.includes("Cannot start the peer relay server: Cannot bind UDP port 53")));
  const complaint = /The peer relay server of this node does not run: Cannot bind UDP port 53/;
  assert.match(node.backend.healthStrings().join("\n"), complaint);
  node.relays.failure = undefined;
  node.backend.networkChanged(false);
  await node.scheduler.advance(29_000);
  assert.equal(node.relays.started.length, 0, "not with every netmap");
  await node.scheduler.advance(2_000);
  assert.equal(node.relays.running.length, 1);
  assert.doesNotMatch(node.backend.healthStrings().join("\n"), complaint);
  const [first] = node.relays.running;
  first.closed = true;
  first.options.failed("out of memory");
  await node.scheduler.advance(31_000);
  assert.equal(node.relays.running.length, 1);
});

Deno.test("metrics and the LocalAPI show the server's sessions while there is one", async () => {
  await using node = new TestNode();
  await running(node);
  const sessions = async () => {
    const request = { method: "GET", query: new URLSearchParams() };
    const reply = await localApiRoutes(node.backend)["debug-peer-relay-sessions"](request as never);
    return JSON.parse((reply as { text: string }).text);
  };
  assert.doesNotMatch(userMetrics(await metricsInput(node.backend)), /peer_relay_/);
  assert.deepEqual(await sessions(), { UDPPort: null, Sessions: null });
  node.backend.editPrefs(change({ RelayServerPort: 7777 }));
  await node.settle();
  const text = userMetrics(await metricsInput(node.backend));
  assert.match(text, /^tailscaled_peer_relay_endpoints\{state="connecting"\} 1$/m);
  assert.match(text, /^tailscaled_peer_relay_endpoints\{state="open"\} 2$/m);
  assert.match(text, /^tailscaled_peer_relay_forwarded_packets_total\{transport_in="udp4",transport_out="udp6"\} 3$/m);
  assert.match(text, /^tailscaled_peer_relay_forwarded_bytes_total\{transport_in="udp4",transport_out="udp6"\} 400$/m);
  assert.deepEqual(await sessions(), {
    UDPPort: 7777,
    Sessions: [{
      VNI: 9,
      Client1: { Endpoint: "192.0.2.1:1", ShortDisco: "d:0a0a0a0a0a0a0a0a", PacketsTx: 1, BytesTx: 100 },
      Client2: { Endpoint: "", ShortDisco: "d:0b0b0b0b0b0b0b0b", PacketsTx: 0, BytesTx: 0 },
    }],
  });
});
