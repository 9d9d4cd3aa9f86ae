import assert from "node:assert/strict";
import { utf8 } from "../../../base/bytes.ts";
import { PingAnswerer } from "../../../control/client/ping.ts";
import type { PollHandlers } from "../../../control/client/types.ts";
import type { PingRequest } from "../../../control/wire/tailcfg.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { FakeTransport } from "../../support/fake_transport.ts";

const never = new AbortController().signal;

function setUp() {
  const transport = new FakeTransport();
  const plain: string[] = [];
  const log: string[] = [];
  const scheduler = new FakeScheduler();
  const pings = new PingAnswerer({
    transport,
    fetch: (method, url, _options, body) => {
      plain.push(`${method} ${url.href} ${new TextDecoder().decode(body)}`.trim());
      return Promise.resolve({ status: 200, headers: {}, body: new Uint8Array(0) });
    },
    ca: [],
    scheduler,
    log: (level, text) => log.push(`${level}: ${text}`),
  });
  const answer = (request: PingRequest, answers: Pick<PollHandlers, "c2n" | "ping"> = {}) =>
    pings.answer(request, answers, never);
  const noise = () =>
    transport.requests.map(({ method, path, body }) => {
      return `${method} ${path} ${new TextDecoder().decode(body as Uint8Array)}`.trim();
    });
  return { answer, plain, noise, log, scheduler };
}

const c2n = (text: string, url = "https://unused/machine/c2n/1"): PingRequest => ({
  URL: url,
  Types: "c2n",
  Payload: utf8(text).toBase64(),
});

Deno.test("a ping without type is a HEAD, inside Noise when it says so", async () => {
  const { answer, plain, noise, scheduler } = setUp();
  await answer({ URL: "http://c.example/ping?a=1" });
  await answer({ URL: "https://c.example/ping2", URLIsNoise: true });
  assert.deepEqual(plain, ["HEAD http://c.example/ping?a=1"]);
  assert.deepEqual(noise(), ["HEAD /ping2"]);
  assert.equal(scheduler.pending, 0);
});

Deno.test("c2n /echo is answered over Noise only, whatever the URL says", async () => {
  const { answer, plain, noise } = setUp();
  await answer(c2n("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"));
  assert.deepEqual(plain, []);
  assert.deepEqual(noise(), ["POST /machine/c2n/1 HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"]);
});

Deno.test("c2n: other paths go to the daemon; none, an error and a malformed request have Go's statuses", async () => {
  const { answer, noise } = setUp();
  const get = (path: string) => c2n(`GET ${path} HTTP/1.1\r\n\r\n`, `https://unused${path}`);
  const handlers = {
    c2n: ({ path }: { path: string }) => {
      if (path === "/boom") return Promise.reject(new Error("secret detail"));
      return Promise.resolve(path === "/known" ? { status: 204, body: new Uint8Array(0) } : undefined);
    },
  };
  await answer(get("/known"), handlers);
  await answer(get("/unknown"), handlers);
  await answer(get("/boom"), handlers);
  await answer(c2n("nonsense"), handlers);
  await answer(get("/alone"));
  const statuses = noise().map((text) => Number(/HTTP\/1.1 ([0-9]+)/.exec(text)![1]));
  assert.deepEqual(statuses, [204, 400, 500, 400, 400]);
  assert.equal(noise().join().includes("secret detail"), false);
});

Deno.test("each type of an IP ping is asked of the daemon and its result POSTed", async () => {
  const { answer, plain, log } = setUp();
  const request = { URL: "https://c.example/result", Types: "disco,TSMP,disco,future", IP: "100.64.0.2" };
  await answer(request, { ping: ({ IP }, type) => Promise.resolve({ Type: type, IP }) });
  assert.deepEqual(plain, [
    'POST https://c.example/result {"Type":"disco","IP":"100.64.0.2"}',
    'POST https://c.example/result {"Type":"TSMP","IP":"100.64.0.2"}',
  ]);
  assert.match(log[0], /type "future"/);
});

Deno.test("the same URL twice running is one ping; an empty one and other schemes are none", async () => {
  const { answer, plain, log } = setUp();
  for (const url of ["http://a/", "http://a/", "http://b/", "http://a/", "", "file:///etc/shadow"]) {
    await answer({ URL: url });
  }
  assert.deepEqual(plain, ["HEAD http://a/", "HEAD http://b/", "HEAD http://a/"]);
  assert.match(log[0], /want http/);
});

Deno.test("W11 a flood of pings is answered sixteen at a time", async () => {
  const { answer, log } = setUp();
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const running = Array.from(
    { length: 40 },
    (_, i) => answer({ URL: `http://c/${i}`, Types: "disco" }, { ping: () => promise }),
  );
  assert.equal(log.filter((line) => line.includes("too many")).length, 24);
  resolve({});
  await Promise.all(running);
});
