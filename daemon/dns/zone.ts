/**
 * The names this node answers for by itself: nodes of the tailnet, records control adds, 4via6 names, and the reverse.
 *
 * ```
 *   name ─▶ special? ─▶ 100.100.100.100's own name ─▶ 4via6 ─▶ extra record ─▶ node ─▶ below a node that asked for it
 *                                      none of them: in a zone of ours? "no such name" : "not ours", to be forwarded
 * ```
 * Made from what the lock accepted; a peer kept out has no name. Indexes are made at the first question.
 * Source: net/dns/resolver/tsdns.go (resolveLocal, resolveLocalReverse), ipnlocal.dnsConfigForNetmap, magicDNSAddrs.
 */
import { formatIp, parseIp, TAILSCALE_ULA } from "../../base/ip.ts";
import type { IpBytes } from "../../base/ip.ts";
import { TYPE } from "../../base/dns_message.ts";
import type { DNSRecord } from "../../control/wire/dns_config.ts";
import type { Node } from "../../control/wire/tailcfg.ts";
import { addressesOf, hasCapability } from "../node_view.ts";
import type { NodeView } from "../node_view.ts";
import { canonicalName, isBelow, reverseAddress } from "./names.ts";

/** What a zone says of a question. */
export type LocalAnswer =
  | { readonly kind: "addresses"; readonly addresses: readonly IpBytes[] }
  | { readonly kind: "name"; readonly name: string }
  /** The name is there, the type is not; `zone` is undefined outside our zones. */
  | { readonly kind: "no-data"; readonly zone: string | undefined }
  | { readonly kind: "no-name"; readonly zone: string | undefined }
  | { readonly kind: "not-implemented" }
  | { readonly kind: "not-ours" };

/** What a zone is made of. */
export interface ZoneSource {
  readonly view: NodeView;
  readonly extraRecords: readonly DNSRecord[];
  /** Domains we alone answer for. */
  readonly domains: readonly string[];
  /** Our own addresses, to which the symbolic name leads. */
  readonly serviceAddresses: readonly string[];
}

/** The name that the service's address has in reverse (resolver.dnsSymbolicFQDN). */
export const SYMBOLIC_NAME = "magicdns.localhost-tailscale-daemon";
/** tailcfg.NodeAttrMagicDNSPeerAAAA, NodeAttrDNSSubdomainResolve. */
const PEER_AAAA = "magicdns-aaaa";
const SUBDOMAINS = "dns-subdomain-resolve";
const UNIMPLEMENTED: ReadonlySet<number> = new Set([TYPE.NS, TYPE.SOA, TYPE.AXFR, TYPE.HINFO]);
/** fd7a:115c:a1e0:b1a::/64, tsaddr.TailscaleViaRange. */
const VIA_SUBNET = 0x0b1a;
const LOOPBACK: readonly IpBytes[] = [parseIp("127.0.0.1")!, parseIp("::1")!];
/** Names that stand for no host of the DNS; sent on, they would tell strangers what somebody looks for. */
const NEVER_FORWARDED = ["onion", "local", "invalid", "use-application-dns.net"];

/** Zones of a tailnet that are reverse ones (ipnlocal.magicDNSRootDomains). */
export const REVERSE_ZONES: readonly string[] = [
  "0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa",
  ...Array.from({ length: 64 }, (_, i) => `${64 + i}.100.in-addr.arpa`),
];

/** The names of one netmap. Immutable. */
export class Zone {
  readonly #source: ZoneSource;
  #names: Map<string, readonly IpBytes[]> | undefined;
  readonly #parents = new Set<string>();
  readonly #byAddress = new Map<string, string>();

  constructor(source: ZoneSource) {
    this.#source = source;
  }

  /** The zone of ours that holds the name. */
  zoneOf(name: string): string | undefined {
    return this.#source.domains.filter((domain) => isBelow(name, domain)).sort((a, b) => b.length - a.length)[0];
  }

  /** What there is of this name and type. */
  lookup(name: string, type: number): LocalAnswer {
    const names = this.#index();
    if (type === TYPE.PTR) return this.#reverse(name);
    if (name === "localhost" || name.endsWith(".localhost")) return this.#choose(LOOPBACK, name, type);
    if (name === SYMBOLIC_NAME) {
      const own = this.#source.serviceAddresses.flatMap((address) => parseIp(address) ?? []);
      return this.#choose(own, name, type);
    }
    const via = viaAddress(name, (suffix) => this.#isVia(suffix));
    if (via !== undefined && !UNIMPLEMENTED.has(type)) return this.#choose([via], name, type);
    const found = names.get(name) ?? this.#below(name, names);
    if (found !== undefined) return this.#choose(found, name, type);
    const zone = this.zoneOf(name);
    return zone === undefined ? { kind: "not-ours" } : { kind: "no-name", zone };
  }

  #choose(addresses: readonly IpBytes[], name: string, type: number): LocalAnswer {
    if (UNIMPLEMENTED.has(type)) return { kind: "not-implemented" };
    const wanted = addresses.filter((ip) => type === TYPE.ANY || type === (ip.length === 4 ? TYPE.A : TYPE.AAAA));
    return wanted.length === 0
      ? { kind: "no-data", zone: this.zoneOf(name) }
      : { kind: "addresses", addresses: wanted };
  }

  #reverse(name: string): LocalAnswer {
    const ip = reverseAddress(name);
    const found = ip === undefined ? undefined : this.#byAddress.get(formatIp(ip));
    if (found !== undefined) return { kind: "name", name: found };
    const zone = this.zoneOf(name);
    return zone === undefined ? { kind: "not-ours" } : { kind: "no-name", zone };
  }

  /** Addresses of the node above a name, where it asked to have all names below its own. */
  #below(name: string, names: ReadonlyMap<string, readonly IpBytes[]>): readonly IpBytes[] | undefined {
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
      const parent = name.slice(dot + 1);
      if (this.#parents.has(parent)) return names.get(parent);
    }
    return undefined;
  }

  #isVia(suffix: string): boolean {
    return suffix === "" || ["ts.net", "tailscale.net", this.#source.view.magicDnsSuffix]
      .some((domain) => domain !== "" && isBelow(suffix, canonicalName(domain)));
  }

  #index(): ReadonlyMap<string, readonly IpBytes[]> {
    if (this.#names !== undefined) return this.#names;
    const names = new Map<string, readonly IpBytes[]>();
    this.#names = names;
    const { view, extraRecords, serviceAddresses } = this.#source;
    const { self } = view.netmap;
    const onlyV6 = addressesOf(self).every((address) => address.includes(":"));
    const allowV6 = hasCapability(self, PEER_AAAA);
    for (const node of [...view.peers, self]) this.#addNode(names, node, { onlyV6, allowV6 });
    const extra = new Map<string, IpBytes[]>();
    for (const { Name, Type, Value } of extraRecords) {
      const ip = parseIp(Value);
      if (ip === undefined || !["", "A", "AAAA"].includes(Type ?? "")) continue;
      extra.set(canonicalName(Name), [...extra.get(canonicalName(Name)) ?? [], ip]);
    }
    // Control's own records stand in place of a node of the same name.
    for (const [name, addresses] of extra) names.set(name, addresses);
    for (const address of serviceAddresses) this.#byAddress.set(address, SYMBOLIC_NAME);
    return names;
  }

  #addNode(
    names: Map<string, readonly IpBytes[]>,
    node: Node,
    { onlyV6, allowV6 }: { readonly onlyV6: boolean; readonly allowV6: boolean },
  ): void {
    const name = canonicalName(node.Name);
    if (name === "") return;
    const addresses = addressesOf(node);
    for (const address of addresses) this.#byAddress.set(address, name);
    const has4 = addresses.some((address) => !address.includes(":"));
    const usable = addresses.filter((address) => {
      const is6 = address.includes(":");
      if (onlyV6) return is6;
      return !is6 || !has4 || allowV6;
    });
    names.set(name, usable.flatMap((address) => parseIp(address) ?? []));
    if (hasCapability(node, SUBDOMAINS)) this.#parents.add(name);
  }
}

/**
 * The IPv6 address of `10-1-1-16-via-7.SUFFIX`: site 7's 10.1.1.16. The number is decimal, or `0x…` (strconv.ParseUint
 * with base 0). Undefined for any other name.
 */
function viaAddress(name: string, isSuffix: (suffix: string) => boolean): IpBytes | undefined {
  const match = /^([0-9]{1,3}(?:-[0-9]{1,3}){3})-via-(0x[0-9a-f]{1,8}|0|[1-9][0-9]{0,9})(?:\.(.*))?$/.exec(name);
  if (match === null || !isSuffix(match[3] ?? "")) return undefined;
  const ip4 = parseIp(match[1].replaceAll("-", "."));
  const site = Number(match[2]);
  if (ip4 === undefined || site > 0xffffffff) return undefined;
  const out = TAILSCALE_ULA.ip.slice();
  const view = new DataView(out.buffer);
  view.setUint16(6, VIA_SUBNET);
  view.setUint32(8, site);
  out.set(ip4, 12);
  return out;
}

/** Whether a name must not leave this machine, unless a domain of its own was routed somewhere (RFC 6761, 6762, 7686). */
export function isNeverForwarded(name: string): boolean {
  return NEVER_FORWARDED.some((suffix) => isBelow(name, suffix)) || isServiceDiscovery(name);
}

/** Browsing for services of the local link: asked without end and answered by nobody (resolver.hasRDNSBonjourPrefix). */
function isServiceDiscovery(name: string): boolean {
  return /^(b|db|r|dr|lb)\._dns-sd\._udp\./.test(name);
}
