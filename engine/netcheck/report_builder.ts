/** A report while it is being found out. */
import { formatAddrPort, parseIp } from "../../base/ip.ts";
import type { AddrPort } from "../../base/ip.ts";
import type { DERPNode } from "../../derp/derp_map.ts";
import type { Family } from "./probe_plan.ts";
import { EMPTY_REPORT } from "./report.ts";
import type { OptBool, Report } from "./report.ts";

function keepLower(latencies: Map<number, number>, region: number, ms: number): void {
  latencies.set(region, Math.min(ms, latencies.get(region) ?? Infinity));
}

/** Collects answers. */
export class ReportBuilder {
  readonly #osHasIpv6: boolean;
  readonly #latency = new Map<number, number>();
  readonly #v4Latency = new Map<number, number>();
  readonly #v6Latency = new Map<number, number>();
  readonly #v4Counters = new Map<string, number>();
  readonly #v6Counters = new Map<string, number>();
  readonly #canSend = new Set<Family>();
  #globalV4 = "";
  /** The server that saw `#globalV4`. */
  #globalV4By = "";
  #globalV6 = "";
  #mappingVaries: OptBool;
  #udp = false;
  #httpsV4 = false;
  #httpsV6 = false;
  #icmpV4 = false;

  constructor(osHasIpv6: boolean) {
    this.#osHasIpv6 = osHasIpv6;
  }

  /** A STUN answer arrived. */
  get udp(): boolean {
    return this.#udp;
  }

  get regions(): number {
    return this.#latency.size;
  }

  get slowestMs(): number {
    return Math.max(0, ...this.#latency.values());
  }

  sent(family: Family): void {
    this.#canSend.add(family);
  }

  /** Whether one more answer of this region and family would tell anything new. */
  wouldHelp(region: number, family: Family): boolean {
    if (!this.#latency.has(region)) return true;
    // Two answers over IPv4, from different servers, show whether the NAT's mapping depends on the destination.
    return family === 6 ? this.#v6Latency.size === 0 : this.#mappingVaries === undefined;
  }

  /** A STUN answer: the server asked (`ip:port`), the address it saw, and how long it took. */
  stun(region: number, server: string, mapped: AddrPort, ms: number): void {
    this.#udp = true;
    keepLower(this.#latency, region, ms);
    const text = formatAddrPort(mapped);
    if (mapped.ip.length === 16) {
      keepLower(this.#v6Latency, region, ms);
      this.#v6Counters.set(text, (this.#v6Counters.get(text) ?? 0) + 1);
      this.#globalV6 = text;
      return;
    }
    keepLower(this.#v4Latency, region, ms);
    this.#v4Counters.set(text, (this.#v4Counters.get(text) ?? 0) + 1);
    if (this.#globalV4 === "") {
      this.#globalV4 = text;
      this.#globalV4By = server;
    } else if (this.#globalV4 !== text) this.#mappingVaries = true;
    // The same server twice says nothing about other destinations.
    else if (this.#globalV4By !== server) this.#mappingVaries ??= false;
  }

  /** A relay answered over HTTPS. Which family carried it is known only when the node has but one. */
  https(region: number, node: DERPNode, ms: number): void {
    keepLower(this.#latency, region, ms);
    const literal = parseIp(node.HostName)?.length;
    if (node.IPv6 === "none" || literal === 4) this.#httpsV4 = true;
    if (node.IPv4 === "none" || literal === 16) this.#httpsV6 = true;
  }

  /** A relay answered an ICMP echo, over IPv4. */
  icmp(region: number, ms: number): void {
    keepLower(this.#latency, region, ms);
    this.#icmpV4 = true;
  }

  /** The report so far, without a home. @param now Unix milliseconds. */
  finish(now: number): Report {
    return {
      ...EMPTY_REPORT,
      now,
      udp: this.#udp,
      ipv4: this.#v4Latency.size > 0 || this.#httpsV4 || this.#icmpV4,
      ipv6: this.#v6Latency.size > 0 || this.#httpsV6,
      ipv4CanSend: this.#canSend.has(4),
      ipv6CanSend: this.#canSend.has(6),
      osHasIpv6: this.#osHasIpv6,
      icmpv4: this.#icmpV4,
      mappingVariesByDestIp: this.#mappingVaries,
      regionLatency: new Map(this.#latency),
      regionV4Latency: new Map(this.#v4Latency),
      regionV6Latency: new Map(this.#v6Latency),
      globalV4: this.#globalV4,
      globalV6: this.#globalV6,
      globalV4Counters: new Map(this.#v4Counters),
      globalV6Counters: new Map(this.#v6Counters),
    };
  }
}
