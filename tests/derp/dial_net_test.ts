/** What the dialler accepts and refuses, against real TLS servers on the loopback. */
import assert from "node:assert/strict";
import { createServer, Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { DetailedPeerCertificate } from "node:tls";
import { NodePrivate } from "../../base/keys.ts";
import { checkCertificatePin, serverKeyOf } from "../../derp/cert_pin.ts";
import type { DERPNode } from "../../derp/derp_map.ts";
import { createDerpDial } from "../../derp/dial.ts";
import { createHttpsLatency } from "../../derp/latency.ts";
import { certNameOf, makeMetaCertificate, makeSelfSigned } from "../../derp/self_signed.ts";
import { Secret } from "../../base/secret.ts";
import type { WebProxy } from "../../base/web_proxy.ts";
import { Relay, trueRandom } from "../support/derp_relay.ts";
import { connectProxy, socksProxy } from "../support/loopback_proxy.ts";
import { realScheduler } from "../support/real_scheduler.ts";
import { testCertificates } from "../support/test_ca.ts";

const NEVER = new AbortController().signal;

/** Dials and hangs up; the error's message, or "" when it worked. */
async function outcome(node: DERPNode, ca?: string[]): Promise<string> {
  try {
    const { duplex } = await createDerpDial({ scheduler: realScheduler, ca })(node, NEVER);
    duplex.destroy();
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

async function serveTls(
  hosts: string[],
  meta = "",
): Promise<{ port: number; certPem: string; stop: () => Promise<void> }> {
  const { keyPem, certPem } = await makeSelfSigned(hosts, Date.now(), trueRandom);
  const server = createTlsServer({ key: keyPem, cert: certPem + meta });
  server.on("secureConnection", (socket) => socket.on("error", () => {}));
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return {
    port: (server.address() as AddressInfo).port,
    certPem,
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

function nodeAt(port: number, more: Partial<DERPNode>): DERPNode {
  return { Name: "1a", RegionID: 1, HostName: "127.0.0.1", IPv4: "127.0.0.1", IPv6: "none", DERPPort: port, ...more };
}

Deno.test("a pinned certificate is accepted by address, and by a name only when it has that name", async () => {
  const server = await serveTls(["127.0.0.1", "derp.example"]);
  const CertName = certNameOf(server.certPem)!;
  assert.equal(await outcome(nodeAt(server.port, { CertName })), "");
  assert.equal(await outcome(nodeAt(server.port, { CertName, HostName: "derp.example" })), "");
  assert.match(await outcome(nodeAt(server.port, { CertName, HostName: "other.example" })), /other\.example/);
  await server.stop();
});

Deno.test("another certificate than the pinned one is refused, even with InsecureForTests", async () => {
  const server = await serveTls(["127.0.0.1"]);
  const CertName = "sha256-raw:" + "ab".repeat(32);
  assert.match(await outcome(nodeAt(server.port, { CertName })), /hash is [0-9a-f]{64}, want abab/);
  assert.match(await outcome(nodeAt(server.port, { CertName, InsecureForTests: true })), /hash is/);
  assert.match(await outcome(nodeAt(server.port, { CertName: "sha256-raw:" })), /hash is/);
  await server.stop();
});

Deno.test("without a pin the chain must end in the caller's roots and have the right name", async () => {
  const server = await serveTls(["127.0.0.1", "derp.example"]);
  const ca = [server.certPem];
  assert.match(await outcome(nodeAt(server.port, {})), /self-signed|self signed|unknown/i);
  assert.equal(await outcome(nodeAt(server.port, {}), ca), "");
  assert.equal(await outcome(nodeAt(server.port, { HostName: "derp.example" }), ca), "");
  assert.match(await outcome(nodeAt(server.port, { HostName: "front.example" }), ca), /front\.example/);
  assert.equal(await outcome(nodeAt(server.port, { HostName: "front.example", CertName: "derp.example" }), ca), "");
  assert.match(
    await outcome(nodeAt(server.port, { HostName: "derp.example", CertName: "x.example" }), ca),
    /x\.example/,
  );
  assert.equal(await outcome(nodeAt(server.port, { HostName: "any.example", InsecureForTests: true })), "");
  await server.stop();
});

Deno.test("a meta certificate tells the relay's key and does not disturb the pin", async () => {
  const key = NodePrivate.generate(trueRandom).public;
  const server = await serveTls(["127.0.0.1"], await makeMetaCertificate(key, Date.now()));
  const node = nodeAt(server.port, { CertName: certNameOf(server.certPem) });
  const stream = await createDerpDial({ scheduler: realScheduler })(node, NEVER);
  assert.equal(stream.serverKey?.hex, key.hex);
  assert.equal(stream.host, `127.0.0.1:${server.port}`);
  stream.duplex.destroy();
  await server.stop();
});

Deno.test("checkCertificatePin() wants one certificate, valid now", () => {
  const raw = new Uint8Array(10);
  const pin = "01d448afd928065458cf670b60f5a594d735af0172c8d67f22a81680132681ca";
  const leaf = {
    raw,
    subject: { CN: "x" },
    valid_from: "Jan  1 00:00:00 2026 GMT",
    valid_to: "Jan  1 00:00:00 2036 GMT",
  } as unknown as DetailedPeerCertificate;
  const meta = {
    raw,
    subject: { CN: "derpkey" + "ab".repeat(32) },
    serialNumber: "02",
  } as unknown as DetailedPeerCertificate;
  const check = (chain: DetailedPeerCertificate[], now: number) => checkCertificatePin(chain, pin, "192.0.2.1", now);
  assert.equal(check([leaf], Date.UTC(2030, 0)), undefined);
  assert.equal(check([leaf, meta], Date.UTC(2030, 0)), undefined);
  assert.match(check([leaf, leaf], Date.UTC(2030, 0))!, /2 certificates/);
  assert.match(check([meta], Date.UTC(2030, 0))!, /0 certificates/);
  assert.match(check([leaf], Date.UTC(2036, 1))!, /expired/);
  assert.match(check([leaf], Date.UTC(2025, 11))!, /check the clock/);
  assert.equal(serverKeyOf([leaf, meta])?.hex, "ab".repeat(32));
  assert.equal(serverKeyOf([{ ...meta, serialNumber: "03" }]), undefined, "another protocol version");
});

Deno.test("IPv6 has 200 ms head start, and IPv4 does not wait for one that failed", async () => {
  const listener = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", () => resolve()));
  const port = (listener.address() as AddressInfo).port;
  const attempts: [string, number][] = [];
  const start = performance.now();
  const dialWith = (six: "hangs" | "fails") =>
    createDerpDial({
      scheduler: realScheduler,
      plainHttp: true,
      resolve: (_host, family) => Promise.resolve(family === 4 ? ["192.0.2.1"] : ["2001:db8::1"]),
      connect: (address) => {
        attempts.push([address, performance.now() - start]);
        const socket = new Socket();
        if (address === "192.0.2.1") return socket.connect(port, "127.0.0.1");
        if (six === "fails") queueMicrotask(() => socket.destroy(new Error("no route")));
        return socket;
      },
    });
  const node: DERPNode = { Name: "1a", RegionID: 1, HostName: "derp.example" };
  (await dialWith("hangs")(node, NEVER)).duplex.destroy();
  assert.deepEqual(attempts.map(([address]) => address), ["2001:db8::1", "192.0.2.1"]);
  assert.ok(attempts[1][1] - attempts[0][1] >= 190, `IPv4 after ${attempts[1][1] - attempts[0][1]} ms`);
  attempts.length = 0;
  (await dialWith("fails")(node, NEVER)).duplex.destroy();
  assert.ok(attempts[1][1] - attempts[0][1] < 100, `IPv4 after ${attempts[1][1] - attempts[0][1]} ms`);
  await new Promise<void>((resolve) => listener.close(() => resolve()));
});

Deno.test("a node that does not answer is given up after 1.5 s, and a dial stops at once when told to", async () => {
  const silent = createDerpDial({ scheduler: realScheduler, connect: () => new Socket() });
  const node = nodeAt(1, {});
  const start = performance.now();
  await assert.rejects(silent(node, NEVER), /no TCP connection to 127\.0\.0\.1 within 1\.5 s/);
  assert.ok(performance.now() - start < 1900);
  const stop = new AbortController();
  const dialling = silent(node, stop.signal);
  stop.abort(new Error("enough"));
  await assert.rejects(dialling, /enough/);
  await assert.rejects(silent(nodeAt(1, { IPv4: "none" }), NEVER), /no IPv[46] address/);
});

Deno.test("HTTPS latency is measured where the relay answers, and undefined where nothing does", async () => {
  const relay = await Relay.start();
  const measure = createHttpsLatency(createDerpDial({ scheduler: realScheduler }), realScheduler);
  const region = relay.map.Regions["900"];
  const latency = await measure(region, relay.node, 3000);
  assert.ok(latency !== undefined && latency > 0 && latency < 1000, `${latency} ms`);
  // What a firewall on the way answers in the relay's name is no latency of the relay.
  const firewall = createServer((socket) => {
    socket.on("error", () => {}).on("data", () => socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
  });
  await new Promise<void>((resolve) => firewall.listen(0, "127.0.0.1", resolve));
  const plain = createDerpDial({ scheduler: realScheduler, plainHttp: true });
  const blocked = nodeAt((firewall.address() as AddressInfo).port, {});
  assert.equal(await createHttpsLatency(plain, realScheduler)(region, blocked, 3000), undefined);
  firewall.close();
  const port = relay.port;
  await relay.stop();
  assert.equal(await measure(region, nodeAt(port, {}), 3000), undefined);
});

Deno.test("a certificate out of its dates names the clock; a pin is judged by control's clock", async () => {
  const day = 86_400_000;
  const dates = { from: Date.now() - 9 * day, to: Date.now() - 7 * day };
  const { ca, cert, key } = await testCertificates(["derp.example"], ["127.0.0.1"], dates);
  const server = createTlsServer({ key, cert });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const node = nodeAt((server.address() as AddressInfo).port, {});
  assert.match(
    await outcome(node, [ca]),
    /^Cannot trust DERP node 1a \(127\.0\.0\.1:\d+\): it shows .* "derp\.example" issued by "Test Root"; it expired .*check the clock/,
  );
  const pinned = { ...node, CertName: certNameOf(cert) };
  assert.match(await outcome(pinned), /the certificate expired/);
  const controlNow = () => Date.now() - 8 * day;
  (await createDerpDial({ scheduler: realScheduler, controlNow })(pinned, NEVER)).duplex.destroy();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

Deno.test("through the operator's proxy of each kind: the node's name goes to it, then TLS with the node", async () => {
  const ca = await testCertificates(["proxy.example"], ["127.0.0.1"]);
  await using plain = await connectProxy();
  await using secure = await connectProxy(ca);
  await using socks = await socksProxy("user:p@ss");
  const server = await serveTls(["127.0.0.1", "derp.example"]);
  const node = nodeAt(server.port, { HostName: "derp.example" });
  const login = { user: "user", password: new Secret("p@ss") };
  const proxies: [WebProxy, readonly string[]][] = [
    [{ scheme: "http", host: "127.0.0.1", port: plain.port }, plain.asked],
    [{ scheme: "https", host: "127.0.0.1", port: secure.port }, secure.asked],
    [{ scheme: "socks5", host: "127.0.0.1", port: socks.port, login }, socks.asked],
  ];
  const roots = [server.certPem, ca.ca];
  for (const [proxy, asked] of proxies) {
    const chosen: string[] = [];
    const proxyFor = ({ host, port, tls }: { host: string; port: number; tls: boolean }) => {
      chosen.push(`${host}:${port} ${tls}`);
      return proxy;
    };
    const { duplex, host } = await createDerpDial({ scheduler: realScheduler, ca: roots, proxyFor })(node, NEVER);
    duplex.destroy();
    assert.deepEqual(chosen, [`derp.example:${server.port} true`]);
    assert.equal(host, `derp.example:${server.port}`);
    const connect = proxy.scheme === "socks5" ? "SOCKS" : "CONNECT";
    assert.deepEqual(asked.map((line) => line.replace(" HTTP/1.1", "")), [`${connect} derp.example:${server.port}`]);
  }
  await server.stop();
  const failures = ["502 Bad Gateway", "502 Bad Gateway", "connection refused"];
  for (const [i, [proxy]] of proxies.entries()) {
    const dial = createDerpDial({ scheduler: realScheduler, ca: roots, proxyFor: () => proxy })(node, NEVER);
    await assert.rejects(dial, {
      message: `the proxy 127.0.0.1:${proxy.port} refused to connect to derp.example:${server.port}: ${failures[i]}`,
    });
  }
  // A proxy that speaks TLS has to be the one named.
  const [, [proxy]] = proxies;
  await assert.rejects(
    createDerpDial({ scheduler: realScheduler, ca: [server.certPem], proxyFor: () => proxy })(node, NEVER),
    /^Error: the proxy 127\.0\.0\.1:\d+ cannot be trusted: it shows a certificate for "proxy\.example" issued by "Test Root"/,
  );
  const clear: WebProxy = { ...proxy, port: plain.port };
  await assert.rejects(
    createDerpDial({ scheduler: realScheduler, ca: roots, proxyFor: () => clear })(node, NEVER),
    /^Error: the proxy 127\.0\.0\.1:\d+ cannot do TLS: /,
  );
});
