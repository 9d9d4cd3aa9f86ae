/** The whole client against a stub server over loopback. Needs --allow-net. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { utf8 } from "../../../base/bytes.ts";
import { DiscoPrivate, MachinePrivate, MachinePublic, NodePrivate } from "../../../base/keys.ts";
import { LockPrivate } from "../../../base/lock_key.ts";
import { Secret } from "../../../base/secret.ts";
import { ControlClient } from "../../../control/client/client.ts";
import { ControlError } from "../../../control/client/errors.ts";
import type { Netmap } from "../../../control/client/netmap.ts";
import type { ControlOptions, PollState, RegisterInput } from "../../../control/client/types.ts";
import { encodeMapFrame } from "../../../control/wire/map_frame.ts";
import { CAPABILITY_VERSION } from "../../../control/wire/tailcfg.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { realScheduler } from "../../support/real_scheduler.ts";
import { type Handler, StubControl } from "../../support/stub_control.ts";
import { testCertificates } from "../../support/test_ca.ts";

const random = (length: number) => new Uint8Array(randomBytes(length));
const never = new AbortController().signal;
const nodeKey = NodePrivate.generate(random).public;
const register: RegisterInput = {
  nodeKey,
  lockKey: LockPrivate.generate(random).public,
  hostinfo: { BackendLogID: "none" },
  ephemeral: false,
};

function clientOf(url: string, more: Partial<ControlOptions> = {}) {
  const kept = new Map<string, MachinePublic>();
  const log: string[] = [];
  const client = new ControlClient({
    serverUrl: url,
    machineKey: MachinePrivate.generate(random),
    ca: [],
    scheduler: realScheduler,
    random,
    log: (level, text) => log.push(`${level}: ${text}`),
    serverKeys: { load: (url) => kept.get(url), save: (url, key) => kept.set(url, key) },
    acceptNewServerKey: false,
    capabilityVersion: CAPABILITY_VERSION,
    ...more,
  });
  return { client, kept, log };
}

/** Answers every request with this JSON. */
const answering = (value: unknown, status = 200): Handler => (stream) => {
  stream.respond({ ":status": status });
  stream.end(JSON.stringify(value));
};

async function failure(promise: Promise<unknown>): Promise<ControlError> {
  const error = await promise.then(() => undefined, (error) => error);
  assert.ok(error instanceof ControlError, String(error));
  return error;
}

Deno.test("ControlClient registers over one connection, whatever the number of requests", async () => {
  const seen: string[] = [];
  await using stub = await StubControl.start((stream, headers, body) => {
    seen.push(`${headers[":method"]} ${headers[":path"]} ${headers["ts-lb"]}`);
    assert.equal(JSON.parse(new TextDecoder().decode(body)).Version, CAPABILITY_VERSION);
    stream.respond({ ":status": 200 });
    stream.end(JSON.stringify({ MachineAuthorized: true }));
  });
  const { client, kept } = clientOf(stub.url + "/");
  const outcomes = await Promise.all([1, 2, 3].map(() => client.register(register, never)));
  assert.deepEqual(outcomes.map(({ kind }) => kind), ["registered", "registered", "registered"]);
  assert.deepEqual(seen, Array(3).fill(`POST /machine/register ${nodeKey}`));
  assert.deepEqual([stub.connections, stub.keyRequests], [1, 1]);
  assert.ok(kept.get(stub.url)!.equals(stub.key.public));
  client.close();
});

Deno.test("ControlClient over https: key and stream by TLS on the URL's port; without the root it says what to do", async () => {
  const certificates = await testCertificates(["control.example"], ["127.0.0.1"]);
  await using stub = await StubControl.start(answering({ MachineAuthorized: true }), certificates);
  const { client } = clientOf(stub.url, { ca: [certificates.ca] });
  assert.equal((await client.register(register, never)).kind, "registered");
  client.close();
  const stranger = clientOf(stub.url).client;
  const error = await failure(stranger.register(register, never));
  assert.equal(error.code, "tls");
  assert.match(error.message, /--ca-file/);
  stranger.close();
});

Deno.test("ControlClient.request(): a GET with a body, its JSON answer, and the text of an error", async () => {
  await using stub = await StubControl.start((stream, headers, body) => {
    stream.respond({ ":status": headers[":path"] === "/machine/tka/bootstrap" ? 200 : 404 });
    stream.end(headers[":path"] === "/machine/tka/bootstrap" ? body : "no such call");
  });
  const { client } = clientOf(stub.url);
  const body = { Version: 113, NodeKey: nodeKey.toString(), Head: "", NodeID: 1 };
  assert.deepEqual(await client.request({ method: "GET", path: "/machine/tka/bootstrap", body }), body);
  const error = await failure(client.request({ method: "GET", path: "/machine/x", body }));
  assert.equal(error.message, "Cannot GET /machine/x: HTTP 404: no such call");
  assert.equal(error.retryable, false);
  client.close();
});

Deno.test("ControlClient.request() bounds the answer's size and time", async () => {
  await using stub = await StubControl.start((stream, headers) => {
    stream.respond({ ":status": 200 });
    if (headers[":path"] === "/big") stream.end(new Uint8Array(2 << 20));
  });
  const { client } = clientOf(stub.url);
  assert.equal((await failure(client.request({ method: "POST", path: "/big", body: {} }))).code, "malformed");
  const hung = await failure(client.request({ method: "POST", path: "/hung", body: {}, timeoutMs: 100 }));
  assert.equal(hung.message, "Cannot /hung: no answer within 0.1 s");
  client.close();
});

Deno.test("ControlClient dials again when the connection has died, and after reconnect()", async () => {
  await using stub = await StubControl.start(answering({}));
  const { client } = clientOf(stub.url);
  const call = () => client.request({ method: "POST", path: "/x", body: {} });
  await call();
  stub.cut();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await call();
  client.reconnect();
  await call();
  assert.deepEqual([stub.connections, stub.keyRequests, client.stats.connections], [3, 1, 3]);
  client.close();
  assert.equal((await failure(call())).code, "closed");
});

Deno.test("ControlClient: a request whose connection breaks under it is lost, not answered", async () => {
  await using stub = await StubControl.start((stream) => {
    stream.respond({ ":status": 200, "content-length": "100" });
    stream.write("{");
    setTimeout(() => stub.cut(), 20);
  });
  const { client } = clientOf(stub.url);
  assert.equal((await failure(client.request({ method: "POST", path: "/x", body: {} }))).code, "connection-lost");
  client.close();
});

Deno.test("ControlClient: aborting a request leaves the others be", async () => {
  await using stub = await StubControl.start((stream, headers) => {
    if (headers[":path"] !== "/x") return;
    stream.respond({ ":status": 200 });
    stream.end("{}");
  });
  const { client } = clientOf(stub.url);
  const stop = new AbortController();
  const hung = client.request({ method: "POST", path: "/hung", body: {} }, stop.signal);
  hung.catch(() => {});
  await client.request({ method: "POST", path: "/x", body: {} });
  stop.abort(new Error("enough"));
  await assert.rejects(hung, /enough/);
  await client.request({ method: "POST", path: "/x", body: {} });
  assert.equal(stub.connections, 1);
  client.close();
});

Deno.test("W12 ControlClient refuses a server whose key was swapped, and takes it when told to", async () => {
  await using stub = await StubControl.start(answering({ MachineAuthorized: true }));
  const { client, kept } = clientOf(stub.url);
  await client.register(register, never);
  client.close();
  const first = stub.key.public;
  stub.key = MachinePrivate.generate(random);

  const serverKeys = {
    load: (url: string) => kept.get(url),
    save: (url: string, key: MachinePublic) => kept.set(url, key),
  };
  const strict = clientOf(stub.url, { serverKeys }).client;
  const error = await failure(strict.register(register, never));
  assert.equal(error.code, "server-key-changed");
  assert.ok(error.message.includes("--accept-new-server-key"));
  assert.ok(kept.get(stub.url)!.equals(first));
  strict.close();

  const lenient = clientOf(stub.url, { serverKeys, acceptNewServerKey: true }).client;
  assert.equal((await lenient.register(register, never)).kind, "registered");
  assert.ok(kept.get(stub.url)!.equals(stub.key.public));
  lenient.close();
});

Deno.test("ControlClient: what an operator reads when the server is down, or another kind of server", async () => {
  const stub = await StubControl.start(answering({}));
  const { url, port } = stub;
  await stub[Symbol.asyncDispose]();
  const down = await failure(clientOf(url).client.register(register, never));
  assert.equal(down.code, "unreachable");
  assert.equal(
    down.message,
    `Cannot reach control server 127.0.0.1:${port}: the connection was refused; ` +
      "check that the server runs and the port is right",
  );
  await using other = await StubControl.start(answering({}));
  const wrong = await failure(clientOf(`${other.url}/sub`).client.register(register, never));
  assert.equal(
    wrong.message,
    `Cannot fetch the key of ${other.url}/sub: answered 404: is this a Tailscale control server?`,
  );
  assert.throws(() => clientOf("control.example"), /want https:\/\/host/);
});

Deno.test("ControlClient polls, sends lite updates, polls again after a cut, and stops", async () => {
  const lite: string[][] = [];
  await using stub = await StubControl.start((stream, _headers, body) => {
    const request = JSON.parse(new TextDecoder().decode(body));
    stream.respond({ ":status": 200 });
    if (!request.Stream) {
      lite.push(request.Endpoints);
      stream.end();
    } else {
      const node = { ID: 1, Key: nodeKey.toString(), Name: `poll-${stub.connections}.` };
      stream.write(encodeMapFrame(utf8(JSON.stringify({ Node: node })), true));
    }
  });
  const { client } = clientOf(stub.url);
  const stop = new AbortController();
  const netmaps: Netmap[] = [];
  const states: PollState[] = [];
  const input = { nodeKey, discoKey: DiscoPrivate.generate(random).public, hostinfo: {}, endpoints: [], tkaHead: "" };
  const end = client.poll(input, {
    netmap: (netmap) => netmaps.push(netmap),
    status: (state) => states.push(state),
  }, stop.signal);
  const until = async (what: string, test: () => boolean) => {
    for (let i = 0; i < 100 && !test(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok(test(), what);
  };
  await until("first netmap and its lite update", () => lite.length === 1);
  client.update({ endpoints: [{ addr: "192.0.2.1:1", type: 1 }] });
  await until("second lite update", () => lite.length === 2);
  await assert.rejects(client.poll(input, { netmap: () => {} }, never), TypeError);
  stub.cut();
  await until("second netmap and its lite update", () => lite.length === 3 && netmaps.length === 2);
  assert.deepEqual(lite, [[], ["192.0.2.1:1"], ["192.0.2.1:1"]]);
  assert.deepEqual(netmaps.map(({ self }) => self.Name), ["poll-1.", "poll-2."]);
  stop.abort();
  assert.deepEqual(await end, { kind: "aborted" });
  client.update({ endpoints: [] });
  client.close();
});

Deno.test("ControlClient: a netmap of 10,000 peers comes whole and quickly", async () => {
  const Peers = Array.from({ length: 10_000 }, (_, i) => ({
    ID: i + 2,
    StableID: `n${i}`,
    Name: `node-${i}.tail-scale.ts.net.`,
    User: i % 100,
    Key: `nodekey:${i.toString(16).padStart(64, "0")}`,
    DiscoKey: `discokey:${i.toString(16).padStart(64, "0")}`,
    Addresses: [`100.64.${i >> 8}.${i & 255}/32`, `fd7a:115c:a1e0::${i.toString(16)}/128`],
    AllowedIPs: [`100.64.${i >> 8}.${i & 255}/32`, `fd7a:115c:a1e0::${i.toString(16)}/128`],
    Endpoints: [`192.0.2.1:${i}`, `[2001:db8::1]:${i}`],
    HomeDERP: 1,
    Hostinfo: { OS: "linux", Hostname: `node-${i}`, Services: [{ Proto: "peerapi4", Port: 1 }] },
    Created: "2026-01-01T00:00:00Z",
    Cap: 113,
    Online: true,
  }));
  const frame = encodeMapFrame(utf8(JSON.stringify({ Node: Peers[0], Peers })), true);
  await using stub = await StubControl.start((stream, _, body) => {
    stream.respond({ ":status": 200 });
    if (JSON.parse(new TextDecoder().decode(body)).Stream) stream.write(frame);
    else stream.end();
  });
  const { client } = clientOf(stub.url);
  const stop = new AbortController();
  const input = { nodeKey, discoKey: DiscoPrivate.generate(random).public, hostinfo: {}, endpoints: [], tkaHead: "" };
  const start = performance.now();
  await client.poll(input, {
    netmap: (netmap) => {
      assert.equal(netmap.peers.size, 10_000);
      stop.abort();
    },
  }, stop.signal);
  const took = performance.now() - start;
  assert.ok(took < 5000, `${took} ms`);
  client.close();
});

Deno.test("TS-2025-005 ControlClient: no log and no error holds the auth key", async () => {
  await using stub = await StubControl.start(answering("tskey-auth-abc is bad", 500));
  const { client, log } = clientOf(stub.url);
  const error = await failure(client.register({ ...register, authKey: new Secret("tskey-auth-SECRET") }, never));
  assert.equal(JSON.stringify([log, error.message, String(error.cause)]).includes("SECRET"), false);
  client.close();
});

Deno.test("ControlClient pings a connection that waits, and drops it when a ping is not answered", async () => {
  await using stub = await StubControl.start(() => {});
  const scheduler = new FakeScheduler();
  const { client } = clientOf(stub.url, { scheduler });
  const waiting = client.register({ ...register, followup: "https://login.example/" }, never);
  const outcome = failure(waiting);
  while (stub.connections === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await scheduler.advance(60_000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  stub.pause();
  await scheduler.advance(60_000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await scheduler.advance(60_000);
  assert.equal((await outcome).code, "connection-lost");
  assert.equal(scheduler.pending, 0);
  client.close();
});
