import assert from "node:assert/strict";
import { checkOptions } from "../../../control/server/coordinator_options.ts";
import type { CoordinatorOptions } from "../../../control/server/coordinator_options.ts";
import { isPrivateHost, OptionError, parseListen, parseServerUrl } from "../../../control/server/listen_policy.ts";

const check = (options: Partial<CoordinatorOptions>) => checkOptions({ stateDir: "/nowhere", ...options });
const TLS = { tlsCert: "cert", tlsKey: "key" };

Deno.test("parseListen() takes host:port, [ipv6]:port and :port", () => {
  assert.deepEqual(parseListen("--listen", "1.2.3.4:80"), { host: "1.2.3.4", port: 80 });
  assert.deepEqual(parseListen("--listen", "[::1]:0"), { host: "::1", port: 0 });
  assert.deepEqual(parseListen("--listen", ":443"), { host: "", port: 443 });
  for (const text of ["", "80", "host", "::1:80", "host:70000", "host:x"]) {
    assert.throws(() => parseListen("--listen", text), OptionError, text);
  }
});

Deno.test("isPrivateHost() knows loopback, private, shared and link-local addresses", () => {
  const here = [
    "127.0.0.1",
    "::1",
    "localhost",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fd00::1",
    "fe80::1",
  ];
  for (const host of here) assert.equal(isPrivateHost(host), true, host);
  for (const host of ["", "0.0.0.0", "::", "8.8.8.8", "172.32.0.1", "2001:db8::1", "example.com", "::ffff:8.8.8.8"]) {
    assert.equal(isPrivateHost(host), false, host);
  }
});

Deno.test("checkOptions() refuses plain http beyond loopback and private addresses (W12)", () => {
  const refused: Partial<CoordinatorOptions>[] = [
    { listen: "0.0.0.0:80", serverUrl: "http://10.0.0.1" },
    { listen: ":80", serverUrl: "https://tailnet.example.com" },
    { listen: "8.8.8.8:80" },
    { listen: "127.0.0.1:80", serverUrl: "http://tailnet.example.com" },
    { ...TLS, serverUrl: "http://tailnet.example.com" },
  ];
  for (const options of refused) {
    assert.throws(() => check(options), /--insecure-http/, JSON.stringify(options));
    assert.doesNotThrow(() => check({ ...options, insecureHttp: true }));
  }
  const fine: Partial<CoordinatorOptions>[] = [
    {},
    { listen: "10.0.0.1:80" },
    { listen: "[fd00::1]:80" },
    { listen: "127.0.0.1:80", serverUrl: "https://tailnet.example.com" },
    { ...TLS, serverUrl: "https://tailnet.example.com" },
  ];
  for (const options of fine) assert.doesNotThrow(() => check(options), JSON.stringify(options));
});

Deno.test("checkOptions() puts the relay on the TLS listener, or beside a plain one", () => {
  assert.equal(check({ ...TLS, serverUrl: "https://t.example.com" }).derpListen, undefined);
  assert.deepEqual(check({ ...TLS, serverUrl: "https://t.example.com", derpListen: ":9" }).derpListen, {
    host: "",
    port: 9,
  });
  assert.deepEqual(check({ listen: "10.0.0.1:80" }).derpListen, { host: "10.0.0.1", port: 8443 });
  assert.deepEqual(check({ listen: "10.0.0.1:80" }).stunListen, { host: "10.0.0.1", port: 3478 });
  const proxied = check({ listen: "127.0.0.1:80", serverUrl: "https://t.example.com" });
  assert.deepEqual([proxied.derpListen, proxied.stunListen], [{ host: "", port: 8443 }, { host: "", port: 3478 }]);
  assert.equal(check({ stunListen: "off" }).stunListen, undefined);
  assert.deepEqual(check({ ...TLS, serverUrl: "https://t.example.com" }).listen, { host: "", port: 443 });
});

Deno.test("checkOptions() names what is wrong with the other options", () => {
  assert.throws(() => check({ tlsCert: "x" }), /give both/);
  assert.throws(() => check(TLS), /add --server-url/);
  assert.throws(() => check({ magicDnsDomain: "nodots" }), /--magic-dns-domain nodots/);
  assert.throws(() => check({ magicDnsDomain: "a b.c" }), OptionError);
  assert.equal(check({ magicDnsDomain: "Tail.Example." }).magicDnsDomain, "tail.example");
  assert.throws(() => check({ keyExpiryMs: -1 }), /--key-expiry/);
  assert.equal(check({ keyExpiryMs: 0 }).keyExpiryMs, undefined);
  for (const url of ["ftp://x", "x", "https://x/path", "https://u:p@x", "https://x?q"]) {
    assert.throws(() => parseServerUrl(url), OptionError, url);
  }
});
