import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { concat, fromBase64, utf8 } from "../../../base/bytes.ts";
import { MachinePrivate, MachinePublic } from "../../../base/keys.ts";
import type { Endpoint } from "../../../control/client/connect.ts";
import { Dialer, dialTarget } from "../../../control/client/dialer.ts";
import { ControlError } from "../../../control/client/errors.ts";
import type { ControlDialPlan } from "../../../control/wire/tailcfg.ts";
import { answerHandshake, isRefused } from "../../../control/wire/handshake.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { SeededRandom } from "../../support/random.ts";
import { socketPair } from "../../support/socket_pair.ts";

const SERVER = new MachinePrivate(new Uint8Array(32).fill(2));
const never = new AbortController().signal;

Deno.test("dialTarget(): the ports of every kind of URL", () => {
  const cases: [string, string, number, number | undefined][] = [
    ["https://control.example", "control.example", 80, 443],
    ["https://control.example:8443", "control.example", 80, 8443],
    ["https://control.example:443", "control.example", 80, 443],
    ["https://10.0.0.1", "10.0.0.1", 80, 443],
    ["http://control.example", "control.example", 80, 443],
    ["http://control.example:8080", "control.example", 8080, 443],
    ["http://192.0.2.1:8080", "192.0.2.1", 8080, 443],
    ["http://10.1.2.3:8080", "10.1.2.3", 8080, undefined],
    ["http://172.31.0.1", "172.31.0.1", 80, undefined],
    ["http://172.32.0.1", "172.32.0.1", 80, 443],
    ["http://192.168.1.1", "192.168.1.1", 80, undefined],
    ["http://127.0.0.1:9911", "127.0.0.1", 9911, undefined],
    ["http://localhost:9911", "localhost", 9911, undefined],
    ["http://[::1]:9911", "::1", 9911, undefined],
    ["http://[fd00::1]", "fd00::1", 80, undefined],
    ["http://[2001:db8::1]", "2001:db8::1", 80, 443],
    ["http://100.64.0.1", "100.64.0.1", 80, 443],
  ];
  for (const [url, host, plainPort, tlsPort] of cases) {
    assert.deepEqual(dialTarget(url), { host, plainPort, tlsPort, secure: url.startsWith("https") }, url);
  }
  for (const url of ["", "control.example", "ftp://x", "file:///etc/passwd", "https://"]) {
    assert.throws(() => dialTarget(url), (error) => error instanceof ControlError && error.code === "bad-url", url);
  }
});

type Behaviour = "works" | "refuses" | "hangs" | "404" | "WebSockets only";

/** A network in which each port behaves as told, on a fake clock. */
class Network {
  readonly scheduler = new FakeScheduler();
  readonly dialled: { at: number; where: string }[] = [];
  readonly open = new Set<{ destroyed: boolean }>();
  readonly dialer: Dialer;
  readonly #ports: Readonly<Record<string, Behaviour>>;

  constructor(url: string, ports: Readonly<Record<string, Behaviour>>) {
    this.#ports = ports;
    this.dialer = new Dialer({
      target: dialTarget(url),
      machineKey: new MachinePrivate(new Uint8Array(32).fill(1)),
      capabilityVersion: 113,
      scheduler: this.scheduler,
      random: new SeededRandom(1).bytes,
      connect: (to, signal) => this.#connect(to, signal),
      log: () => {},
    });
  }

  #connect(to: Endpoint, signal: AbortSignal): Promise<Socket> {
    const where = `${to.aceHost ?? ""}${to.address ?? ""}${to.tls ? "tls" : "tcp"}:${to.port}`;
    this.dialled.push({ at: this.scheduler.monotonic(), where });
    const behaviour = this.#ports[where] ?? "refuses";
    if (behaviour === "refuses") return Promise.reject(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }));
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      if (behaviour === "hangs") return;
      const [near, far] = socketPair();
      this.open.add(near);
      far.on("data", (chunk) => {
        const webSocket = behaviour === "WebSockets only" && /^GET /.test(new TextDecoder().decode(chunk));
        if (behaviour === "works") far.write(accept(chunk));
        else far.write(webSocket ? acceptWebSocket(chunk) : utf8("HTTP/1.1 404 Not Found\r\n\r\n"));
      });
      far.on("error", () => {});
      resolve(near as Socket);
    });
  }

  /** Dials and moves the clock on; what was dialled when, and how it ended. */
  async dial(): Promise<{ dialled: string[]; outcome: string }> {
    this.dialled.length = 0;
    const started = this.scheduler.monotonic();
    let over = false;
    const done = this.dialer.dial(SERVER.public, never).then(() => "connected", (error) => error);
    done.then(() => over = true);
    for (let i = 0; i < 24 && !over; i++) {
      for (let turns = 0; turns < 10; turns++) await this.scheduler.settle();
      await this.scheduler.advance(500);
    }
    const outcome = await done;
    await this.scheduler.advance(1000);
    return {
      dialled: this.dialled.map(({ at, where }) => `${where}@${at - started}`),
      outcome: outcome instanceof ControlError ? outcome.code : String(outcome),
    };
  }
}

function accept(request: Uint8Array): Uint8Array {
  const initiation = fromBase64(/Handshake: (\S+)/.exec(new TextDecoder().decode(request))![1])!;
  const answer = answerHandshake(SERVER, initiation, new MachinePrivate(new Uint8Array(32).fill(9)));
  assert.ok(!isRefused(answer));
  return concat(
    utf8("HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\n\r\n"),
    answer.response,
  );
}

/** What controlhttpserver answers to a WebSocket: the handshake's response is its first message. */
function acceptWebSocket(request: Uint8Array): Uint8Array {
  const text = new TextDecoder().decode(request);
  const url = new URL(/^GET (\S+)/.exec(text)![1], "http://x");
  assert.equal(url.pathname, "/ts2021");
  assert.match(text, /\r\nSec-WebSocket-Protocol: tailscale-control-protocol\r\n/);
  const initiation = fromBase64(url.searchParams.get("X-Tailscale-Handshake")!)!;
  const answer = answerHandshake(SERVER, initiation, new MachinePrivate(new Uint8Array(32).fill(9)));
  assert.ok(!isRefused(answer));
  const key = /Sec-WebSocket-Key: (\S+)/.exec(text)![1];
  const accepted = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return concat(
    utf8(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Protocol: tailscale-control-protocol\r\nSec-WebSocket-Accept: ${accepted}\r\n\r\n`,
    ),
    Uint8Array.of(0x82, answer.response.length),
    answer.response,
  );
}

Deno.test("Dialer: a WebSocket last, where something answers but does not upgrade", async () => {
  const behind = new Network("https://c.example", { "tcp:80": "404", "tls:443": "WebSockets only" });
  assert.deepEqual(await behind.dial(), { dialled: ["tcp:80@0", "tls:443@0", "tls:443@0"], outcome: "connected" });
  const plain = new Network("http://10.0.0.1:8080", { "tcp:8080": "WebSockets only" });
  assert.deepEqual(await plain.dial(), { dialled: ["tcp:8080@0", "tcp:8080@0"], outcome: "connected" });
  const none = new Network("https://c.example", { "tcp:80": "404", "tls:443": "404" });
  assert.deepEqual(await none.dial(), { dialled: ["tcp:80@0", "tls:443@0", "tls:443@0"], outcome: "not-control" });
  const closed = new Network("https://c.example", {});
  assert.deepEqual(await closed.dial(), { dialled: ["tcp:80@0", "tls:443@0"], outcome: "unreachable" });
});

Deno.test("Dialer: port 80 alone when it works", async () => {
  const network = new Network("https://c.example", { "tcp:80": "works", "tls:443": "works" });
  assert.deepEqual(await network.dial(), { dialled: ["tcp:80@0"], outcome: "connected" });
  assert.equal([...network.open].filter(({ destroyed }) => !destroyed).length, 1);
});

Deno.test("Dialer: port 443 after 500 ms when 80 hangs", async () => {
  const network = new Network("https://c.example", { "tcp:80": "hangs", "tls:443": "works" });
  assert.deepEqual(await network.dial(), { dialled: ["tcp:80@0", "tls:443@500"], outcome: "connected" });
});

Deno.test("Dialer: port 443 at once when 80 fails, or is not a control server", async () => {
  for (const behaviour of ["refuses", "404"] as const) {
    const network = new Network("https://c.example", { "tcp:80": behaviour, "tls:443": "works" });
    assert.deepEqual(await network.dial(), { dialled: ["tcp:80@0", "tls:443@0"], outcome: "connected" });
  }
});

Deno.test("Dialer: a private host over http is never dialled with TLS", async () => {
  const network = new Network("http://10.0.0.1:8080", { "tls:443": "works" });
  assert.deepEqual(await network.dial(), { dialled: ["tcp:8080@0"], outcome: "unreachable" });
});

Deno.test("Dialer: when all fail, the error that says most is told", async () => {
  const network = new Network("https://c.example:8443", { "tcp:80": "refuses", "tls:8443": "404" });
  assert.equal((await network.dial()).outcome, "not-control");
  const dead = new Network("https://c.example", { "tcp:80": "hangs", "tls:443": "hangs" });
  assert.equal((await dead.dial()).outcome, "unreachable");
  assert.equal(dead.scheduler.pending, 0);
});

Deno.test("Dialer: within two minutes an https server is dialled by TLS first, later by port 80 again", async () => {
  const network = new Network("https://c.example", { "tcp:80": "works", "tls:443": "works" });
  await network.dial();
  assert.deepEqual((await network.dial()).dialled, ["tls:443@0"]);
  await network.scheduler.advance(120_000);
  assert.deepEqual((await network.dial()).dialled, ["tcp:80@0"]);
});

Deno.test("Dialer: within two minutes an http server with its own port is still dialled there first", async () => {
  const network = new Network("http://c.example:8080", { "tcp:8080": "works" });
  await network.dial();
  assert.deepEqual((await network.dial()).dialled, ["tcp:8080@0"]);
});

Deno.test("Dialer: the dial plan's addresses go first, DNS when none answers", async () => {
  const plan: ControlDialPlan = {
    Candidates: [
      { IP: "192.0.2.1", DialTimeoutSec: 2 },
      { IP: "192.0.2.2", DialStartDelaySec: 1, DialTimeoutSec: 2 },
      { ACEHost: "", IP: "" },
    ],
  };
  const good = new Network("http://c.example", { "192.0.2.2tcp:80": "works" });
  good.dialer.plan = plan;
  assert.deepEqual((await good.dial()).dialled, ["192.0.2.1tcp:80@0", "192.0.2.1tls:443@0", "192.0.2.2tcp:80@1000"]);
  const bad = new Network("http://c.example", {
    "tcp:80": "works",
    "192.0.2.1tcp:80": "hangs",
    "192.0.2.1tls:443": "hangs",
  });
  bad.dialer.plan = plan;
  const { dialled, outcome } = await bad.dial();
  assert.equal(dialled.at(-1), "tcp:80@2000");
  assert.equal(outcome, "connected");
});

Deno.test("Dialer: through an ACE only the plain port is dialled, just after TLS was too", async () => {
  const network = new Network("https://c.example", {
    "ace.example192.0.2.1tcp:80": "works",
    "other.exampletcp:80": "refuses",
  });
  network.dialer.plan = {
    Candidates: [{ ACEHost: "other.example" }, { ACEHost: "ace.example", IP: "192.0.2.1", DialStartDelaySec: 1 }],
  };
  const dialled = ["other.exampletcp:80@0", "ace.example192.0.2.1tcp:80@1000"];
  for (let i = 0; i < 2; i++) assert.deepEqual(await network.dial(), { dialled, outcome: "connected" });
});

Deno.test("Dialer: aborting closes what is open", async () => {
  const network = new Network("https://c.example", { "tcp:80": "hangs", "tls:443": "hangs" });
  const stop = new AbortController();
  const done = network.dialer.dial(SERVER.public, stop.signal);
  await network.scheduler.advance(600);
  stop.abort(new Error("enough"));
  await assert.rejects(done, /enough/);
  await network.scheduler.settle();
  assert.equal(network.scheduler.pending, 0);
});

Deno.test("W1 Dialer: a server key of low order is a failed handshake, not a crash", async () => {
  const network = new Network("https://c.example", { "tcp:80": "works" });
  const one = new MachinePublic(Uint8Array.of(1, ...new Uint8Array(31)));
  const error = await network.dialer.dial(one, never).catch((error) => error);
  assert.ok(error instanceof ControlError && error.code === "handshake");
});
