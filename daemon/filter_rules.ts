/**
 * The tailnet's packet-filter rules as the engine compiles them: prefixes instead of ranges, `*` and capabilities.
 *
 * What cannot be read narrows the filter, never widens it: an unreadable source or destination is left out, a rule of
 * nothing but unreadable protocols matches nothing. Source: tailcfg.FilterRule; wgengine/filter/tailcfg.go.
 */
import { formatPrefix, isMasked, parseIp, parsePrefix } from "../base/ip.ts";
import type { IpBytes, Prefix } from "../base/ip.ts";
import type { FilterRule, Node } from "../control/wire/tailcfg.ts";
import type { FilterDestination, FilterRuleConfig } from "../engine/config.ts";

/** Rules for the engine, and what could not be read, for the log. */
export interface CompiledRules {
  readonly rules: readonly FilterRuleConfig[];
  readonly problems: readonly string[];
}

const EVERYTHING = ["0.0.0.0/0", "::/0"];

function toNumber(ip: IpBytes): bigint {
  let value = 0n;
  for (const byte of ip) value = value << 8n | BigInt(byte);
  return value;
}

function toIp(value: bigint, length: number): IpBytes {
  const ip = new Uint8Array(length);
  for (let i = length - 1; i >= 0; i--, value >>= 8n) ip[i] = Number(value & 0xffn);
  return ip;
}

/** The fewest prefixes that cover the addresses from `first` to `last`, both included; none when out of order. */
export function rangePrefixes(first: IpBytes, last: IpBytes): Prefix[] {
  const prefixes: Prefix[] = [];
  if (first.length !== last.length) return prefixes;
  const width = first.length * 8;
  const end = toNumber(last);
  for (let at = toNumber(first); at <= end;) {
    // The largest block that begins here: as aligned as `at` is, and no further than the end.
    let free = 0;
    while (free < width && (at >> BigInt(free) & 1n) === 0n && at + (2n << BigInt(free)) - 1n <= end) free++;
    prefixes.push({ ip: toIp(at, first.length), bits: width - free });
    at += 1n << BigInt(free);
  }
  return prefixes;
}

/** Prefixes of an address, prefix, range or `*`; undefined when it is none of them. */
export function addressSet(text: string): readonly string[] | undefined {
  if (text === "*") return EVERYTHING;
  if (text.includes("/")) {
    const prefix = parsePrefix(text);
    return prefix !== undefined && isMasked(prefix) ? [formatPrefix(prefix)] : undefined;
  }
  const ends = text.split("-");
  if (ends.length === 2) {
    const [first, last] = [parseIp(ends[0]), parseIp(ends[1])];
    if (first === undefined || last === undefined) return undefined;
    const prefixes = rangePrefixes(first, last);
    return prefixes.length > 0 ? prefixes.map(formatPrefix) : undefined;
  }
  const ip = parseIp(text);
  return ip === undefined ? undefined : [formatPrefix({ ip, bits: ip.length * 8 })];
}

/** The addresses of the peers that have a capability. */
function holders(peers: Iterable<Node>, capability: string): string[] {
  const addresses: string[] = [];
  for (const peer of peers) {
    if (peer.CapMap !== undefined && Object.hasOwn(peer.CapMap, capability)) addresses.push(...peer.Addresses ?? []);
  }
  return addresses;
}

function sourcesOf(rule: FilterRule, peers: Iterable<Node>, problems: string[]): string[] {
  const sources: string[] = [];
  for (const text of rule.SrcIPs ?? []) {
    const set = text.startsWith("cap:") ? holders(peers, text.slice(4)) : addressSet(text);
    if (set === undefined) problems.push(`source ${JSON.stringify(text)} of a filter rule is not an address`);
    else sources.push(...set);
  }
  return sources;
}

function destinationsOf(rule: FilterRule, problems: string[]): FilterDestination[] {
  const destinations: FilterDestination[] = [];
  for (const { IP, Ports } of rule.DstPorts ?? []) {
    const set = addressSet(IP);
    if (set === undefined) {
      problems.push(`destination ${JSON.stringify(IP)} of a filter rule is not an address`);
      continue;
    }
    for (const prefix of set) destinations.push({ prefix, first: Ports.First, last: Ports.Last });
  }
  return destinations;
}

/** Compiles all rules. `peers` are those the lock accepted: a capability of another admits nobody. */
export function compileRules(rules: readonly FilterRule[], peers: Iterable<Node>): CompiledRules {
  const problems: string[] = [];
  const compiled: FilterRuleConfig[] = [];
  for (const rule of rules) {
    if ((rule.SrcBits?.length ?? 0) > 0 || rule.DstPorts?.some((destination) => destination.Bits !== undefined)) {
      // An old form with another meaning of the addresses: Tailscale refuses the whole filter too.
      return {
        rules: [],
        problems: ["a filter rule has SrcBits or Bits, which control must not send; all is blocked"],
      };
    }
    const listed = rule.IPProto ?? [];
    const protocols = listed.filter((protocol) => Number.isInteger(protocol) && protocol >= 0 && protocol <= 255);
    if (listed.length > 0 && protocols.length === 0) {
      problems.push(`a filter rule has no IP protocol that can be read: ${JSON.stringify(listed)}`);
      continue;
    }
    const sources = sourcesOf(rule, peers, problems);
    const destinations = destinationsOf(rule, problems);
    if (sources.length > 0 && destinations.length > 0) compiled.push({ sources, destinations, protocols });
  }
  return { rules: compiled, problems };
}
