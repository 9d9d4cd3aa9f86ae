import assert from "node:assert/strict";
import { request } from "node:http";
import { isForUs, MetricsPage } from "../../daemon/metrics_page.ts";
import { until } from "../interop/support/agent.ts";
import { FakeScheduler } from "../support/fake_scheduler.ts";

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

function get(port: number, path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, method, headers: { host: "127.0.0.1", ...headers } });
    asked.on("error", reject);
    asked.on("response", async (response) => {
      let body = "";
      for await (const chunk of response) body += chunk;
      resolve({ status: response.statusCode!, type: String(response.headers["content-type"]), body });
    });
    asked.end();
  });
}

Deno.test("MetricsPage serves metrics to this machine and nothing else to anybody (TS-2022-004, TS-2022-005)", async () => {
  // A port that was free a moment ago.
  const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = probe.addr as Deno.NetAddr;
  probe.close();
  let mayAsk = true;
  const page = new MetricsPage({
    addresses: ["127.0.0.1"],
    text: () => Promise.resolve("tailscaled_x 1\n"),
    mayAsk: () => mayAsk,
    scheduler: new FakeScheduler(),
    log: () => {},
    port,
  });
  page.open();
  await until("it serves", 10_000, () => get(port, "/metrics").then(() => true, () => false));
  assert.deepEqual(await get(port, "/metrics"), {
    status: 200,
    type: "text/plain; version=0.0.4; charset=utf-8",
    body: "tailscaled_x 1\n",
  });
  const refused: [string, Record<string, string>, string, number][] = [
    ["/", {}, "GET", 404],
    ["/metrics/../x", {}, "GET", 404],
    ["/metrics", {}, "POST", 405],
    ["/metrics", { host: "rebound.test" }, "GET", 403],
    ["/metrics", { origin: "http://127.0.0.1" }, "GET", 403],
    ["/metrics", { referer: "http://127.0.0.1/" }, "GET", 403],
  ];
  for (const [path, headers, method, status] of refused) {
    assert.equal((await get(port, path, headers, method)).status, status, JSON.stringify([path, headers, method]));
  }
  mayAsk = false;
  await assert.rejects(get(port, "/metrics"));
  mayAsk = true;
  page.close();
  await assert.rejects(get(port, "/metrics"));
});

Deno.test("MetricsPage waits for its addresses and a taken port, and tells of the port once", async () => {
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  const scheduler = new FakeScheduler();
  const told: string[] = [];
  const page = new MetricsPage({
    addresses: ["127.0.0.1"],
    text: () => Promise.resolve(""),
    mayAsk: () => true,
    scheduler,
    log: (text) => told.push(text),
    port,
  });
  page.open();
  for (let i = 0; i < 3; i++) {
    await until("it waits to try again", 10_000, () => Promise.resolve(scheduler.pending === 1));
    await scheduler.advance(1_000);
  }
  await until("it waits to try again", 10_000, () => Promise.resolve(scheduler.pending === 1));
  assert.equal(told.length, 1);
  assert.match(told[0], /EADDRINUSE|in use/);
  taken.close();
  await scheduler.advance(1_000);
  await until("it serves", 10_000, () => get(port, "/metrics").then(({ status }) => status === 200, () => false));
  page.close();
  assert.equal(scheduler.pending, 0);
});

Deno.test("isForUs() wants the address by name, with a port or without", () => {
  assert.ok(isForUs({ host: "100.100.100.100" }, "100.100.100.100"));
  assert.ok(isForUs({ host: "100.100.100.100:80" }, "100.100.100.100"));
  assert.ok(isForUs({ host: "[fd7a:115c:a1e0::53]" }, "fd7a:115c:a1e0::53"));
  for (const host of ["", "example.com", "100.100.100.100.evil.test", "fd7a:115c:a1e0::53"]) {
    assert.ok(!isForUs({ host }, "100.100.100.100"), host);
  }
});
