import assert from "node:assert/strict";
import { problemLine } from "../../../daemon/config/hujson.ts";
import { CONFIG_KEYS, CONFIG_NAMES } from "../../../daemon/config/keys.ts";
import { loadConfig, parseConfigSource } from "../../../daemon/config/load.ts";
import { editDistance } from "../../../daemon/config/near.ts";
import { namesOf, readConfig } from "../../../daemon/config/read.ts";
import type { Config } from "../../../daemon/config/read.ts";
import { SeededRandom } from "../../support/random.ts";

/** Every key of alpha0 as ipn/conf.go has it, and ours. */
const WHOLE = `// A server.
{
  "$schema": "agent.schema.json",
  "version": "alpha0",
  "Locked": false, /* for now */
  "ServerURL": "https://control.example.com",
  "AuthKey": "file:/run/secrets/key",
  "Enabled": true,
  "OperatorUser": "ann",
  "Hostname": "web1",
  "acceptDNS": false,
  "acceptRoutes": true,
  "exitNode": "",
  "allowLANWhileUsingExitNode": true,
  "AdvertiseRoutes": ["10.1.0.0/24", "0.0.0.0/0", "fd00:1::/64", "10.1.0.0/24"],
  "DisableSNAT": true,
  "AdvertiseServices": ["svc:web"],
  "AppConnector": {"Advertise": true},
  "NetfilterMode": "nodivert",
  "NoStatefulFiltering": false,
  "PostureChecking": false,
  "RunSSHServer": true,
  "RunWebClient": false,
  "ShieldsUp": true,
  "RemoteConfig": false,
  "AutoUpdate": {"Check": true, "Apply": null},
  "ServeConfigTemp": {"TCP": {"443": {"HTTPS": true}}},
  "StaticEndpoints": ["192.0.2.1:41641", "[2001:db8::1]:41641"],
  "RelayServerPort": 0,
  "RelayServerStaticEndpoints": ["192.0.2.1:7777"],
  "AdvertiseTags": ["tag:web"],
  "Nickname": "work",
  "Sync": true,
  "LockRequired": true,
  "LockPins": ["1:2"],
  "LogLevel": "debug",
  "Instance": "work",
  "Port": 41642,
  "CAFile": "/etc/ssl/own.pem",
  "LogFormat": "json",
  "ExpiryWarning": "14d",
  "ExpiryHook": "/usr/local/sbin/renew-key",
}
`;

function lines(text: string): string[] {
  const read = readConfig(text);
  return read.ok ? [] : read.problems.map((problem) => problemLine("f", text, problem));
}

function good(text: string): Config {
  const read = readConfig(text);
  assert.deepEqual(read.ok ? [] : read.problems, []);
  return (read as { config: Config }).config;
}

Deno.test("readConfig() takes every key, with comments and trailing commas", () => {
  const read = readConfig(WHOLE);
  assert.ok(read.ok, JSON.stringify(read));
  const { AuthKey, ...rest } = read.config;
  assert.equal(AuthKey?.reveal(), "file:/run/secrets/key");
  assert.deepEqual(namesOf(read.config).toSorted(), [...CONFIG_NAMES].toSorted());
  assert.deepEqual(rest.AdvertiseRoutes, ["10.1.0.0/24", "fd00:1::/64"]);
  assert.equal(rest.AdvertiseExitNode, true, "the routes of an exit node are its own key's");
  assert.equal(rest.RelayServerPort, 0);
  assert.equal(rest.AppConnector, true);
  const warned = read.warnings.map((problem) => problemLine("f", WHOLE, problem));
  assert.deepEqual(warned.map((line) => line.replace(/ (is|does) .*/, "")), [
    "f:17:3: AdvertiseServices",
    "f:18:3: AppConnector",
    "f:22:3: RunSSHServer",
    "f:27:3: ServeConfigTemp",
  ]);
});

Deno.test("readConfig() takes keys in any case, as Go does, and null for a key that is left out", () => {
  const config = good('{"Version": "alpha0", "hostname": "a", "AcceptDNS": true, "SHIELDSUP": null}');
  assert.deepEqual(config, { version: "alpha0", Hostname: "a", acceptDNS: true });
});

Deno.test("mistakes have line, column, key, what was seen and what is wanted, all of them at once", () => {
  assert.deepEqual(
    lines(`{
  "version": "alpha1",
  "Hostname": 5,
  "acceptDSN": true,
  "accept-routes": true,
  "login-server": "x", "quux": 1,
  "AdvertiseRoutes": ["10.1.0.5/24", "x"],
  "AdvertiseTags": ["web"],
  "Port": 70000,
  "StaticEndpoints": ["192.0.2.1"],
  "ServerURL": "ftp://x",
  "AutoUpdate": {"Apply": true},
  "AppConnector": {"Advertize": true},
  "NetfilterMode": "maybe",
  "LockPins": ["zzz"],
  "AuthKey": 17,
  "Hostname": "again"
}`),
    [
      'f:2:14: version: saw "alpha1", want "alpha0"',
      "f:3:15: Hostname: saw 5, want a host name: labels of up to 63 letters, digits and inner dashes",
      'f:4:3: unknown key "acceptDSN"; did you mean "acceptDNS"?',
      'f:5:3: unknown key "accept-routes"; did you mean "acceptRoutes"?',
      'f:6:3: unknown key "login-server"; did you mean "ServerURL"?',
      "f:6:24: unknown key \"quux\"; 'agent config schema' lists the keys",
      'f:7:23: AdvertiseRoutes: saw "10.1.0.5/24", want 10.1.0.0/24: no bits of a host',
      'f:7:38: AdvertiseRoutes: saw "x", want a prefix, as 10.1.0.0/24',
      'f:8:21: AdvertiseTags: saw "web", want tags, as tag:server',
      "f:9:11: Port: saw 70000, want a port, 0 to 65535",
      'f:10:23: StaticEndpoints: saw "192.0.2.1", want IP:port',
      'f:11:16: ServerURL: saw "ftp://x", want an https:// or http:// URL',
      "f:12:27: AutoUpdate: saw true, want false: auto-updates are not supported on this platform",
      'f:13:20: AppConnector: saw "Advertize", want Advertise',
      'f:14:20: NetfilterMode: saw "maybe", want "on" or "nodivert" or "off"',
      'f:15:16: LockPins: saw "zzz", want lock pins: an AUM hash (52 characters of base32), tlpub:… or id1:id2',
      "f:16:14: AuthKey: saw a number, want an auth key, or file: and the path of a file with it",
      "f:17:3: Hostname is there twice",
    ],
  );
});

Deno.test("text that is no HuJSON is told by its first mistake", () => {
  assert.deepEqual(lines('{\n  "version": "alpha0"\n  "Hostname": "a"\n}'), [
    'f:3:3: want "," between two values',
  ]);
  assert.deepEqual(lines('{"version": "alpha0"} {}'), ["f:1:23: want nothing behind the end of the object"]);
  assert.match(lines('{"version": "alpha0", Hostname: 1}')[0], /^f:1:23: .*double quotes/);
  assert.deepEqual(lines(""), ['f: it is empty, want at least {"version": "alpha0"}']);
  assert.deepEqual(lines("{}"), ['f:1:1: no "version"; want "version": "alpha0"']);
  assert.deepEqual(lines("[]"), ["f:1:1: saw a list, want an object"]);
  assert.deepEqual(lines("[".repeat(100_000)), ["f: it is nested too deeply"]);
  assert.match(lines(" ".repeat(2 << 20))[0], /at most/);
});

Deno.test("what cannot be together is refused, and an auth key is never printed", () => {
  assert.deepEqual(lines('{"version": "alpha0", "exitNode": "100.64.0.9", "AdvertiseExitNode": true}'), [
    "f: Cannot advertise an exit node and use an exit node at the same time.",
  ]);
  const config = good('{"version": "alpha0", "AuthKey": "tskey-auth-secret"}');
  assert.doesNotMatch(JSON.stringify(config) + Deno.inspect(config), /tskey/);
});

Deno.test("readConfig() never throws, whatever became of a file (seed 7)", () => {
  const random = new SeededRandom(7);
  const bytes = (count: number) => random.bytes(count);
  for (let i = 0; i < 2_000; i++) {
    const [a, b, c, d] = bytes(4);
    const at = ((a << 8) | b) % WHOLE.length;
    const text = WHOLE.slice(0, at) + String.fromCharCode(c) + WHOLE.slice(at + d % 8);
    const read = readConfig(text);
    if (!read.ok) {
      for (const problem of read.problems) assert.match(problemLine("f", text, problem), /^f[:\d]*: .+$/s);
    }
  }
});

Deno.test("editDistance() is that of a slow twin", () => {
  const twin = (a: string, b: string): number => {
    if (a === "" || b === "") return a.length + b.length;
    const change = twin(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1);
    const swap = a.length > 1 && a[0] === b[1] && a[1] === b[0] ? twin(a.slice(2), b.slice(2)) + 1 : Infinity;
    return Math.min(change, swap, twin(a.slice(1), b) + 1, twin(a, b.slice(1)) + 1);
  };
  const random = new SeededRandom(3);
  const word = () => [...random.bytes(1 + random.bytes(1)[0] % 5)].map((byte) => "abc"[byte % 3]).join("");
  for (let i = 0; i < 300; i++) {
    const [a, b] = [word(), word()];
    assert.equal(editDistance(a, b), twin(a, b), `${a} ${b}`);
  }
});

Deno.test("loadConfig() tells a file that is not there from one that may not be there", () => {
  const source = (text: string) => parseConfigSource(text)!;
  assert.deepEqual(source("optional:/x"), { path: "/x", optional: true });
  assert.equal(parseConfigSource("vm:user-data"), undefined);
  assert.equal(parseConfigSource("optional:"), undefined);
  assert.deepEqual(loadConfig(source("optional:/nonexistent/x")), { kind: "absent" });
  const missing = loadConfig(source("/nonexistent/x"));
  assert.match(missing.kind === "bad" ? missing.lines[0] : "", /^Cannot read \/nonexistent\/x: No such file/);
  const latin = loadConfig(source("/x"), () => new Uint8Array([0x7b, 0xe4, 0x7d]));
  assert.deepEqual(latin, { kind: "bad", lines: ["/x: it is not UTF-8 text"] });
  const many = `{${Array.from({ length: 30 }, (_, i) => `"zzz${i}": 1`)}}`;
  const bad = loadConfig(source("/x"), () => new TextEncoder().encode(many));
  assert.equal(bad.kind === "bad" && bad.lines.at(-1), "/x: and 11 more");
});

Deno.test("every key says what it is for", () => {
  for (const name of CONFIG_NAMES) assert.match(CONFIG_KEYS[name].help, /^[A-Z].*[^.]$/, name);
});
