import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { connectThrough, proxyFromEnvironment } from "../../base/http_proxy.ts";
import { utf8 } from "../../base/bytes.ts";
import { socketPair } from "../support/socket_pair.ts";

function chosen(env: Record<string, string>, host: string, port = 443, tls = true): string {
  const proxy = proxyFromEnvironment(env)({ host, port, tls });
  return proxy === undefined ? "direct" : `${proxy.host}:${proxy.port}`;
}

Deno.test("proxyFromEnvironment(): which variable counts for what", () => {
  const both = { HTTPS_PROXY: "http://tls.proxy:3128", HTTP_PROXY: "plain.proxy:8080" };
  assert.equal(chosen(both, "c.example"), "tls.proxy:3128");
  assert.equal(chosen(both, "c.example", 80, false), "plain.proxy:8080");
  assert.equal(chosen({ https_proxy: "p" }, "c.example"), "p:80");
  assert.equal(chosen({ HTTPS_PROXY: "a", https_proxy: "b" }, "c.example"), "a:80");
  assert.equal(chosen({ HTTPS_PROXY: "", https_proxy: "b" }, "c.example"), "b:80");
  assert.equal(chosen({ HTTP_PROXY: "a" }, "c.example"), "direct");
  assert.equal(chosen({ HTTPS_PROXY: "http://[fd00::1]:3128" }, "c.example"), "fd00::1:3128");
  assert.equal(chosen({ ...both, REQUEST_METHOD: "GET" }, "c.example", 80, false), "direct");
  for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1"]) {
    assert.equal(chosen(both, host), "direct", host);
  }
});

Deno.test("NO_PROXY means what it means to Go", () => {
  const cases: [string, string, number, boolean][] = [
    ["*", "c.example", 443, true],
    ["example.com", "example.com", 443, true],
    ["example.com", "a.b.example.com", 443, true],
    ["example.com", "notexample.com", 443, false],
    ["EXAMPLE.com", "Example.COM.", 443, true],
    [".example.com", "example.com", 443, false],
    [".example.com", "a.example.com", 443, true],
    ["*.example.com", "a.example.com", 443, true],
    ["*.example.com", "example.com", 443, false],
    ["example.com:8443", "example.com", 443, false],
    ["example.com:8443", "example.com", 8443, true],
    ["10.0.0.0/8", "10.9.8.7", 443, true],
    ["10.0.0.0/8", "11.9.8.7", 443, false],
    ["fd00::/8", "fd12::1", 443, true],
    ["10.0.0.1", "10.0.0.1", 443, true],
    ["10.0.0.1:80", "10.0.0.1", 443, false],
    ["fd00::1", "fd00:0:0::1", 443, true],
    ["[fd00::1]:443", "fd00::1", 443, true],
    ["a.example, ,10.0.0.0/8", "10.1.1.1", 1, true],
    ["", "c.example", 443, false],
  ];
  for (const [NO_PROXY, host, port, direct] of cases) {
    assert.equal(
      chosen({ HTTPS_PROXY: "p", NO_PROXY }, host, port) === "direct",
      direct,
      `${NO_PROXY} ${host}:${port}`,
    );
  }
});

Deno.test("proxyFromEnvironment() refuses what it cannot use, without showing a password", () => {
  assert.throws(
    () => proxyFromEnvironment({ HTTPS_PROXY: "socks5://u:hunter2@p:1080" }),
    /^Error: Cannot use HTTPS_PROXY: it says socks5:\/\/, want http:\/\/$/,
  );
  assert.throws(() => proxyFromEnvironment({ HTTP_PROXY: "http://u:hunter2@" }), (error) => {
    return error instanceof Error && !error.message.includes("hunter2");
  });
});

async function tunnel(answer: string, url = "http://user:p%40ss@proxy:3128"): Promise<[string, string, Duplex]> {
  const proxy = proxyFromEnvironment({ HTTPS_PROXY: url })({ host: "c.example", port: 443, tls: true })!;
  const [near, far] = socketPair();
  let asked = "";
  far.on("data", (chunk) => {
    asked += new TextDecoder().decode(chunk);
    if (asked.endsWith("\r\n\r\n")) far.write(utf8(answer));
  });
  far.on("error", () => {});
  const outcome = await connectThrough(near, proxy, "fd00::5", 8443, new AbortController().signal)
    .then(() => "open", (error) => error.message);
  return [asked, outcome, near];
}

Deno.test("connectThrough() asks by CONNECT with the login, and the stream is the target's", async () => {
  const [asked, outcome, stream] = await tunnel("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello");
  assert.equal(outcome, "open");
  assert.equal(
    asked,
    "CONNECT [fd00::5]:8443 HTTP/1.1\r\nHost: [fd00::5]:8443\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n",
  );
  const first = await new Promise((resolve) => stream.once("data", (chunk) => resolve(String(chunk))));
  assert.equal(first, "hello");
});

Deno.test("connectThrough() says what the proxy answered", async () => {
  assert.match((await tunnel("HTTP/1.1 407 Login\r\n\r\n"))[1], /^the proxy proxy:3128 wants a user and password/);
  assert.equal(
    (await tunnel("HTTP/1.1 403 Forbidden\r\n\r\n"))[1],
    "the proxy proxy:3128 refused to connect to [fd00::5]:8443: 403 Forbidden",
  );
  assert.match((await tunnel("SSH-2.0-x\r\n"))[1], /^the proxy proxy:3128 gave no answer: it begins "SSH-2.0-x/);
});
