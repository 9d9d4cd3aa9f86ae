/** Verbs as processes against a LocalAPI that plays the daemon. */
import assert from "node:assert/strict";
import type { NetcheckReport } from "../../cli/local_types.ts";
import { formatNetcheck } from "../../cli/netcheck.ts";
import { matchProfiles } from "../../cli/switch.ts";
import { formatWhoIs } from "../../cli/whois.ts";
import { answer, FakeBus, run, withLocalApi } from "./fake_local_api.ts";
import type { Answers, Ran, Seen } from "./fake_local_api.ts";
import { peer, prefs, status } from "./fixtures.ts";

const PEERS = [
  peer({ DNSName: "gate.lab.ts.net.", ExitNodeOption: true, ID: "n9", TailscaleIPs: ["100.64.0.9"] }),
  peer({ PublicKey: "nodekey:03" }),
];

/** Runs each command line against one daemon. */
async function runAll(lines: readonly string[], answers: Answers = {}): Promise<{ ran: Ran[]; seen: Seen[] }> {
  const ran: Ran[] = [];
  let requests: Seen[] = [];
  await withLocalApi({
    "GET status": () => answer(status({}, ...PEERS)),
    "GET prefs": () => answer(prefs({ Hostname: "box" })),
    "POST check-prefs": () => answer({}),
    "PATCH prefs": () => answer({}),
    ...answers,
  }, async (socket, seen) => {
    for (const line of lines) ran.push(await run(["--socket", socket, ...line.split(" ")]));
    requests = seen;
  });
  return { ran, seen: requests };
}

Deno.test("ip prints the addresses asked for", async () => {
  const own = ["100.64.0.1", "fd7a:115c:a1e0::1"];
  const cases: [string, number, string][] = [
    ["ip", 0, `${own[0]}\n${own[1]}\n`],
    ["ip -1", 0, `${own[0]}\n`],
    ["ip -4", 0, `${own[0]}\n`],
    ["ip -6", 0, `${own[1]}\n`],
    ["ip gate", 0, "100.64.0.9\n"],
    ["ip GATE.lab.ts.net", 0, "100.64.0.9\n"],
    ["ip 100.64.0.2", 0, "100.64.0.2\nfd7a:115c:a1e0::2\n"],
    ["ip -6 gate", 1, "no Tailscale IPv6 address\n"],
    ["ip nobody", 1, "no node is called \"nobody\" and none has that address; 'status' lists the nodes\n"],
    ["ip --assert=100.64.0.1", 0, ""],
    ["ip --assert=100.64.0.7", 1, 'assertion failed: IP "100.64.0.7" not found among [100.64.0.1 fd7a:115c:a1e0::1]\n'],
    ["ip -4 -6", 2, "-1, -4 and -6 are mutually exclusive\n'agent ip --help' lists the flags.\n"],
  ];
  const { ran } = await runAll(cases.map(([line]) => line));
  assert.deepEqual(ran.map(({ code, out, err }, i) => [cases[i][0], code, out + err]), cases);
  const none = await runAll(["ip"], {
    "GET status": () => answer(status({ TailscaleIPs: null, BackendState: "NeedsLogin" })),
  });
  assert.equal(none.ran[0].err, "no current Tailscale IPs; state: NeedsLogin\n");
});

Deno.test("status exits with 1 and a text when the node is not connected; --json always answers", async () => {
  const stopped = { "GET status": () => answer(status({ BackendState: "Stopped" })) };
  const { ran: [text, json] } = await runAll(["status", "status --json"], stopped);
  assert.deepEqual([text.code, text.out, text.err], [1, "Tailscale is stopped.\n", ""]);
  assert.deepEqual([json.code, JSON.parse(json.out).BackendState], [0, "Stopped"]);
  const why = ["You are logged out. The last login error was: no."];
  const failed = await runAll(["status"], {
    "GET status": () => answer(status({ BackendState: "NeedsLogin", Health: why })),
  });
  assert.deepEqual([failed.ran[0].code, failed.ran[0].out], [1, "Logged out.\n"]);
  const starting = await runAll(["status"], {
    "GET status": () => answer(status({ BackendState: "NoState", Health: ["No way out."] })),
  });
  assert.equal(starting.ran[0].out, "# Health check:\n#     - No way out.\n\nunexpected state: NoState\n");
  const { ran: [table, active], seen } = await runAll(["status --peers=false", "status --json --active"]);
  assert.equal(table.code, 0);
  assert.equal(seen[0].path, "status?peers=false");
  assert.deepEqual(JSON.parse(active.out).Peer, {});
});

Deno.test("set changes what is named after asking whether it may", async () => {
  const { ran, seen } = await runAll(["set --exit-node=gate --shields-up", "set --auto-update", "set", "set box"]);
  assert.deepEqual(ran.map(({ code }) => code), [0, 0, 2, 2]);
  const [checked, changed] = seen.filter(({ method }) => method !== "GET");
  assert.equal(checked.path, "check-prefs");
  assert.equal((checked.body as { Hostname: string }).Hostname, "box");
  assert.equal("Config" in (checked.body as object), false);
  assert.deepEqual(changed.body, {
    ExitNodeID: "n9",
    ExitNodeIDSet: true,
    ExitNodeIP: "",
    ExitNodeIPSet: true,
    AutoExitNode: "",
    AutoExitNodeSet: true,
    ShieldsUp: true,
    ShieldsUpSet: true,
  });
  const refused = await runAll(["set --auto-update"], { "POST check-prefs": () => answer({ Error: "Not here." }) });
  assert.deepEqual([refused.ran[0].code, refused.ran[0].err], [1, "Not here.\n"]);
  const line = "Keys and preferences could not be saved: Cannot write state file /var/x: No space left on device";
  const full = await runAll(["set --shields-up"], { "GET status": () => answer(status({ Health: [line] })) });
  const lost = await runAll(["down", "logout"], {
    "GET status": () => answer(status({ BackendState: "Stopped", Health: [line] })),
    "POST logout": () => new Response(null, { status: 204 }),
  });
  assert.deepEqual(lost.ran.map(({ code, err }) => [code, err]), [
    [1, `Disconnected, but only until the daemon ends: make it possible to save and do it again.\n${line}\n`],
    [
      1,
      `Logged out, but the state file still has this login: make it possible to save, restart the daemon and log out again.\n${line}\n`,
    ],
  ]);
  assert.ok(lost.seen.some(({ method, path }) => method === "PATCH" && path === "prefs"), "it is tried again");
  assert.equal(full.ran[0].code, 1);
  assert.equal(
    full.ran[0].err,
    `Set, but only until the daemon ends: make it possible to save and set it again.\n${line}\n`,
  );
});

Deno.test("get prints one setting, all, JSON, or flags", async () => {
  const { ran } = await runAll(["get hostname", "get", "get --json ssh", "get --set-flags accept-dns", "get nosuch"]);
  assert.equal(ran[0].out, "box\n");
  assert.match(ran[1].out, /^NAME +VALUE\naccept-dns +true\n/);
  assert.deepEqual(JSON.parse(ran[2].out), { ssh: false });
  assert.equal(ran[3].out, "--accept-dns\n");
  assert.equal(ran[4].code, 2);
  assert.equal(ran[4].err, `unknown setting "nosuch"; 'agent set --help' lists the settings\n`);
  // Never set is a third state: as a flag it would become one of the two.
  const filtering = async (NoStatefulFiltering: boolean | null) => {
    const answers = { "GET prefs": () => answer(prefs({ NoStatefulFiltering })) };
    const { ran: [one, all] } = await runAll(["get stateful-filtering", "get --set-flags"], answers);
    return [one.out, /--stateful-filtering\S*/.exec(all.out)?.[0]];
  };
  assert.deepEqual(await filtering(null), ["true\n", undefined]);
  assert.deepEqual(await filtering(false), ["true\n", "--stateful-filtering"]);
  assert.deepEqual(await filtering(true), ["false\n", "--stateful-filtering=false"]);
});

Deno.test("ping, nc and ssh say that the node is not connected, and nothing else", async () => {
  const answers = { "GET status": () => answer(status({ BackendState: "NeedsLogin" })) };
  const { ran } = await runAll(["ping box", "nc box 1", "ssh box"], answers);
  for (const { code, err, out } of ran) assert.deepEqual([code, err + out], [1, "Logged out.\n"]);
});

Deno.test("down and logout ask once and carry the reason", async () => {
  const done = { "POST logout": () => new Response(null, { status: 204 }) };
  const { ran, seen } = await runAll(["down --reason maintenance", "logout --reason=moved"], done);
  assert.deepEqual(ran.map(({ code, out, err }) => [code, out, err]), [[0, "", ""], [0, "", ""]]);
  const asked = seen.filter(({ method }) => method !== "GET").map(({ method, path, body, reason }) => ({
    method,
    path,
    body,
    reason: atob(reason!),
  }));
  assert.deepEqual(asked, [
    { method: "PATCH", path: "prefs", body: { WantRunning: false, WantRunningSet: true }, reason: "maintenance" },
    { method: "POST", path: "logout", body: undefined, reason: "moved" },
  ]);
  const stopped = await runAll(["down"], { "GET status": () => answer(status({ BackendState: "Stopped" })) });
  assert.deepEqual([stopped.ran[0].code, stopped.ran[0].err], [0, "Tailscale was already stopped.\n"]);
});

const WHO = {
  Node: {
    Name: "two.lab.ts.net.",
    StableID: "n8",
    Addresses: ["100.64.0.8/32", "fd7a::8/128"],
    AllowedIPs: ["100.64.0.8/32", "fd7a::8/128", "10.0.0.0/8"],
  },
  UserProfile: { ID: 3, LoginName: "alice@lab.test" },
  CapMap: { "lab.test/cap": [{ role: "admin" }], "lab.test/bare": null },
};

Deno.test("whois lines its sections up as Go's tabwriter does", async () => {
  assert.equal(
    formatWhoIs(WHO),
    `Machine:
  Name:           two.lab.ts.net
  ID:             n8
  Addresses:      [100.64.0.8/32 fd7a::8/128]
  AllowedIPs:     [10.0.0.0/8]
User:
  Name:     alice@lab.test
  ID:       3
Capabilities:
  - lab.test/cap:
      [
        {
          "role": "admin"
        }
      ]
  - lab.test/bare
`,
  );
  const tagged = formatWhoIs({ ...WHO, Node: { ...WHO.Node, Tags: ["tag:a", "tag:b"] }, CapMap: null });
  assert.match(tagged, /\n {2}Tags: +tag:a, tag:b\n$/);
  const { ran, seen } = await runAll(["whois --json --proto=udp [fd7a::8]:53", "whois", "whois 192.0.2.1"], {
    "GET whois": ({ path }) => path.includes("192.0.2.1") ? new Response("no match\n", { status: 404 }) : answer(WHO),
  });
  assert.deepEqual(JSON.parse(ran[0].out), WHO);
  assert.equal(seen[0].path, "whois?addr=%5Bfd7a%3A%3A8%5D%3A53&proto=udp");
  assert.deepEqual(ran.map(({ code }) => code), [0, 2, 1]);
});

const REPORT: NetcheckReport = {
  Now: "2026-03-01T12:00:00.123Z",
  UDP: true,
  IPv6: false,
  OSHasIPv6: true,
  MappingVariesByDestIP: false,
  UPnP: null,
  PMP: null,
  PCP: null,
  PreferredDERP: 2,
  RegionLatency: { "1": 20_240_000, "2": 3_000_000 },
  GlobalV4: "203.0.113.5:41641",
  GlobalV6: "",
  CaptivePortal: null,
};
const REGIONS = {
  Regions: {
    "1": { RegionCode: "nyc", RegionName: "New York" },
    "2": { RegionCode: "fra", RegionName: "Frankfurt" },
    "10": { RegionCode: "sydney", RegionName: "Sydney" },
  },
};

Deno.test("netcheck prints Tailscale's report", async () => {
  assert.equal(
    formatNetcheck(REPORT, REGIONS, false),
    [
      "",
      "Report:",
      "\t* Time: 2026-03-01 12:00:00.123Z",
      "\t* UDP: true",
      "\t* IPv4: yes, 203.0.113.5:41641",
      "\t* IPv6: no, but OS has support",
      "\t* MappingVariesByDestIP: false",
      "\t* PortMapping: not checked",
      "\t* Nearest DERP: Frankfurt",
      "\t* DERP latency:",
      "\t\t- fra: 3ms     (Frankfurt)",
      "\t\t- nyc: 20.2ms  (New York)",
      "\t\t- sydney:         (Sydney)",
      "",
    ].join("\n"),
  );
  const dark = { ...REPORT, UDP: false, GlobalV4: "", RegionLatency: {}, PreferredDERP: 0, UPnP: true, PMP: true };
  const text = formatNetcheck(dark, null, true);
  assert.match(text, /IPv4: \(no addr found\)[^]*PortMapping: UPnP, NAT-PMP\n[^]*Nearest DERP: unknown \(no response/);
  assert.match(formatNetcheck({ ...REPORT, PreferredDERP: 7 }, REGIONS, true), /Nearest DERP: 7 \(region not found/);
  const { ran } = await runAll(["netcheck", "netcheck --format=json-line", "netcheck --format=xml"], {
    "POST agent/netcheck": () => answer(REPORT),
    "GET derpmap": () => answer(REGIONS),
  });
  assert.equal(ran[0].out, formatNetcheck(REPORT, REGIONS, false));
  assert.deepEqual(JSON.parse(ran[1].out), REPORT);
  assert.deepEqual(ran.map(({ code }) => code), [0, 0, 2]);
});

Deno.test("wait ends when the node runs and its address can be bound to, or when the time is over", async () => {
  const bus = new FakeBus({ State: 2 }, { State: 6 });
  const here = await runAll(["wait --timeout=5s"], {
    "GET status": () => answer(status({ TUN: true, TailscaleIPs: ["127.0.0.1"] })),
    "GET watch-ipn-bus": () => bus.response(),
  });
  assert.deepEqual([here.ran[0].code, here.ran[0].err], [0, ""]);
  const nowhere = await runAll(["wait --timeout=200ms"], {
    "GET status": () => answer(status({ TUN: true, TailscaleIPs: ["100.64.250.250"] })),
    "GET watch-ipn-bus": () => new FakeBus({ State: 6 }).response(),
  });
  assert.deepEqual([nowhere.ran[0].code, nowhere.ran[0].err], [1, "timeout waiting for the node to be connected\n"]);
  const userspace = await runAll(["wait"], {
    "GET status": () => answer(status({ TUN: false })),
    "GET watch-ipn-bus": () => new FakeBus({ State: 6 }).response(),
  });
  assert.equal(userspace.ran[0].code, 0);
  const late = await run(["--socket=/nonexistent/x.sock", "wait", "--timeout=150ms"]);
  assert.equal(late.code, 1);
});

Deno.test("version names client and daemon", async () => {
  const { ran } = await runAll(["version", "version --daemon", "version --json --daemon", "--version"]);
  assert.match(ran[0].out, /^\d+\.\d+\.\d+\n/);
  assert.match(ran[1].out, /^Client: .*\nDaemon: 0\.1\.0\n$/);
  assert.equal(JSON.parse(ran[2].out).daemonLong, "0.1.0");
  assert.equal(ran[3].out, ran[0].out);
});

Deno.test("debug dataplane shows provider, offloads, turns, paths and drops", async () => {
  const Agent = {
    TUN: "agent0",
    CryptoProvider: "wasm",
    Offloads: { csum: true, tso: true, uso: false },
    Drops: { decrypt: 3, "no-route": 0 },
    Paths: { direct_ipv4: { rxPackets: 1, rxBytes: 2, txPackets: 3, txBytes: 4 } },
    Turns: { turns: 9, longByCpu: 1, longByWall: 2, longestCpuMs: 6.5, longestWallMs: 12.25 },
  };
  const answers = { "GET status": () => answer({ ...status({}), Agent }) };
  const lines = ["debug dataplane", "debug dataplane --json", "debug", "debug nothing"];
  const { ran: [text, json, none, unknown] } = await runAll(lines, answers);
  assert.equal(
    text.out,
    `device       agent0
crypto       wasm
offloads     csum tso
not used     uso
turns        9, over 5 ms: 1 by CPU time, 2 by the clock
longest      6.50 ms of CPU time, 12.25 ms by the clock
direct_ipv4  1 packets (2 bytes) in, 3 (4 bytes) out
drop         decrypt 3
`,
  );
  assert.deepEqual(JSON.parse(json.out), Agent);
  assert.deepEqual([none.code, unknown.code], [2, 2]);
  assert.match(unknown.err, /^unknown debug command "nothing"/);
});

Deno.test("debug peer-relay-sessions prints what Tailscale's command does", async () => {
  const one = { Endpoint: "192.0.2.1:1", ShortDisco: "d:0a0a0a0a0a0a0a0a", PacketsTx: 3, BytesTx: 300 };
  const two = { Endpoint: "", ShortDisco: "d:0b0b0b0b0b0b0b0b", PacketsTx: 0, BytesTx: 0 };
  const answers = (body: unknown) => ({ "GET debug-peer-relay-sessions": () => answer(body) });
  const sessions = { UDPPort: 7777, Sessions: [{ VNI: 5, Client1: one, Client2: two }] };
  const { ran: [some] } = await runAll(["debug peer-relay-sessions"], answers(sessions));
  assert.equal(
    some.out,
    `Server port: 7777
Sessions count: 1

VNI: 5
  192.0.2.1:1(d:0a0a0a0a0a0a0a0a) --> <no handshake>(d:0b0b0b0b0b0b0b0b), Packets: 3 Bytes: 300
  <no handshake>(d:0b0b0b0b0b0b0b0b) --> 192.0.2.1:1(d:0a0a0a0a0a0a0a0a), Packets: 0 Bytes: 0
`,
  );
  const { ran: [none] } = await runAll(["debug peer-relay-sessions"], answers({ UDPPort: null, Sessions: null }));
  assert.match(none.out, /^Server port: not configured .*--relay-server-port=<PORT>'\)\nSessions count: 0\n$/);
});

Deno.test("debug derp-map, prefs and netmap print JSON as Tailscale's do", async () => {
  const map = { Regions: { "1": { RegionID: 1, RegionCode: "fra" } } };
  const netmap = { SelfNode: { Name: "one.", ID: 1 }, Peers: [{ Key: "nodekey:02", Cap: 121 }] };
  const { ran: [relays, none, preferences, tailnet, missing, more], seen } = await runAll(
    ["debug derp-map", "debug derp-map", "debug prefs", "debug netmap", "debug netmap", "debug netmap now"],
    {
      "GET derpmap": answersInTurn(map, null),
      "POST debug": answersInTurn(netmap, new Response("no netmap\n", { status: 400 })),
    },
  );
  assert.equal(relays.out, `${JSON.stringify(map, undefined, "\t")}\n`);
  assert.equal(none.out, "null\n");
  assert.equal(preferences.out, `${JSON.stringify(prefs({ Hostname: "box" }), undefined, "\t")}\n`);
  const sorted = { Peers: [{ Cap: 121, Key: "nodekey:02" }], SelfNode: { ID: 1, Name: "one." } };
  assert.equal(tailnet.out, `${JSON.stringify(sorted, undefined, "\t")}\n`);
  assert.deepEqual([missing.code, missing.out, missing.err], [1, "", "no netmap\n"]);
  assert.equal(more.code, 2);
  assert.equal(seen.find(({ method }) => method === "POST")!.path, "debug?action=current-netmap");
});

Deno.test("debug restun, rebind and break-derp-conns ask the daemon and print nothing", async () => {
  const names = ["restun", "rebind", "break-derp-conns"];
  const { ran, seen } = await runAll(names.map((name) => `debug ${name}`), {
    "POST debug": () => new Response("done\n"),
  });
  assert.deepEqual(ran.map(({ code, out, err }) => [code, out, err]), names.map(() => [0, "", ""]));
  assert.deepEqual(seen.map(({ path }) => path), names.map((name) => `debug?action=${name}`));
  const { ran: [denied] } = await runAll(["debug rebind"], {
    "POST debug": () => new Response("debug access denied\n", { status: 403 }),
  });
  assert.equal(denied.code, 1);
  assert.match(denied.err, /access denied/i);
});

Deno.test("debug watch-ipn prints as many messages as are wanted, and asks for what the flags say", async () => {
  const bus = () => new FakeBus({ State: 6 }, { Engine: { NumLive: 1 } }, { State: 4 }).response();
  const lines = ["debug watch-ipn --count=2", "debug watch-ipn --count 1 --initial --peer-patches=false"];
  const { ran: [two, one], seen } = await runAll(lines, { "GET watch-ipn-bus": bus });
  const text = (value: unknown) => `${JSON.stringify(value, undefined, "\t")}\n`;
  assert.deepEqual([two.code, two.err, two.out], [
    0,
    "Connected.\n",
    text({ State: 6 }) + text({ Engine: { NumLive: 1 } }),
  ]);
  assert.equal(one.out, text({ State: 6 }));
  const masks = seen.map(({ path }) => Number(path.split("mask=")[1]));
  assert.deepEqual(masks, [1 << 13 | 1 << 12 | 1 << 15, 1 << 13 | 1 << 1 | 1 << 2 | 1 << 12]);
});

/** Answers one after the other, the last for ever. */
function answersInTurn(...values: unknown[]): () => Response {
  return () => {
    const value = values.length > 1 ? values.shift() : values[0];
    return value instanceof Response ? value : answer(value);
  };
}

const login = (ID: string, Name: string, DomainName: string) => ({
  ID,
  Name,
  NetworkProfile: { MagicDNSName: "", DomainName, DisplayName: "" },
  UserProfile: { ID: 1, LoginName: Name, DisplayName: Name },
});

Deno.test("switch remove forgets no login that was not meant: nothing is named by an empty word, nor one of several", async () => {
  const profiles = [login("a1", "ann", "lab.test"), login("b2", "bob", "lab.test"), login("c3", "", "")];
  assert.deepEqual(matchProfiles("", profiles as never), []);
  const { ran, seen } = await runAll(["switch remove lab.test", "switch remove bob"], {
    "GET profiles/current": () => answer(profiles[2]),
    "GET profiles/": () => answer(profiles),
    "DELETE profiles/b2": () => new Response(null, { status: 204 }),
  });
  assert.deepEqual([ran[0].code, ran[0].err], [1, '"lab.test" names 2 logins: a1, b2; use an ID\n']);
  assert.deepEqual([ran[1].code, ran[1].err], [0, ""]);
  assert.deepEqual(seen.filter(({ method }) => method === "DELETE").map(({ path }) => path), ["profiles/b2"]);
});

Deno.test("what is no address, no duration and no peer is said before the daemon would in words of its own", async () => {
  const { ran } = await runAll(["whois box", "debug log-level --for 13h debug", "debug path 100.64.0.1", "lock add"]);
  assert.deepEqual(ran.map(({ code, err }) => [code, err.split("\n")[0]]), [
    [2, '"box" is no address: want one as 100.64.0.7, or with a port'],
    [2, "--for: want 0 to 12h0m0s"],
    [1, "100.64.0.1 is this node: no path leads there"],
    [2, "missing argument, expected one or more tailnet lock keys"],
  ]);
});
