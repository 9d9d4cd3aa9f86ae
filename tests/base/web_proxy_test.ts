import assert from "node:assert/strict";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connectThrough, proxyFromEnvironment } from "../../base/web_proxy.ts";
import { utf8 } from "../../base/bytes.ts";
import { socketPair } from "../support/socket_pair.ts";
import vectors from "../vectors/go_http_proxy.json" with { type: "json" };

function chosen(env: Record<string, string>, host: string, port = 443, tls = true): string {
  const proxy = proxyFromEnvironment(env)({ host, port, tls });
  return proxy === undefined ? "direct" : `${proxy.scheme} ${proxy.host}:${proxy.port}`;
}

Deno.test("proxyFromEnvironment(): which variable counts for what", () => {
  const both = { HTTPS_PROXY: "http://tls.proxy:3128", HTTP_PROXY: "plain.proxy:8080" };
  assert.equal(chosen(both, "c.example"), "http tls.proxy:3128");
  assert.equal(chosen(both, "c.example", 80, false), "http plain.proxy:8080");
  assert.equal(chosen({ https_proxy: "p" }, "c.example"), "http p:80");
  assert.equal(chosen({ HTTPS_PROXY: "a", https_proxy: "b" }, "c.example"), "http a:80");
  assert.equal(chosen({ HTTPS_PROXY: "", https_proxy: "b" }, "c.example"), "http b:80");
  assert.equal(chosen({ HTTP_PROXY: "a" }, "c.example"), "direct");
  assert.equal(chosen({ ALL_PROXY: "a", all_proxy: "a" }, "c.example"), "direct");
  assert.equal(chosen({ ...both, REQUEST_METHOD: "GET" }, "c.example", 80, false), "direct");
  assert.equal(chosen({ ...both, NO_PROXY: ".example" }, "c.example"), "direct");
  assert.equal(chosen({ ...both, no_proxy: ".example" }, "c.example"), "direct");
});

Deno.test("a proxy's URL is read as Go reads it, with the ports of net/http", () => {
  const ports: Record<string, number> = { http: 80, https: 443, socks5: 1080, socks5h: 1080 };
  for (const [text, theirs] of vectors.proxies as [string, string[]][]) {
    const [scheme, host, port, user, password] = theirs;
    const { login, ...ours } = proxyFromEnvironment({ HTTPS_PROXY: text })({
      host: "c.example",
      port: 443,
      tls: true,
    })!;
    assert.deepEqual(
      ours,
      { scheme: scheme.replace("socks5h", "socks5"), host, port: Number(port || ports[scheme]) },
      text,
    );
    assert.deepEqual([login?.user ?? "", login?.password.reveal() ?? ""], [user, password], text);
  }
});

Deno.test("proxyFromEnvironment() refuses what it cannot use, and shows a password nowhere", () => {
  const refusal = (text: string) => {
    try {
      return String(proxyFromEnvironment({ HTTPS_PROXY: text }));
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.equal(
    refusal("ftp://u:hunter2@p:1080"),
    "Cannot use HTTPS_PROXY: it says ftp://, want http://, https:// or socks5://",
  );
  assert.match(refusal("constructor://p"), /^Cannot use HTTPS_PROXY: it says constructor:/);
  assert.equal(refusal("http://u:hunter2@"), "Cannot use HTTPS_PROXY: it is no URL, want http://host:port");
  assert.match(refusal("http://u:hunter2%zz@p"), /^Cannot use HTTPS_PROXY: a % in its user or password [^2]*%25$/);
  const proxy = proxyFromEnvironment({ HTTPS_PROXY: "socks5://u:hunter2@p" })({ host: "c", port: 1, tls: true });
  for (const text of [JSON.stringify(proxy), Deno.inspect(proxy), `${proxy?.login?.password}`]) {
    assert.ok(text.includes("[redacted]") && !text.includes("hunter2"), text);
  }
});

/** Connects to fd00::5 through a proxy in memory that answers once. */
async function tunnel(answer: string, url = "http://user:p%40ss@proxy:3128"): Promise<[string, string, Duplex]> {
  const proxy = proxyFromEnvironment({ HTTPS_PROXY: url })({ host: "c.example", port: 443, tls: true })!;
  const [near, far] = socketPair();
  let asked = "";
  far.on("data", (chunk) => {
    asked += new TextDecoder().decode(chunk);
    if (asked.endsWith("\r\n\r\n")) far.write(utf8(answer));
  });
  far.on("error", () => {});
  const ports = {
    tcp: (host: string, port: number) => {
      assert.equal(`${host}:${port}`, "proxy:3128");
      return Promise.resolve(near as Socket);
    },
    now: () => 0,
  };
  const outcome = await connectThrough(proxy, { host: "fd00::5", port: 8443 }, ports, new AbortController().signal)
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

Deno.test("connectThrough() says what the proxy answered, and leaves nothing open", async () => {
  const [, outcome, stream] = await tunnel("HTTP/1.1 407 Login\r\n\r\n");
  assert.match(outcome, /^the proxy proxy:3128 wants a user and password/);
  assert.ok(stream.destroyed);
  assert.equal(
    (await tunnel("HTTP/1.1 403 Forbidden\r\n\r\n"))[1],
    "the proxy proxy:3128 refused to connect to [fd00::5]:8443: 403 Forbidden",
  );
  assert.match((await tunnel("SSH-2.0-x\r\n"))[1], /^the proxy proxy:3128 gave no answer: it begins "SSH-2.0-x/);
});
