/** Texts and expected values: what Go 1.26's net/netip does, whose texts these are. */
import assert from "node:assert/strict";
import {
  CGNAT,
  formatAddrPort,
  formatIp,
  formatPrefix,
  isMapped,
  isMasked,
  isTailscaleIp,
  masked,
  parseAddrPort,
  parseIp,
  parsePrefix,
  prefixContains,
  TAILSCALE_ULA,
  to16,
  unmap,
} from "../../base/ip.ts";
import { SeededRandom } from "../support/random.ts";

type Table = readonly (readonly [text: string, expected: string | undefined])[];

const ADDRESSES: Table = [
  ["1.2.3.4", "1.2.3.4"],
  ["0.0.0.0", "0.0.0.0"],
  ["255.255.255.255", "255.255.255.255"],
  ["256.1.1.1", undefined],
  ["1.2.3", undefined],
  ["1.2.3.4.5", undefined],
  ["01.2.3.4", undefined],
  ["1.2.3.04", undefined],
  ["1..2.3", undefined],
  ["1.2.3.", undefined],
  [".1.2.3", undefined],
  ["1.2.3.4 ", undefined],
  [" 1.2.3.4", undefined],
  ["+1.2.3.4", undefined],
  ["1e1.2.3.4", undefined],
  ["0x1.2.3.4", undefined],
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  ["1:2:3:4:5:6:7:8::", undefined],
  ["1:2:3:4::5:6:7:8", undefined],
  ["1:2:3:4:5:6:7", undefined],
  ["1:2:3:4:5:6:7:8:9", undefined],
  [":1", undefined],
  ["1:", undefined],
  [":::", undefined],
  ["1::2::3", undefined],
  ["12345::", undefined],
  ["g::", undefined],
  ["FD7A:115C:A1E0::AB", "fd7a:115c:a1e0::ab"],
  ["0001:0db8:0000:0000:0000:0000:0000:0001", "1:db8::1"],
  ["00001::", undefined],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["1:0:0:2:0:0:3:0", "1::2:0:0:3:0"],
  ["0:0:1::", "0:0:1::"],
  ["::ffff:1.2.3.4", "::ffff:1.2.3.4"],
  ["::ffff:102:304", "::ffff:1.2.3.4"],
  ["::FFFF:1.2.3.4", "::ffff:1.2.3.4"],
  ["::1.2.3.4", "::102:304"],
  ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
  ["1:2:3:4:5:6:7:1.2.3.4", undefined],
  ["1.2.3.4::", undefined],
  ["::1.2.3.4:5", undefined],
  ["::1.2.3", undefined],
  ["::01.2.3.4", undefined],
  ["::ffff:256.2.3.4", undefined],
  ["fe80::1%eth0", undefined],
  ["[::1]", undefined],
  ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
  ["::ffff:0:0", "::ffff:0.0.0.0"],
  ["::fffe:1.2.3.4", "::fffe:102:304"],
];

const PREFIXES: Table = [
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["10.0.0.0/0", "10.0.0.0/0"],
  ["10.0.0.1/32", "10.0.0.1/32"],
  ["10.0.0.0/33", undefined],
  ["10.0.0.0/08", undefined],
  ["10.0.0.0/", undefined],
  ["10.0.0.0/-1", undefined],
  ["10.0.0.0/+8", undefined],
  ["10.0.0.0/8/8", undefined],
  ["10.0.0/8", undefined],
  ["::/0", "::/0"],
  ["fd7a:115c:a1e0::/48", "fd7a:115c:a1e0::/48"],
  ["::1/128", "::1/128"],
  ["::1/129", undefined],
  ["::ffff:1.2.3.4/120", "::ffff:1.2.3.4/120"],
  ["fe80::1%eth0/64", undefined],
];

const MASKED: Table = [
  ["10.1.2.3/8", "10.0.0.0/8"],
  ["10.1.2.255/25", "10.1.2.128/25"],
  ["255.255.255.255/0", "0.0.0.0/0"],
  ["255.255.255.255/31", "255.255.255.254/31"],
  ["1.2.3.4/32", "1.2.3.4/32"],
  ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/49", "ffff:ffff:ffff:8000::/49"],
  ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/0", "::/0"],
  ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"],
];

const ADDR_PORTS: Table = [
  ["1.2.3.4:5", "1.2.3.4:5"],
  ["1.2.3.4:0", "1.2.3.4:0"],
  ["1.2.3.4:65535", "1.2.3.4:65535"],
  ["1.2.3.4:65536", undefined],
  ["1.2.3.4:", undefined],
  ["1.2.3.4", undefined],
  ["1.2.3.4:-1", undefined],
  ["1.2.3.4:00080", "1.2.3.4:80"],
  ["1.2.3.4:080", "1.2.3.4:80"],
  ["[::1]:41641", "[::1]:41641"],
  ["[::1]:", undefined],
  ["::1:41641", undefined],
  ["[1.2.3.4]:5", undefined],
  ["[fd7a:115c:a1e0::1]:80", "[fd7a:115c:a1e0::1]:80"],
  ["[::ffff:1.2.3.4]:80", "[::ffff:1.2.3.4]:80"],
  ["[fe80::1%eth0]:80", undefined],
  ["[]:80", undefined],
  [":80", undefined],
];

Deno.test("parseIp() and formatIp() read and print what net/netip does", () => {
  for (const [text, expected] of ADDRESSES) {
    const ip = parseIp(text);
    assert.equal(ip && formatIp(ip), expected, text);
  }
});

Deno.test("parsePrefix() and formatPrefix() read and print what net/netip does, and take a bare address", () => {
  for (const [text, expected] of PREFIXES) {
    const prefix = parsePrefix(text);
    assert.equal(prefix && formatPrefix(prefix), expected, text);
  }
  assert.equal(formatPrefix(parsePrefix("1.2.3.4")!), "1.2.3.4/32");
  assert.equal(formatPrefix(parsePrefix("::1")!), "::1/128");
});

Deno.test("masked() and isMasked() agree with net/netip's Prefix.Masked", () => {
  for (const [text, expected] of MASKED) {
    const prefix = parsePrefix(text)!;
    assert.equal(formatPrefix(masked(prefix)), expected, text);
    assert.equal(isMasked(prefix), text === expected, text);
    assert.equal(isMasked(masked(prefix)), true, text);
  }
});

Deno.test("parseAddrPort() and formatAddrPort() read and print what net/netip does", () => {
  for (const [text, expected] of ADDR_PORTS) {
    const parsed = parseAddrPort(text);
    assert.equal(parsed && formatAddrPort(parsed), expected, text);
  }
});

Deno.test("formatIp() and parseIp() are inverse on random addresses with many zeros", () => {
  const random = new SeededRandom(6);
  for (let i = 0; i < 20_000; i++) {
    const ip = random.bytes(random.chance(0.2) ? 4 : 16);
    for (let at = 0; at < ip.length; at++) if (random.chance(0.6)) ip[at] = 0;
    assert.deepEqual(parseIp(formatIp(ip)), ip);
  }
});

Deno.test("parseIp() never throws on random text", () => {
  const random = new SeededRandom(7);
  const letters = [..."0123456789abcfF::::....%/[] xg"];
  for (let i = 0; i < 50_000; i++) {
    const text = Array.from({ length: random.int(24) }, () => random.pick(letters)).join("");
    const ip = parseIp(text);
    if (ip !== undefined) assert.deepEqual(parseIp(formatIp(ip)), ip, text);
    parsePrefix(text);
    parseAddrPort(text);
  }
});

Deno.test("prefixContains() compares the counted bits only, and never across families", () => {
  const random = new SeededRandom(8);
  for (let i = 0; i < 5000; i++) {
    const length = random.pick([4, 16]);
    const prefix = { ip: random.bytes(length), bits: random.int(length * 8 + 1) };
    const ip = prefix.ip.slice();
    assert.equal(prefixContains(prefix, ip), true);
    const bit = random.int(length * 8);
    ip[bit >> 3] ^= 0x80 >> (bit & 7);
    assert.equal(prefixContains(prefix, ip), bit >= prefix.bits, `bit ${bit} of ${formatPrefix(prefix)}`);
  }
  assert.equal(prefixContains(parsePrefix("0.0.0.0/0")!, parseIp("::1")!), false);
  assert.equal(prefixContains(parsePrefix("::/0")!, parseIp("1.2.3.4")!), false);
});

Deno.test("unmap() and to16() turn IPv4 into its mapped form and back", () => {
  const ip = parseIp("1.2.3.4")!;
  assert.equal(isMapped(to16(ip)), true);
  assert.deepEqual(unmap(to16(ip)), ip);
  const six = parseIp("::fffe:1.2.3.4")!;
  assert.equal(unmap(six), six);
  assert.deepEqual(to16(six), six);
  assert.equal(isMapped(ip), false);
});

Deno.test("isTailscaleIp() takes 100.64.0.0/10 without Chrome OS's own network, and Tailscale's ULA", () => {
  const expected: Record<string, boolean> = {
    "100.64.0.0": true,
    "100.127.255.255": true,
    "100.63.255.255": false,
    "100.128.0.0": false,
    "100.115.91.255": true,
    "100.115.92.0": false,
    "100.115.93.255": false,
    "100.115.94.0": true,
    "10.0.0.1": false,
    "fd7a:115c:a1e0::": true,
    "fd7a:115c:a1e0:ffff::1": true,
    "fd7a:115c:a1e1::": false,
    "::ffff:100.64.0.1": false,
  };
  for (const [text, yes] of Object.entries(expected)) assert.equal(isTailscaleIp(parseIp(text)!), yes, text);
  assert.equal(formatPrefix(CGNAT), "100.64.0.0/10");
  assert.equal(formatPrefix(TAILSCALE_ULA), "fd7a:115c:a1e0::/48");
});
