/**
 * `debug via`: IPv4 networks that several sites have alike, as IPv6 prefixes that differ ("4via6").
 *
 *   fd7a:115c:a1e0:0b1a:0000:SSSS:AABB:CCDD/(96 + bits)    SSSS the site, AABB:CCDD the IPv4 network
 *
 * Source: net/tsaddr (MapVia, UnmapVia), cmd/tailscale/cli/debug.go (runVia).
 */
import { formatIp, formatPrefix, isMasked, parsePrefix } from "../../base/ip.ts";
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

const RANGE = [0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0x0b, 0x1a];
const MAX_SITE = 0xffff;

function mapVia(site: number, cidr: string): string {
  const prefix = parsePrefix(cidr);
  if (prefix === undefined || prefix.ip.length !== 4 || !cidr.includes("/")) {
    throw new UsageError(`"${cidr}" is not an IPv4 prefix`);
  }
  if (!isMasked(prefix)) throw new UsageError(`${cidr} has non-address bits set`);
  const ip = new Uint8Array(16);
  ip.set(RANGE);
  new DataView(ip.buffer).setUint32(8, site);
  ip.set(prefix.ip, 12);
  return formatPrefix({ ip, bits: 96 + prefix.bits });
}

function unmapVia(text: string): string {
  const prefix = parsePrefix(text);
  if (prefix === undefined || prefix.bits < 96 || !RANGE.every((byte, i) => prefix.ip[i] === byte)) {
    throw new UsageError(`"${text}" is not a 4via6 prefix`);
  }
  const site = new DataView(prefix.ip.buffer).getUint32(8);
  return `site ${site} (0x${site.toString(16)}), ${formatIp(prefix.ip.subarray(12))}/${prefix.bits - 96}`;
}

export const via: Verb & { readonly summary: string } = {
  summary: "Convert between site-specific IPv4 networks and IPv6 'via' routes",
  help: `Usage: {program} debug via SITE IPV4-PREFIX
       {program} debug via IPV6-PREFIX

SITE is a number up to ${MAX_SITE}.
`,
  run(args) {
    const [first, second] = args;
    if (args.length === 1) print(`${unmapVia(first)}\n`);
    else if (args.length === 2 && /^(0x[0-9a-fA-F]+|[0-9]+)$/.test(first) && Number(first) <= MAX_SITE) {
      print(`${mapVia(Number(first), second)}\n`);
    } else throw new UsageError(`want a site up to ${MAX_SITE} and an IPv4 prefix, or an IPv6 prefix`);
    return Promise.resolve(EXIT_OK);
  },
};
