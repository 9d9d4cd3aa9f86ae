// Servers that fail, are slow, cut answers short, or speak HTTPS; on a fake clock.

import assert from "node:assert/strict";
import { encodeAnswer, parseQuery, type Query, truncated } from "../../../base/dns_message.ts";
import { Forwarder, MAX_ACTIVE } from "../../../daemon/dns/forwarder.ts";
import { dohOf, parseUpstream, type Upstream } from "../../../daemon/dns/upstream.ts";
import { answerText, ask, FakeServers, type Reaction } from "../../support/dns.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { SeededRandom } from "../../support/random.ts";

function world(reactions: Record<string, Reaction>) {
  const servers = new FakeServers(reactions);
  const scheduler = new FakeScheduler();
  const failing: (string | undefined)[] = [];
  const forwarder = new Forwarder({
    transport: servers,
    scheduler,
    random: new SeededRandom(9).bytes,
    failing: (texts) => failing.push(texts),
  });
  const forward = (...addresses: string[]) => {
    const upstreams = addresses.map((Addr) => parseUpstream({ Addr }) as Upstream);
    const wire = ask("host.test");
    return forwarder.forward(parseQuery(wire) as Query, wire, upstreams).then(answerText);
  };
  return { servers, scheduler, forwarder, forward, failing };
}

Deno.test("a failing server does not hide another's answer; all failing is SERVFAIL, all refusing is REFUSED", async () => {
  const { forward, failing } = world({
    "10.0.0.1": 2,
    "10.0.0.2": 5,
    "10.0.0.3": "192.0.2.3",
    "10.0.0.4": 3,
    "10.0.0.5": 5,
  });
  assert.equal(await forward("10.0.0.1", "10.0.0.2", "10.0.0.3"), "NOERROR A 192.0.2.3");
  assert.equal(await forward("10.0.0.1", "10.0.0.4"), "NXDOMAIN");
  assert.equal(await forward("10.0.0.1", "10.0.0.2"), "SERVFAIL");
  assert.equal(await forward("10.0.0.2", "10.0.0.5"), "REFUSED");
  assert.equal(await forward("10.0.0.99"), "SERVFAIL");
  assert.deepEqual(failing, [undefined, undefined, "10.0.0.1, 10.0.0.2", "10.0.0.99"]);
});

Deno.test("an answer cut short is asked for again by TCP at once; where TCP fails the short one is better than none", async () => {
  const cut = (tcp: number | "silent"): Reaction => (query, by) =>
    by === "udp"
      ? truncated(query, encodeAnswer(query, { rcode: 0 }))
      : tcp === "silent"
      ? tcp
      : encodeAnswer(query, { rcode: tcp });
  const { forward, servers, scheduler } = world({ "10.0.0.1": cut(3), "10.0.0.2": cut("silent") });
  assert.equal(await forward("10.0.0.1"), "NXDOMAIN");
  assert.deepEqual(servers.asked, ["10.0.0.1 udp host.test", "10.0.0.1 tcp host.test"]);
  const waiting = forward("10.0.0.2");
  await scheduler.advance(10_000);
  assert.equal(await waiting, "NOERROR");
});

Deno.test("two seconds without an answer by UDP begin TCP beside it; after ten seconds of silence it is SERVFAIL", async () => {
  const { forward, servers, scheduler } = world({
    "10.0.0.1": (query, by) => by === "udp" ? "silent" : encodeAnswer(query, { rcode: 3 }),
    "10.0.0.2": "silent",
  });
  const byTcp = forward("10.0.0.1");
  await scheduler.advance(1_999);
  assert.equal(servers.asked.length, 1);
  await scheduler.advance(1);
  assert.equal(await byTcp, "NXDOMAIN");
  const never = forward("10.0.0.2");
  await scheduler.advance(9_999);
  let done = false;
  never.then(() => done = true);
  await scheduler.settle();
  assert.equal(done, false);
  await scheduler.advance(1);
  assert.equal(await never, "SERVFAIL");
  assert.equal(scheduler.pending, 0, "no timer is left");
});

Deno.test("a known public server is asked by HTTPS first; plain DNS follows after 500 ms, its second address 200 ms later", async () => {
  const url = "https://dns.google/dns-query";
  const { forward, servers, scheduler } = world({ [url]: "silent", "8.8.8.8": "silent", "8.8.4.4": "192.0.2.8" });
  const waiting = forward("8.8.8.8", "8.8.4.4");
  await scheduler.advance(499);
  assert.deepEqual(servers.asked, [`${url} https host.test`]);
  await scheduler.advance(1);
  assert.equal(servers.asked.at(-1), "8.8.8.8 udp host.test");
  await scheduler.advance(200);
  assert.equal(await waiting, "NOERROR A 192.0.2.8");
  const quick = world({ [url]: "192.0.2.7" });
  assert.equal(await quick.forward("8.8.8.8"), "NOERROR A 192.0.2.7");
});

Deno.test("256 questions are on their way at most; one more is told so at once", async () => {
  const { forward, scheduler, forwarder } = world({ "10.0.0.1": "silent" });
  const waiting = Array.from({ length: MAX_ACTIVE }, () => forward("10.0.0.1"));
  assert.equal(forwarder.active, MAX_ACTIVE);
  assert.equal(await forward("10.0.0.1"), "SERVFAIL");
  await scheduler.advance(10_000);
  await Promise.all(waiting);
  assert.equal(forwarder.active, 0);
});

Deno.test("servers by their texts: plain with and without a port, HTTPS with addresses, HTTP inside the tailnet alone", () => {
  const kind = (Addr: string, BootstrapResolution?: string[]) =>
    parseUpstream({ Addr, ...(BootstrapResolution && { BootstrapResolution }) })?.kind;
  assert.equal(kind("10.0.0.1"), "plain");
  assert.equal(kind("[2001:db8::1]:5353"), "plain");
  assert.equal(kind("https://dns.google/dns-query"), "doh");
  assert.equal(kind("https://dns.example/dns-query"), undefined, "no address to reach it at");
  assert.equal(kind("https://dns.example/dns-query", ["192.0.2.1"]), "doh");
  assert.equal(kind("http://100.64.0.5:8080/dns-query"), "doh");
  assert.equal(kind("http://192.0.2.1/dns-query"), undefined);
  for (const text of ["", "dns.example", "tls://1.1.1.1", "file:///etc/passwd"]) {
    assert.equal(kind(text), undefined, text);
  }
  assert.equal(dohOf("2606:4700:4700::1111")?.url, "https://cloudflare-dns.com/dns-query");
  assert.equal(dohOf("149.112.122.20")?.url, "https://protected.canadianshield.cira.ca/dns-query");
  assert.equal(dohOf("192.0.2.1"), undefined);
});
