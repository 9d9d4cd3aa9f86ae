import assert from "node:assert/strict";
import { STATE_NUMBER } from "../../../daemon/backend_state.ts";
import { WATCH } from "../../../daemon/bus.ts";
import { createLog } from "../../../daemon/log.ts";
import { localApiRoutes } from "../../../daemon/localapi/routes.ts";
import { LocalApiServer } from "../../../daemon/localapi/server.ts";
import { change } from "../../../daemon/prefs.ts";
import { testNetmap, testNode } from "../../support/fake_control.ts";
import { TestNode } from "../../support/test_node.ts";
import { unixHttp, UnixStream } from "../../support/unix_http.ts";
import type { UnixResponse } from "../../support/unix_http.ts";

const ROOT = 0;
const OPERATOR = 1000;
const OTHER = 1001;

/** A node behind a real socket, and a caller whose uid the test sets. */
class Api implements AsyncDisposable {
  readonly node = new TestNode();
  readonly path: string;
  uid = ROOT;
  readonly #directory = Deno.makeTempDirSync({ prefix: "agent-routes-" });
  #server: LocalApiServer | undefined;

  constructor() {
    this.path = `${this.#directory}/a.sock`;
  }

  static async start(): Promise<Api> {
    const api = new Api();
    const { backend } = api.node;
    await backend.start();
    api.#server = await LocalApiServer.listen({
      path: api.path,
      version: "1.2.3",
      capabilityVersion: 113,
      routes: localApiRoutes(backend),
      credentials: () => ({ uid: api.uid, pid: 1 }),
      canWrite: (uid) => uid === ROOT || (uid === OPERATOR && backend.prefs.OperatorUser === "operator"),
      log: createLog({ verbose: 0, wall: () => 0, write: () => {} }),
    });
    return api;
  }

  call(method: string, name: string, body?: unknown): Promise<UnixResponse> {
    const path = `/localapi/v0/${name}`;
    return unixHttp(this.path, { method, path, ...(body !== undefined && { body: JSON.stringify(body) }) });
  }

  async json(method: string, name: string, body?: unknown): Promise<Record<string, unknown>> {
    const { status, body: text } = await this.call(method, name, body);
    assert.equal(status, 200, text);
    return JSON.parse(text);
  }

  watch(mask: number): Promise<UnixStream> {
    return UnixStream.open(this.path, { path: `/localapi/v0/watch-ipn-bus?mask=${mask}` });
  }

  async up(): Promise<void> {
    this.node.control.netmap = testNetmap([testNode(2), testNode(3)]);
    await this.node.up();
    await this.node.goLive();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.close();
    await this.node[Symbol.asyncDispose]();
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

/** Every path and method with what a stranger, and whoever may write, get. */
const MATRIX: readonly (readonly [method: string, name: string, stranger: number, writer: number, body?: unknown])[] = [
  ["GET", "status", 200, 200],
  ["GET", "status?peers=false", 200, 200],
  ["GET", "prefs", 200, 200],
  ["PATCH", "prefs", 403, 200, { Hostname: "x", HostnameSet: true }],
  ["PUT", "prefs", 405, 405],
  ["POST", "check-prefs", 403, 200, {}],
  ["GET", "check-prefs", 403, 405],
  ["GET", "whois?addr=100.64.0.2", 200, 200],
  ["GET", "whois", 400, 400],
  ["GET", "whois?addr=nonsense", 400, 400],
  ["GET", "whois?addr=100.64.9.9", 404, 404],
  ["GET", "derpmap", 200, 200],
  ["POST", "derpmap", 400, 400],
  ["GET", "metrics", 403, 200],
  ["GET", "usermetrics", 200, 200],
  ["POST", "ping?ip=100.64.0.2&type=disco", 200, 200],
  ["GET", "ping?ip=100.64.0.2&type=disco", 400, 400],
  ["POST", "ping?type=disco", 400, 400],
  ["POST", "ping?ip=nowhere&type=disco", 400, 400],
  ["POST", "ping?ip=100.64.0.2", 400, 400],
  ["POST", "ping?ip=100.64.0.2&type=ICMP&size=5", 400, 400],
  ["POST", "ping?ip=100.64.0.2&type=disco&size=99999", 400, 400],
  ["POST", "ping?ip=100.64.0.2&type=smoke", 400, 400],
  ["GET", "watch-ipn-bus?mask=x", 400, 400],
  ["GET", `watch-ipn-bus?mask=${WATCH.inProcess}`, 400, 400],
  ["GET", `watch-ipn-bus?mask=${WATCH.rateLimit | WATCH.peerChanges}`, 400, 400],
  ["POST", "agent/netcheck", 200, 200],
  ["GET", "agent/netcheck", 400, 400],
  ["GET", "debug?action=restun", 403, 405],
  ["POST", "debug?action=restun", 403, 200],
  ["POST", "debug?action=rebind", 403, 200],
  ["POST", "debug?action=current-netmap", 403, 200],
  ["POST", "debug?action=smoke", 403, 400],
  ["POST", "debug", 403, 400],
  ["GET", "login-interactive", 403, 400],
  ["POST", "login-interactive", 403, 204],
  ["GET", "start", 403, 400],
  ["POST", "start", 403, 400, { UpdatePrefs: { RouteAll: "no" } }],
  ["POST", "start", 403, 204, {}],
  ["GET", "logout", 403, 400],
  ["POST", "logout", 403, 204],
  // Not without another protocol, which the server's tests ask for.
  ["POST", "dial", 400, 400],
  ["GET", "dial", 405, 405],
  ["GET", "policy/profile", 200, 200],
  ["POST", "policy/profile", 200, 200],
  ["GET", "cert/web.t.ts.net", 501, 501],
  ["GET", "files/", 501, 501],
  ["GET", "goroutines", 501, 501],
  ["GET", "nothing", 404, 404],
];

Deno.test("TS-2026-004: LocalAPI: root and the operator may write, others read", async () => {
  await using api = await Api.start();
  await api.up();
  api.node.backend.editPrefs(change({ OperatorUser: "operator" }));
  for (const [method, name, stranger, , body] of MATRIX) {
    api.uid = OTHER;
    assert.equal((await api.call(method, name, body)).status, stranger, `${method} ${name} as a stranger`);
  }
  for (const uid of [ROOT, OPERATOR]) {
    for (const [method, name, , writer, body] of MATRIX) {
      // Logging out forgets the preferences, and with them the operator.
      if (name === "logout" && uid === ROOT && method === "POST") continue;
      api.uid = uid;
      const { status, body: text } = await api.call(method, name, body);
      assert.equal(status, writer, `${method} ${name} as uid ${uid}: ${text}`);
      await api.node.settle();
    }
  }
  api.uid = OPERATOR;
  assert.equal((await api.call("POST", "start", {})).status, 403, "the operator of a profile that is gone");
});

Deno.test("LocalAPI prefs and status never carry a private key", async () => {
  await using api = await Api.start();
  await api.up();
  const secret = api.node.backend.prefs.persist!.nodeKey!.reveal().toHex();
  const lock = api.node.backend.prefs.persist!.lockKey!.revealText();
  using stream = await api.watch(WATCH.initialPrefs | WATCH.initialNetmap | WATCH.initialStatus | WATCH.initialState);
  const texts = [
    JSON.stringify(await stream.next()),
    (await api.call("GET", "prefs")).body,
    (await api.call("GET", "status")).body,
    (await api.call("GET", "metrics")).body,
    (await api.call("PATCH", "prefs", { Hostname: "y", HostnameSet: true })).body,
  ];
  for (const text of texts) assert.ok(!text.includes(secret) && !text.includes(lock), text.slice(0, 200));
});

Deno.test("LocalAPI prefs: PATCH changes, refuses whole, and answers errors as Tailscale does", async () => {
  await using api = await Api.start();
  const changed = await api.json("PATCH", "prefs", { ShieldsUp: true, ShieldsUpSet: true, Hostname: "ignored" });
  assert.deepEqual([changed.ShieldsUp, changed.Hostname], [true, ""]);
  const refused = await api.call("PATCH", "prefs", { AdvertiseRoutes: ["10.0.0.1/8"], AdvertiseRoutesSet: true });
  assert.equal(refused.status, 400);
  assert.match(JSON.parse(refused.body).Error, /non-address bits set; expected 10\.0\.0\.0\/8/);
  assert.equal((await api.call("PATCH", "prefs", { WantRunningSet: 1 })).status, 400);
  assert.deepEqual(await api.json("POST", "check-prefs", {}), {});
  assert.match(String((await api.json("POST", "check-prefs", { ControlURL: "nope" })).Error), /control server/);
});

Deno.test("LocalAPI start and login-interactive bring a node up as the command line does", async () => {
  await using api = await Api.start();
  api.node.control.netmap = testNetmap([testNode(2)]);
  using stream = await api.watch(WATCH.initialState | WATCH.initialPrefs);
  const first = await stream.next();
  assert.deepEqual([first.State, first.Version], [STATE_NUMBER.NeedsLogin, "1.2.3"]);
  assert.match(String(first.SessionID), /^[0-9a-f]{32}$/);
  assert.equal((first.Prefs as { LoggedOut: boolean }).LoggedOut, true);

  const prefs = await api.json("GET", "prefs");
  const UpdatePrefs = { ...prefs, ControlURL: "https://control.test", WantRunning: true, LoggedOut: false };
  assert.equal((await api.call("POST", "start", { UpdatePrefs, AuthKey: "tskey-auth-x" })).status, 204);
  assert.equal((await api.call("POST", "login-interactive")).status, 204);
  const states: unknown[] = [];
  for (let finished = false; !finished;) {
    const notify = await stream.next();
    if (notify.State !== null) states.push(notify.State);
    finished = notify.LoginFinished !== null;
  }
  assert.equal(api.node.control.registered[0].authKey?.reveal(), "tskey-auth-x");
  await api.node.goLive();
  const status = await api.json("GET", "status");
  assert.equal(status.BackendState, "Running");
  assert.deepEqual(status.TailscaleIPs, ["100.64.0.1", "fd7a:115c:a1e0::1"]);
  assert.deepEqual(Object.keys(status.Peer as object), [testNode(2).Key]);
});

Deno.test("LocalAPI watch-ipn-bus names the URL of a login that waits, to whoever comes later too", async () => {
  await using api = await Api.start();
  api.node.control.answer = (input, signal) =>
    input.followup === undefined
      ? { kind: "auth-url", url: "https://control.test/a/1" }
      : new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  await api.node.up();
  using stream = await api.watch(WATCH.initialState);
  assert.equal((await stream.next()).BrowseToURL, "https://control.test/a/1");
  assert.equal((await api.json("GET", "status")).AuthURL, "https://control.test/a/1");
});

Deno.test("LocalAPI watch-ipn-bus without a mask tells changes only, and forgets who hangs up", async () => {
  await using api = await Api.start();
  const before = api.node.backend.bus.size;
  {
    using stream = await api.watch(0);
    await until(() => api.node.backend.bus.size === before + 1);
    api.node.backend.editPrefs(change({ Hostname: "changed" }));
    assert.equal(((await stream.next()).Prefs as { Hostname: string }).Hostname, "changed");
  }
  await until(() => api.node.backend.bus.size === before);
});

Deno.test("LocalAPI whois names node, user and granted capabilities, by address, port and key", async () => {
  await using api = await Api.start();
  api.node.control.netmap = testNetmap([testNode(2), testNode(3)], {
    packetFilter: [{
      SrcIPs: ["100.64.0.2"],
      CapGrant: [{ Dsts: ["100.64.0.1/32"], CapMap: { "example.com/cap": [{ role: "admin" }] } }],
    }],
  });
  await api.node.up();
  for (const addr of ["100.64.0.2", "100.64.0.2:443", "::ffff:100.64.0.2", testNode(2).Key]) {
    const answer = await api.json("GET", `whois?addr=${encodeURIComponent(addr)}`);
    assert.equal((answer.Node as { ID: number }).ID, 2, addr);
    assert.equal((answer.UserProfile as { LoginName: string }).LoginName, "alice@example.com");
    assert.deepEqual(answer.CapMap, { "example.com/cap": [{ role: "admin" }] });
  }
  assert.equal((await api.json("GET", "whois?addr=100.64.0.3")).CapMap, null);
  assert.equal((await api.call("GET", "whois?addr=100.64.0.4")).body, "no match for IP:port\n");
});

Deno.test("LocalAPI ping by disco, TSMP and ICMP, and what cannot be pinged", async () => {
  await using api = await Api.start();
  const ping = (ip: string, type: string) => api.json("POST", `ping?ip=${ip}&type=${type}`);
  assert.equal((await ping("100.64.0.2", "disco")).Err, "no matching peer");
  const expired = testNode(3, { Expired: true });
  api.node.control.netmap = testNetmap([testNode(2), expired], {
    derpMap: { Regions: { "5": { RegionID: 5, RegionCode: "fra", RegionName: "Frankfurt", Nodes: [] } } },
  });
  await api.node.up();
  assert.deepEqual(await ping("100.64.0.2", "disco"), {
    IP: "100.64.0.2",
    NodeIP: "100.64.0.2",
    NodeName: "node2",
    Err: "",
    LatencySeconds: 0.0125,
    Endpoint: "192.0.2.1:41641",
    PeerRelay: "",
    DERPRegionID: 0,
    DERPRegionCode: "",
  });
  api.node.engine.pong = { latencyMs: 40, endpoint: "", derp: 5 };
  const relayed = await ping("fd7a:115c:a1e0::2", "disco");
  assert.deepEqual([relayed.Endpoint, relayed.DERPRegionID, relayed.DERPRegionCode], ["", 5, "fra"]);
  assert.equal((await ping("100.64.0.2", "ICMP")).LatencySeconds, 0.0035);
  assert.equal((await ping("100.64.0.2", "TSMP")).LatencySeconds, 0.04);
  api.node.engine.pong = undefined;
  assert.match(String((await ping("100.64.0.2", "disco")).Err), /timeout/);
  assert.match(String((await ping("100.64.0.2", "peerapi")).Err), /not implemented/);
  const self = await ping("100.64.0.1", "disco");
  assert.deepEqual([self.Err, self.IsLocalIP], ["100.64.0.1 is local Tailscale IP", true]);
  assert.equal((await ping("100.64.0.3", "disco")).Err, "peer's node key has expired");
});

Deno.test("LocalAPI agent/netcheck gives Tailscale's JSON, or its text", async () => {
  await using api = await Api.start();
  const report = api.json("POST", "agent/netcheck");
  await api.node.scheduler.advance(10_000);
  assert.equal((await report).PreferredDERP, 0);
  const text = api.call("POST", "agent/netcheck?format=text");
  await api.node.scheduler.advance(10_000);
  assert.match((await text).body, /Nearest DERP/);
});

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.ok(condition());
}

Deno.test("profiles/ lists, begins, changes and forgets logins as Tailscale's does, for whoever may write", async () => {
  await using api = await Api.start();
  await api.up();
  const text = async (method: string, name: string) => {
    const { status, body } = await api.call(method, name);
    return `${status} ${body}`;
  };
  const list = async () => JSON.parse((await api.call("GET", "profiles/")).body) as { ID: string }[];
  const [{ ID }] = await list();
  assert.equal((await api.json("GET", "profiles/current")).ID, ID);
  assert.equal((await api.json("GET", `profiles/${ID}`)).ID, ID);
  assert.equal(await text("GET", "profiles/ffff"), "404 Profile not found\n");
  assert.equal(await text("POST", "profiles/ffff"), "500 profile not found\n");
  assert.equal(await text("POST", "profiles/"), "405 use GET or PUT\n");
  assert.equal(await text("POST", "profiles/current"), "405 use GET\n");
  assert.equal(await text("PATCH", `profiles/${ID}`), "405 use POST or DELETE\n");
  assert.equal(await text("GET", "profiles/%zz"), "404 404 page not found\n");
  assert.equal(await text("PUT", "profiles/"), "201 ");
  assert.equal((await api.json("GET", "profiles/current")).ID, "");
  assert.equal(await text("POST", `profiles/${ID}`), "204 ");
  assert.equal((await api.json("GET", "profiles/current")).ID, ID);
  assert.equal(await text("DELETE", `profiles/${encodeURIComponent("../../etc")}`), "204 ");
  assert.equal(await text("DELETE", `profiles/${ID}`), "204 ");
  assert.deepEqual(await list(), []);
  api.uid = OTHER;
  assert.equal(await text("GET", "profiles/"), "403 profiles access denied\n");
});

Deno.test("agent/path tells the way to a peer, and nothing of oneself or of nobody", async () => {
  await using api = await Api.start();
  await api.up();
  api.node.engine.report = {
    ...{ best: "192.0.2.1:1", trustedForMs: 5, derp: 1, active: true, candidates: [], events: [] },
  };
  api.uid = OTHER;
  const [peer] = api.node.backend.view!.peers;
  const ip = peer.Addresses![0].split("/")[0];
  const answer = await api.json("GET", `agent/path?ip=${ip}`);
  assert.equal(answer.Name, peer.Name.replace(/\.$/, ""));
  assert.equal((answer.Path as { best: string }).best, "192.0.2.1:1");
  for (const other of ["100.64.0.1", "100.99.0.1", "x", ""]) {
    assert.equal((await api.call("GET", `agent/path?ip=${other}`)).status, 404, other);
  }
  assert.equal((await api.call("POST", `agent/path?ip=${ip}`)).status, 405);
  api.node.engine.report = undefined;
  assert.equal((await api.call("GET", `agent/path?ip=${ip}`)).status, 404);
});

Deno.test("debug acts on the datapath, and gives the netmap as it is held here without keys", async () => {
  await using api = await Api.start();
  assert.deepEqual(
    await (async () => {
      const { status, body } = await api.call("POST", "debug?action=current-netmap");
      return [status, body];
    })(),
    [400, "no netmap\n"],
  );
  await api.up();
  const { engine, backend } = api.node;
  const before = engine.rebinds;
  assert.equal((await api.call("POST", "debug?action=rebind")).body, "done\n");
  assert.equal(engine.rebinds, before + 1);
  const form = { method: "POST", path: "/localapi/v0/debug", body: "action=rebind" };
  assert.equal((await unixHttp(api.path, form)).body, "done\n");
  assert.equal(engine.rebinds, before + 2);
  assert.equal((await api.call("POST", "debug?action=smoke")).body, 'unknown action "smoke"\n');
  const netmap = await api.json("POST", "debug?action=current-netmap");
  assert.deepEqual(
    (netmap.Peers as { Key: string }[]).map(({ Key }) => Key),
    backend.view!.peers.map(({ Key }) => Key),
  );
  assert.ok(!JSON.stringify(netmap).includes("privkey:"));
});
