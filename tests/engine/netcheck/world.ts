/** A scripted Internet for netcheck: STUN servers with latencies, a NAT, relays that answer HTTPS or do not. */
import { formatIp, parseAddrPort } from "../../../base/ip.ts";
import type { DERPMap, DERPNode, DERPRegion } from "../../../derp/derp_map.ts";
import { encodeStunResponse, parseStunRequest } from "../../../derp/stun.ts";
import type { WebAnswer } from "../../../engine/netcheck/captive_portal.ts";
import { Netcheck } from "../../../engine/netcheck/netcheck.ts";
import type { NetcheckOptions } from "../../../engine/netcheck/netcheck.ts";
import type { Report } from "../../../engine/netcheck/report.ts";
import { FakeScheduler } from "../../support/fake_scheduler.ts";
import { SeededRandom } from "../../support/random.ts";

export interface StunHost {
  latencyMs: number;
  /** Requests still to be lost. */
  lose?: number;
  /** What this server sees; the NAT's usual mapping when absent. */
  mapped?: string;
}

/** Region `id` with one node at 192.0.2.id and 2001:db8::id. */
export function region(id: number, more: Partial<DERPRegion> = {}, node: Partial<DERPNode> = {}): DERPRegion {
  return {
    RegionID: id,
    RegionCode: `r${id}`,
    RegionName: `Region ${id}`,
    Nodes: [{
      Name: `${id}a`,
      RegionID: id,
      HostName: `r${id}.example`,
      IPv4: `192.0.2.${id}`,
      IPv6: `2001:db8::${id}`,
      ...node,
    }],
    ...more,
  };
}

export function mapOf(...regions: DERPRegion[]): DERPMap {
  return { Regions: Object.fromEntries(regions.map((each) => [each.RegionID, each])) };
}

export class World {
  readonly scheduler = new FakeScheduler();
  readonly random = new SeededRandom(5);
  /** By `ip:port`; an address that is not here never answers. */
  readonly stun = new Map<string, StunHost>();
  /** HTTPS latencies by node name. */
  readonly https = new Map<string, number>();
  /** ICMP latencies by address, 192.0.2.1. */
  readonly icmp = new Map<string, number>();
  /** What the router maps ports by. */
  services = { upnp: false, pmp: false, pcp: false };
  /** What web servers answer, by the challenge sent; without it none does. */
  web: ((challenge: string) => WebAnswer) | undefined;
  readonly askedWeb: { at: number; url: string }[] = [];
  readonly dns = new Map<string, string[]>();
  readonly sent: { at: number; to: string }[] = [];
  readonly askedByHttps: string[] = [];
  local = { v4: true, v6: true, osHasIpv6: true };
  mappedV4 = "203.0.113.9:41641";
  mappedV6 = "[2001:db8:9::9]:41641";
  handlers = new Set<(payload: Uint8Array, from: string) => void>();
  readonly netcheck = new Netcheck({
    scheduler: this.scheduler,
    random: this.random.bytes,
    sendStun: (to, payload) => this.#request(to, payload),
    onStun: (handler) => {
      this.handlers.add(handler);
      return () => this.handlers.delete(handler);
    },
    resolve: (host, family) => {
      const found = this.dns.get(`${host} ${family}`);
      return found ? Promise.resolve(found) : Promise.reject(new Error("no such name"));
    },
    httpsLatency: (_region, node, timeoutMs) =>
      new Promise((resolve) => {
        this.askedByHttps.push(node.Name);
        const ms = this.https.get(node.Name);
        this.scheduler.after(Math.min(ms ?? Infinity, timeoutMs), () =>
          resolve(ms !== undefined && ms <= timeoutMs ? ms : undefined));
      }),
    icmpLatency: (ip, timeoutMs) =>
      new Promise((resolve) => {
        const ms = this.icmp.get(formatIp(ip)) ?? Infinity;
        this.scheduler.after(Math.min(ms, timeoutMs), () => resolve(ms <= timeoutMs ? ms : undefined));
      }),
    askWeb: (url, challenge, signal) => {
      this.askedWeb.push({ at: this.scheduler.monotonic(), url });
      const answer = this.web?.(challenge);
      if (answer !== undefined) return Promise.resolve(answer);
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
    },
    portmap: () => Promise.resolve(this.services),
    localFamilies: () => this.local,
  });

  /** A STUN server of region `id`, on both families unless told. */
  answers(id: number, latencyMs: number, families: readonly (4 | 6)[] = [4, 6]): void {
    if (families.includes(4)) this.stun.set(`192.0.2.${id}:3478`, { latencyMs });
    if (families.includes(6)) this.stun.set(`[2001:db8::${id}]:3478`, { latencyMs });
  }

  /** Runs one netcheck to its end; `took` is in milliseconds of the fake clock. */
  async run(map: DERPMap, options?: NetcheckOptions): Promise<Report & { took: number }> {
    const start = this.scheduler.monotonic();
    this.sent.length = 0;
    this.askedByHttps.length = 0;
    let took = -1;
    const done = this.netcheck.run(map, options).then((report) => {
      took = this.scheduler.monotonic() - start;
      return report;
    });
    for (let i = 0; i < 700 && took < 0; i++) await this.scheduler.advance(10);
    if (took < 0) throw new Error("the netcheck did not end in seven seconds");
    return { ...await done, took };
  }

  #request(to: string, payload: Uint8Array): void {
    this.sent.push({ at: this.scheduler.monotonic(), to });
    const host = this.stun.get(to);
    if (host === undefined || (host.lose ?? 0) > 0) {
      if (host?.lose) host.lose--;
      return;
    }
    const transaction = parseStunRequest(payload)!;
    const mapped = parseAddrPort(host.mapped ?? (to.startsWith("[") ? this.mappedV6 : this.mappedV4))!;
    this.scheduler.after(host.latencyMs, () => {
      for (const handler of [...this.handlers]) handler(encodeStunResponse(transaction, mapped), to);
    });
  }
}
