/** The filter again, slow and clear: prefixes as text, bytes compared one by one, flows in a Map. */
import type { Drop } from "../../../base/drops.ts";
import { type IpBytes, parsePrefix, prefixContains } from "../../../base/ip.ts";
import type { FilterConfig, FilterRuleConfig } from "../../../engine/config.ts";
import type { Packet } from "../../../engine/packet.ts";

function address(version: number, words: number[]): IpBytes {
  const bytes = new Uint8Array(version === 4 ? 4 : 16);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < bytes.length / 4; i++) view.setUint32(i * 4, words[i]);
  return bytes;
}

const sourceOf = (p: Packet) => address(p.version, [p.src0, p.src1, p.src2, p.src3]);
const destinationOf = (p: Packet) => address(p.version, [p.dst0, p.dst1, p.dst2, p.dst3]);
const inside = (prefix: string, ip: Uint8Array) => prefixContains(parsePrefix(prefix)!, ip);

/** Flows by text, oldest first. */
export class SlowFlows {
  readonly #seen = new Map<string, true>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  #touch(key: string): void {
    this.#seen.delete(key);
    this.#seen.set(key, true);
    if (this.#seen.size > this.#max) this.#seen.delete(this.#seen.keys().next().value!);
  }

  remember(p: Packet): void {
    this.#touch(`${p.version} ${p.protocol} ${destinationOf(p)} ${p.dstPort} ${sourceOf(p)} ${p.srcPort}`);
  }

  answers(p: Packet): boolean {
    const key = `${p.version} ${p.protocol} ${sourceOf(p)} ${p.srcPort} ${destinationOf(p)} ${p.dstPort}`;
    if (!this.#seen.has(key)) return false;
    this.#touch(key);
    return true;
  }
}

function ruleAdmits(rule: FilterRuleConfig, p: Packet, kind: "ports" | "addresses" | "all ports"): boolean {
  const protocols = rule.protocols.length === 0 ? [6, 17, 1, 58] : rule.protocols;
  if (kind !== "addresses" && !protocols.includes(p.protocol)) return false;
  if (!rule.sources.some((prefix) => inside(prefix, sourceOf(p)))) return false;
  return rule.destinations.some(({ prefix, first, last }) => {
    if (!inside(prefix, destinationOf(p))) return false;
    if (kind === "ports") return first <= p.dstPort && p.dstPort <= last;
    return kind === "addresses" || (first === 0 && last === 65535);
  });
}

/** What may not be a destination in either direction. */
export function checkDestinationSlow(p: Packet): Drop | undefined {
  const to = destinationOf(p);
  if (inside("224.0.0.0/4", to) || inside("ff00::/8", to)) return "filter-multicast";
  if (inside("169.254.169.254/32", to)) return undefined;
  return inside("169.254.0.0/16", to) || inside("fe80::/10", to) ? "filter-link-local" : undefined;
}

/** The verdict on an incoming packet. */
export function checkInSlow(config: FilterConfig, flows: SlowFlows, p: Packet): Drop | undefined {
  const wrong = checkDestinationSlow(p);
  if (wrong !== undefined) return wrong;
  if (!config.local.some((prefix) => inside(prefix, destinationOf(p)))) return "filter-destination";
  if (p.fragment === "later") return undefined;
  const rules = config.shieldsUp ? [] : config.rules;
  const some = (kind: "ports" | "addresses" | "all ports") => rules.some((rule) => ruleAdmits(rule, p, kind));
  const name = `${p.protocol} in IPv${p.version}`;
  const icmp = `${p.icmpType}/${p.icmpCode}`;
  let admitted: boolean;
  if (p.protocol === 6) {
    const syn = (p.tcpFlags & 0x02) !== 0;
    const ack = (p.tcpFlags & 0x10) !== 0;
    admitted = !syn || ack || some("ports");
  } else if (p.protocol === 17 || p.protocol === 132) admitted = flows.answers(p) || some("ports");
  else if (p.protocol === 99) admitted = true;
  else if (name === "1 in IPv4") admitted = /^(0\/0|(3|11|12)\/\d+)$/.test(icmp) || some("addresses");
  else if (name === "58 in IPv6") admitted = /^(129\/0|[1-4]\/\d+)$/.test(icmp) || some("addresses");
  else admitted = some("all ports");
  if (admitted) return undefined;
  return config.shieldsUp ? "filter-shields" : "filter-acl";
}
