import assert from "node:assert/strict";
import { utf8 } from "../../../base/bytes.ts";
import { DiscoPrivate, NodePrivate } from "../../../base/keys.ts";
import { ControlError } from "../../../control/client/errors.ts";
import { MapPoll } from "../../../control/client/map_poll.ts";
import type { Netmap, NetmapChange } from "../../../control/client/netmap.ts";
import { PingAnswerer } from "../../../control/client/ping.ts";
import type { ControlStats, PollEnd, PollHandlers, PollState } from "../../../control/client/types.ts";
import { encodeMapFrame } from "../../../control/wire/map_frame.ts";
import { goTime, type MapRequest, type MapResponse } from "../../../control/wire/tailcfg.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { type FakeStream, FakeTransport } from "../../support/fake_transport.ts";
import { SeededRandom } from "../../support/random.ts";

const KEY = `nodekey:${"1".repeat(64)}`;
const SELF = { ID: 1, Key: KEY, Name: "self." };
const nodeKey = new NodePrivate(new Uint8Array(32).fill(1)).public;
const discoKey = new DiscoPrivate(new Uint8Array(32).fill(2)).public;

/** A poll on a fake clock, and all it told. */
class Poll {
  readonly scheduler = new FakeScheduler();
  readonly transport = new FakeTransport();
  readonly netmaps: { netmap: Netmap; change: NetmapChange }[] = [];
  readonly states: PollState[] = [];
  readonly log: string[] = [];
  readonly told: string[] = [];
  readonly stop = new AbortController();
  readonly stats: ControlStats = {
    connections: 0,
    polls: 0,
    mapResponses: 0,
    keepAlives: 0,
    malformed: 0,
    pings: 0,
    liteUpdates: 0,
    liteUpdateErrors: 0,
  };
  readonly end: Promise<PollEnd>;
  connected = 0;

  constructor(more: Partial<PollHandlers> = {}) {
    const { scheduler, transport, stats } = this;
    const log = (level: string, text: string) => this.log.push(`${level}: ${text}`);
    const fetch = (method: string, url: URL) => {
      this.told.push(`${method} ${url.href}`);
      return Promise.resolve({ status: 200, headers: {}, body: new Uint8Array(0) });
    };
    const handlers: PollHandlers = {
      netmap: (netmap, change) => this.netmaps.push({ netmap, change }),
      status: (state) => this.states.push(state),
      clockDelta: (delta) => this.told.push(`delta ${delta}`),
      openUrl: (url) => this.told.push(`open ${url}`),
      dialPlan: (plan) => this.told.push(`plan ${plan.Candidates!.length}`),
      ...more,
    };
    this.end = new MapPoll(
      {
        transport,
        scheduler,
        random: new SeededRandom(3).bytes,
        log,
        capabilityVersion: 113,
        nodeKey,
        state: () => ({
          hostinfo: { OS: "linux" },
          endpoints: [{ addr: "192.0.2.1:1", type: 2 }],
          discoKey,
          tkaHead: "",
        }),
        pings: new PingAnswerer({ transport, fetch, ca: [], scheduler, log }),
        stats,
        connected: () => this.connected++,
        dialPlan: () => {},
      },
      handlers,
      this.stop.signal,
    ).run();
    this.end.catch(() => {});
  }

  get stream(): FakeStream {
    return this.transport.streams.at(-1)!;
  }

  async send(response: MapResponse | Record<string, unknown>): Promise<void> {
    this.stream.push(encodeMapFrame(utf8(JSON.stringify(response)), true));
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 4; i++) await this.scheduler.settle();
  }

  async start(first: MapResponse = {}): Promise<this> {
    await this.settle();
    this.stream.open();
    await this.send({ Node: SELF, ...first });
    return this;
  }

  /** The error of the last retry. */
  get error(): ControlError {
    const state = this.states.at(-1)!;
    assert.ok(state.kind === "retrying", state.kind);
    return state.error;
  }

  async finish(): Promise<PollEnd> {
    this.stop.abort();
    await this.settle();
    assert.equal(this.scheduler.pending, 0);
    return await this.end;
  }
}

Deno.test("MapPoll asks for a compressed stream with keep-alives", async () => {
  const poll = await new Poll().start();
  const { method, path, timeoutMs, body, nodeKeys } = poll.stream.request;
  assert.deepEqual([method, path, timeoutMs, String(nodeKeys![0])], ["POST", "/machine/map", 0, nodeKey.toString()]);
  const request = body as MapRequest;
  assert.deepEqual(request, {
    Version: 113,
    Compress: "zstd",
    KeepAlive: true,
    NodeKey: nodeKey.toString(),
    DiscoKey: discoKey.toString(),
    Stream: true,
    Hostinfo: { OS: "linux" },
    Endpoints: ["192.0.2.1:1"],
    EndpointTypes: [2],
  });
  assert.deepEqual(await poll.finish(), { kind: "aborted" });
});

Deno.test("MapPoll hands out the first netmap as full and later ones as deltas", async () => {
  const poll = await new Poll().start({ Peers: [{ ...SELF, ID: 2, StableID: "", User: 0 }] });
  await poll.send({ OnlineChange: { "2": true } });
  assert.deepEqual(poll.netmaps.map(({ change }) => change.kind), ["full", "delta"]);
  assert.equal(poll.netmaps[1].netmap.peers.get(2)!.Online, true);
  assert.deepEqual(poll.states.map(({ kind }) => kind), ["connecting", "connected"]);
  assert.equal(poll.connected, 1);
  await poll.finish();
});

Deno.test("MapPoll: a keep-alive changes no netmap, but its ping, URL and time count", async () => {
  const poll = await new Poll().start();
  const { scheduler } = poll;
  await poll.send({
    KeepAlive: true,
    Domain: "ignored",
    PingRequest: { URL: "http://control.example/ping" },
    PopBrowserURL: "https://pop.example/",
    ControlTime: goTime(scheduler.wall() + 90_000),
  });
  assert.equal(poll.netmaps.length, 1);
  assert.equal(poll.stats.keepAlives, 1);
  assert.deepEqual(poll.told, ["HEAD http://control.example/ping", "open https://pop.example/", "delta 90000"]);
  await poll.finish();
});

Deno.test("MapPoll: a ping, and a URL to open, that comes twice counts once", async () => {
  const poll = await new Poll().start();
  const again = { KeepAlive: true, PingRequest: { URL: "http://c/ping" }, PopBrowserURL: "https://pop.example/" };
  await poll.send(again);
  await poll.send(again);
  assert.equal(poll.told.length, 2);
  await poll.finish();
});

Deno.test("W11 MapPoll opens no URL that is not http(s)", async () => {
  const poll = await new Poll().start();
  for (const url of ["file:///etc/passwd", "javascript:alert(1)", "ssh://x"]) {
    await poll.send({ KeepAlive: true, PopBrowserURL: url });
  }
  assert.deepEqual(poll.told, []);
  assert.equal(poll.log.filter((line) => line.startsWith("warn")).length, 3);
  await poll.finish();
});

Deno.test("MapPoll tells the clock difference when it changes by more than a minute", async () => {
  const poll = await new Poll().start();
  const tell = (delta: number) => poll.send({ KeepAlive: true, ControlTime: goTime(poll.scheduler.wall() + delta) });
  for (const delta of [0, 59_000, 61_000, 100_000, -30_000]) await tell(delta);
  assert.deepEqual(poll.told, ["delta 61000", "delta -30000"]);
  await poll.send({ KeepAlive: true, ControlTime: "0001-01-01T00:00:00Z" });
  assert.equal(poll.told.length, 2);
  await poll.finish();
});

Deno.test("MapPoll: silence of 120 s ends the poll; every message starts the time anew", async () => {
  const poll = await new Poll().start();
  await poll.scheduler.advance(119_000);
  await poll.send({ KeepAlive: true });
  await poll.scheduler.advance(119_000);
  assert.equal(poll.states.at(-1)!.kind, "connected");
  await poll.scheduler.advance(1_000);
  await poll.settle();
  assert.equal(poll.error.code, "timeout");
  assert.equal(poll.error.message, "Cannot poll the map: no message for 120 s");
  assert.equal(poll.transport.drops, 1);
  await poll.finish();
});

Deno.test("MapPoll: the watchdog covers the time to the first byte too", async () => {
  const poll = new Poll();
  await poll.scheduler.advance(120_000);
  await poll.settle();
  assert.equal(poll.error.code, "timeout");
  await poll.finish();
});

Deno.test("MapPoll: a first message without Node is refused and the poll tried again", async () => {
  const poll = new Poll();
  await poll.settle();
  poll.stream.open();
  await poll.send({ KeepAlive: true });
  await poll.send({ Domain: "lab" });
  assert.equal(poll.error.code, "malformed");
  assert.equal(poll.stats.malformed, 1);
  assert.equal(poll.netmaps.length, 0);
  await poll.scheduler.advance(1000);
  assert.equal(poll.transport.streams.length, 2);
  await poll.finish();
});

Deno.test("W11 MapPoll: malformed messages end the connection, are counted, and never crash", async () => {
  const zstd = (text: string) => encodeMapFrame(utf8(text), true);
  const lying = new Uint8Array(4).fill(0xff);
  const cases: [Uint8Array, string][] = [
    [lying, "map frame of 4294967295 bytes"],
    [encodeMapFrame(utf8("not zstd"), false), "map frame that is not zstd"],
    [zstd("{"), "not JSON"],
    [zstd("[]"), "want an object"],
    [zstd('{"Peers":[{"ID":"x"}]}'), "MapResponse.Peers[0].ID"],
    [zstd('{"KeepAlive":"yes"}'), "MapResponse.KeepAlive"],
  ];
  for (const [bytes, text] of cases) {
    const poll = await new Poll().start();
    poll.stream.push(bytes);
    await poll.settle();
    assert.equal(poll.error.code, "malformed", text);
    assert.ok(poll.error.message.includes(text), poll.error.message);
    assert.equal(poll.stats.malformed, 1, text);
    await poll.finish();
  }
});

Deno.test("MapPoll: an end between frames and a cut within one are connections lost", async () => {
  for (const wire of [new Uint8Array(0), Uint8Array.of(9, 0, 0, 0, 1)]) {
    const poll = await new Poll().start();
    poll.stream.push(wire);
    poll.stream.end();
    await poll.settle();
    assert.equal(poll.error.code, "connection-lost");
    await poll.finish();
  }
});

Deno.test("MapPoll: back-off grows to 30 s with jitter and starts anew after a netmap", async () => {
  const poll = new Poll();
  const waits: number[] = [];
  const fail = async () => {
    await poll.settle();
    poll.stream.fail(new ControlError("unreachable", "down"));
    await poll.settle();
    const state = poll.states.at(-1)!;
    assert.ok(state.kind === "retrying");
    const wait = state.atMs - poll.scheduler.wall();
    waits.push(wait);
    await poll.scheduler.advance(wait);
  };
  for (let i = 0; i < 25; i++) await fail();
  waits.forEach((wait, i) => {
    const mean = Math.min(100 * (i + 1) ** 2, 30_000);
    assert.ok(wait >= mean * 0.5 && wait <= mean * 1.5, `${i}: ${wait}`);
  });
  assert.ok(new Set(waits.slice(-7)).size > 1);
  await poll.start();
  poll.stream.end();
  await fail();
  assert.ok(poll.states.at(-1)!.kind === "connecting" && waits.at(-1)! < 1000, `${waits.at(-1)}`);
  await poll.finish();
});

Deno.test("MapPoll: each connection starts from nothing", async () => {
  const peer = { ...SELF, ID: 2, StableID: "", User: 0 };
  const poll = await new Poll().start({ Peers: [peer], TKAInfo: { Head: "A" }, Domain: "one" });
  poll.stream.end();
  await poll.settle();
  await poll.scheduler.advance(1000);
  await poll.start();
  const { netmap, change } = poll.netmaps.at(-1)!;
  assert.equal(change.kind, "full");
  assert.deepEqual([netmap.peers.size, netmap.tkaEnabled, netmap.domain], [0, false, ""]);
  assert.equal(poll.connected, 2);
  await poll.finish();
});

Deno.test("MapPoll ends when the server does not know the node, and only then", async () => {
  for (
    const [status, body] of [[404, "node not found"], [401, ""], [403, ""], [410, ""], [400, "node not found"]] as const
  ) {
    const poll = new Poll();
    await poll.settle();
    poll.stream.open(status);
    poll.stream.push(utf8(body));
    poll.stream.end();
    const end = await poll.end;
    assert.equal(end.kind, "node-unknown", String(status));
    assert.equal(poll.scheduler.pending, 0);
  }
  for (const status of [400, 500, 503]) {
    const poll = new Poll();
    await poll.settle();
    poll.stream.open(status);
    poll.stream.end();
    await poll.settle();
    assert.equal(poll.error.status, status);
    await poll.finish();
  }
});

Deno.test("MapPoll obeys Retry-After of a 429", async () => {
  const poll = new Poll();
  await poll.settle();
  poll.stream.open(429, { "retry-after": "20" });
  poll.stream.end();
  await poll.settle();
  assert.equal(poll.error.retryAfterMs, 20_000);
  await poll.scheduler.advance(19_999);
  assert.equal(poll.transport.streams.length, 1);
  await poll.scheduler.advance(1);
  assert.equal(poll.transport.streams.length, 2);
  await poll.finish();
});

Deno.test("MapPoll ends for good with an error that trying again cannot mend", async () => {
  const poll = new Poll();
  await poll.settle();
  poll.stream.fail(new ControlError("server-key-changed", "other key"));
  const end = await poll.end;
  assert.ok(end.kind === "failed" && end.error.code === "server-key-changed");
});

Deno.test("W11 MapPoll sleeps as told, five minutes at most, and the watchdog sleeps too", async () => {
  const poll = await new Poll().start();
  await poll.send({ Debug: { SleepSeconds: 1e9 }, Domain: "after" });
  await poll.scheduler.advance(299_000);
  assert.equal(poll.netmaps.length, 1);
  await poll.scheduler.advance(1_000);
  await poll.settle();
  assert.equal(poll.netmaps.at(-1)!.netmap.domain, "after");
  assert.equal(poll.states.at(-1)!.kind, "connected");
  await poll.send({ Debug: { SleepSeconds: -5 }, Domain: "more" });
  assert.equal(poll.netmaps.at(-1)!.netmap.domain, "more");
  await poll.finish();
});

Deno.test("MapPoll does not exit because control says so", async () => {
  const poll = await new Poll().start();
  await poll.send({ Debug: { Exit: 1 }, Domain: "alive" });
  assert.equal(poll.netmaps.at(-1)!.netmap.domain, "alive");
  await poll.finish();
});

Deno.test("MapPoll hands on a dial plan", async () => {
  const poll = await new Poll().start({ ControlDialPlan: { Candidates: [{ IP: "192.0.2.1" }] } });
  assert.deepEqual(poll.told, ["plan 1"]);
  await poll.finish();
});

Deno.test("MapPoll rejects with what a handler threw, and leaves nothing behind", async () => {
  const poll = await new Poll({
    netmap: () => {
      throw new Error("handler");
    },
  }).start();
  await assert.rejects(poll.end, /handler/);
  assert.equal(poll.scheduler.pending, 0);
});

Deno.test("MapPoll stops at once when aborted, wherever it is", async () => {
  const connecting = new Poll();
  await connecting.settle();
  assert.deepEqual(await connecting.finish(), { kind: "aborted" });
  const sleeping = await new Poll().start();
  await sleeping.send({ Debug: { SleepSeconds: 100 } });
  assert.deepEqual(await sleeping.finish(), { kind: "aborted" });
  const retrying = new Poll();
  await retrying.settle();
  retrying.stream.fail(new ControlError("unreachable", "down"));
  await retrying.settle();
  assert.deepEqual(await retrying.finish(), { kind: "aborted" });
});
