/** Plain HTTP and TLS over loopback. Needs --allow-net. */
import assert from "node:assert/strict";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import type { AddressInfo } from "node:net";
import tls from "node:tls";
import { opened } from "../../../base/tls_client.ts";
import { connectWith, openConnection, type TcpConnect } from "../../../control/client/connect.ts";
import { ControlError } from "../../../control/client/errors.ts";
import { type FetchOptions, fetchWith, httpFetch } from "../../../control/client/http_fetch.ts";
import type { WebProxy } from "../../../base/web_proxy.ts";
import { connectProxy, socksProxy } from "../../support/loopback_proxy.ts";
import { testCertificates } from "../../support/test_ca.ts";

const never = new AbortController().signal;
const { ca, cert, key } = await testCertificates(["control.example"], ["127.0.0.1"]);
const network = { ca: [ca], now: () => Date.now() };
const options: FetchOptions = { ca: [ca], signal: never, limit: 1000 };

/** Runs `use` with the port of a server that answers by `onRequest`. */
async function serving(secure: boolean, onRequest: http.RequestListener, use: (port: number) => Promise<void>) {
  const server = secure ? https.createServer({ cert, key }, onRequest) : http.createServer(onRequest);
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  try {
    await use((server.address() as AddressInfo).port);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function failure(promise: Promise<unknown>): Promise<ControlError> {
  const error = await promise.then(() => undefined, (error) => error);
  assert.ok(error instanceof ControlError, String(error));
  return error;
}

Deno.test("httpFetch() over http and https: status, headers, body, HEAD and POST", async () => {
  for (const secure of [false, true]) {
    await serving(secure, (request, response) => {
      let body = "";
      request.on("data", (chunk) => body += chunk);
      request.on(
        "end",
        () => response.writeHead(201, { location: "/x" }).end(`${request.method} ${request.url} ${body}`),
      );
    }, async (port) => {
      const url = new URL(`${secure ? "https" : "http"}://127.0.0.1:${port}/key?v=1`);
      const got = await httpFetch("GET", url, options);
      assert.deepEqual([got.status, got.headers.location], [201, "/x"]);
      assert.equal(new TextDecoder().decode(got.body), "GET /key?v=1 ");
      assert.equal((await httpFetch("HEAD", url, options)).body.length, 0);
      const posted = await httpFetch("POST", url, options, new TextEncoder().encode("{}"));
      assert.equal(new TextDecoder().decode(posted.body), "POST /key?v=1 {}");
    });
  }
});

Deno.test("httpFetch(): a certificate that is not trusted is told with subject, issuer and what to do", async () => {
  await serving(true, (_, response) => response.end(), async (port) => {
    const error = await failure(httpFetch("GET", new URL(`https://127.0.0.1:${port}/`), { ...options, ca: [] }));
    assert.equal(error.code, "tls");
    assert.match(
      error.message,
      /^Cannot trust control server 127\.0\.0\.1:\d+: it shows a certificate for "control\.example" issued by "Test Root"; .*--ca-file or SSL_CERT_FILE/,
    );
  });
});

Deno.test("httpFetch(): a certificate for another name is refused", async () => {
  await serving(true, (_, response) => response.end(), async (port) => {
    const error = await failure(httpFetch("GET", new URL(`https://localhost:${port}/`), options));
    assert.equal(error.code, "tls");
    assert.match(error.message, /localhost/);
  });
});

Deno.test("W11 httpFetch() bounds the body", async () => {
  await serving(false, (_, response) => response.end("x".repeat(5000)), async (port) => {
    const error = await failure(httpFetch("GET", new URL(`http://127.0.0.1:${port}/`), options));
    assert.match(error.message, /more than 1000 bytes/);
  });
});

Deno.test("httpFetch(): refused, unknown name, aborted", async () => {
  const refused = await failure(httpFetch("GET", new URL("http://127.0.0.1:1/"), options));
  assert.match(refused.message, /^Cannot reach control server 127\.0\.0\.1:1: the connection was refused/);
  await serving(false, () => {}, async (port) => {
    const stop = new AbortController();
    const hung = httpFetch("GET", new URL(`http://127.0.0.1:${port}/`), { ...options, signal: stop.signal });
    setTimeout(() => stop.abort(new Error("enough")), 20);
    await assert.rejects(hung, /enough/);
  });
});

Deno.test("connectWith() takes any certificate for the Noise stream, but says when it is not trusted", async () => {
  await serving(true, () => {}, async (port) => {
    const warnings: string[] = [];
    const endpoint = { host: "control.example", address: "127.0.0.1", port, tls: true };
    const trusted = await connectWith(network, (text) => warnings.push(text))(endpoint, never);
    trusted.destroy();
    assert.equal(warnings.length, 0);
    const untrusted = await connectWith({ ...network, ca: [] }, (text) => warnings.push(text))(endpoint, never);
    untrusted.destroy();
    const other = await connectWith(network, (text) => warnings.push(text))(
      { ...endpoint, host: "other.example" },
      never,
    );
    other.destroy();
    assert.equal(warnings.length, 2);
    assert.match(warnings[0], /^certificate of control\.example:\d+ is not trusted: /);
  });
});

Deno.test("httpFetch(): a certificate out of its dates names the clock", async () => {
  await serving(true, (_, response) => response.end(), async (port) => {
    const fetch = fetchWith(undefined, () => 0);
    // The TLS library goes by the real clock, and finds nothing wrong with the dates.
    const error = await failure(fetch("GET", new URL(`https://127.0.0.1:${port}/`), { ...options, ca: [] }));
    assert.match(error.message, /it is valid only from .*, and this machine's clock says 1970-01-01 00:00 UTC: check/);
  });
});

Deno.test("httpFetch(): a port without TLS", async () => {
  await serving(false, (_, response) => response.end(), async (port) => {
    const error = await failure(httpFetch("GET", new URL(`https://127.0.0.1:${port}/`), options));
    assert.equal(error.code, "tls");
    assert.match(error.message, /it does not speak TLS on this port/);
  });
});

Deno.test("openConnection(): the host's name is in the ClientHello, an address is not", async () => {
  const names: string[] = [];
  const server = tls.createServer({
    cert,
    key,
    SNICallback: (name, done) => {
      names.push(name);
      done(null);
    },
  });
  server.on("secureConnection", (socket) => socket.on("error", () => {}));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as AddressInfo;
  for (const host of ["control.example", "127.0.0.1"]) {
    const { socket, flaw } = await openConnection({ host, address: "127.0.0.1", port, tls: true }, network, never);
    assert.equal(flaw, undefined);
    socket.destroy();
  }
  assert.deepEqual(names, ["control.example", ""]);
  await new Promise((resolve) => server.close(resolve));
});

Deno.test("through the operator's proxy of each kind: http and https, with the target's own certificate", async () => {
  await using plain = await connectProxy();
  await using secured = await connectProxy({ cert, key });
  await using socks = await socksProxy();
  const proxies: [WebProxy["scheme"], typeof plain, string][] = [
    ["http", plain, "CONNECT"],
    ["https", secured, "CONNECT"],
    ["socks5", socks, "SOCKS"],
  ];
  for (const [scheme, { port: proxyPort, asked }, verb] of proxies) {
    const fetch = fetchWith(() => ({ scheme, host: "127.0.0.1", port: proxyPort }), () => Date.now());
    for (const secure of [false, true]) {
      await serving(
        secure,
        (request, response) => response.end(`${request.headers.host} ${request.url}`),
        async (port) => {
          const url = new URL(`${secure ? "https" : "http"}://control.example:${port}/key?v=1`);
          const got = await fetch("GET", url, options);
          assert.equal(new TextDecoder().decode(got.body), `control.example:${port} /key?v=1`);
          assert.equal(asked.at(-1)!.replace(" HTTP/1.1", ""), `${verb} control.example:${port}`);
          if (!secure) return;
          const distrusting = await failure(fetch("GET", url, { ...options, ca: [] }));
          assert.equal(distrusting.code, scheme === "https" ? "unreachable" : "tls", distrusting.message);
        },
      );
    }
    const nobody = await failure(fetch("GET", new URL("http://127.0.0.1:1/"), options));
    assert.match(
      nobody.message,
      /^Cannot reach control server 127\.0\.0\.1:1: the proxy .* refused to connect .*: (502|connection refused)/,
    );
    const gone = fetchWith(() => ({ scheme, host: "127.0.0.1", port: 1 }), () => Date.now());
    const silent = await failure(gone("GET", new URL("http://127.0.0.1:1/"), options));
    assert.match(
      silent.message,
      /^Cannot reach control server 127\.0\.0\.1:1: the proxy 127\.0\.0\.1:1 does not answer/,
    );
  }
  // An address of control's dial plan is not what a proxy is asked for.
  const proxyFor = (): WebProxy => ({ scheme: "http", host: "127.0.0.1", port: plain.port });
  await assert.rejects(
    openConnection({ host: "c.example", address: "10.0.0.1", port: 80, tls: false }, { ...network, proxyFor }, never),
    /^Error: 10\.0\.0\.1 is not asked for where a web proxy is used$/,
  );
});

Deno.test("through an ACE: its name in TLS and Host, only 200 counts, and nothing may follow it", async () => {
  const ace = await testCertificates(["ace.example"], []);
  const asked: string[] = [];
  const answers = ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nhello"];
  const server = tls.createServer({ ...ace }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", (chunk) => {
      asked.push(`${(socket as { servername?: string }).servername} ${chunk}`);
      socket.write(answers.shift()!);
    });
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as AddressInfo;
  const dialled: string[] = [];
  const tcp: TcpConnect = (host, wanted, signal) => {
    dialled.push(`${host}:${wanted}`);
    return opened(net.connect(port, "127.0.0.1"), "connect", signal);
  };
  // A web proxy is passed by.
  const proxyFor = (): WebProxy => ({ scheme: "http", host: "127.0.0.1", port: 1 });
  const to = { host: "c.example", port: 80, tls: false, aceHost: "ace.example" };
  const options = { ca: [ace.ca], now: () => Date.now(), proxyFor, tcp };
  (await openConnection({ ...to, address: "192.0.2.1" }, options, never)).socket.destroy();
  await assert.rejects(openConnection(to, options, never), {
    message: "the ACE ace.example (ace.example) refused to connect to c.example:80: 204 No Content",
  });
  await assert.rejects(openConnection(to, options, never), {
    message: "the ACE ace.example (ace.example) sent 5 bytes nobody asked for",
  });
  await assert.rejects(
    openConnection(to, { ...options, ca: [ca] }, never),
    /^Error: the ACE .* cannot be trusted: it shows/,
  );
  assert.deepEqual(dialled, ["192.0.2.1:443", ...Array(3).fill("ace.example:443")]);
  assert.deepEqual(new Set(asked), new Set(["ace.example CONNECT c.example:80 HTTP/1.1\r\nHost: ace.example\r\n\r\n"]));
  await new Promise((resolve) => server.close(resolve));
});
