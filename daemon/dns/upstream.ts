/**
 * A server that questions are sent on to, by the text control gives it. Source: dnstype.Resolver, net/dns/publicdns.
 */
import { formatIp, isTailscaleIp, parseAddrPort, parseIp } from "../../base/ip.ts";
import type { AddrPort } from "../../base/ip.ts";
import type { Resolver } from "../../control/wire/dns_config.ts";

/** DNS over HTTPS at a URL; the addresses it is reached at, so that no name has to be resolved to resolve names. */
export interface DohServer {
  readonly url: string;
  readonly addresses: readonly string[];
}

/** A server as it is spoken to. */
export type Upstream =
  | { readonly kind: "plain"; readonly server: AddrPort; readonly text: string }
  | { readonly kind: "doh"; readonly server: DohServer; readonly text: string };

const DNS_PORT = 53;
const MULLVAD = ["dns", "adblock.dns", "base.dns", "extended.dns", "family.dns"];

/** Public servers that speak HTTPS at the same addresses. */
const PROVIDERS: readonly (readonly [url: string, addresses: readonly string[]])[] = [
  ...[["", 1, "1111", "1001"], ["security.", 2, "1112", "1002"], ["family.", 3, "1113", "1003"]].map(
    ([host, last, a, b]) =>
      [`https://${host}cloudflare-dns.com/dns-query`, [
        `1.1.1.${last}`,
        `1.0.0.${last}`,
        `2606:4700:4700::${a}`,
        `2606:4700:4700::${b}`,
      ]] as const,
  ),
  ["https://dns.google/dns-query", ["8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"]],
  ["https://dns.quad9.net/dns-query", ["9.9.9.9", "149.112.112.112", "2620:fe::fe", "2620:fe::9"]],
  ["https://dns11.quad9.net/dns-query", ["9.9.9.11", "149.112.112.11", "2620:fe::11", "2620:fe::fe:11"]],
  ["https://dns10.quad9.net/dns-query", ["9.9.9.10", "149.112.112.10", "2620:fe::10", "2620:fe::fe:10"]],
  ...[2, 3, 4, 5, 6].map((last, i) =>
    [`https://${MULLVAD[i]}.mullvad.net/dns-query`, [`194.242.2.${last}`, `2a07:e340::${last}`]] as const
  ),
  ["https://all.dns.mullvad.net/dns-query", ["194.242.2.9", "2a07:e340::9"]],
  ["https://wikimedia-dns.org/dns-query", ["185.71.138.138", "2001:67c:930::1"]],
  ...["p0", "p1", "p2", "p3", "family"].map((path, i) =>
    [`https://freedns.controld.com/${path}`, [
      `76.76.2.${i}`,
      `76.76.10.${i}`,
      i === 0 ? "2606:1a40::" : `2606:1a40::${i}`,
      i === 0 ? "2606:1a40:1::" : `2606:1a40:1::${i}`,
    ]] as const
  ),
  ...[["private", 10], ["protected", 20], ["family", 30]].map(([kind, last]) =>
    [`https://${kind}.canadianshield.cira.ca/dns-query`, [
      `149.112.121.${last}`,
      `149.112.122.${last}`,
      `2620:10a:80bb::${last}`,
      `2620:10a:80bc::${last}`,
    ]] as const
  ),
];

const BY_ADDRESS = new Map(PROVIDERS.flatMap(([url, addresses]) => addresses.map((ip) => [ip, { url, addresses }])));

/** The provider's DNS over HTTPS, for an address of a known public server. */
export function dohOf(address: string): DohServer | undefined {
  return BY_ADDRESS.get(address);
}

/** Undefined for a text that names nothing this version can speak to. */
export function parseUpstream({ Addr = "", BootstrapResolution = [] }: Resolver): Upstream | undefined {
  const ip = parseIp(Addr);
  if (ip !== undefined) return { kind: "plain", server: { ip, port: DNS_PORT }, text: Addr };
  const server = parseAddrPort(Addr);
  if (server !== undefined) return { kind: "plain", server, text: Addr };
  if (!URL.canParse(Addr)) return undefined;
  const url = new URL(Addr);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const literal = parseIp(host);
  // Without TLS inside the tunnel alone: an exit node's.
  if (url.protocol === "http:" && (literal === undefined || !isTailscaleIp(literal))) return undefined;
  if (url.protocol !== "https:" && url.protocol !== "http:") return undefined;
  const known = PROVIDERS.find(([base]) => base === Addr)?.[1];
  const addresses = literal !== undefined
    ? [formatIp(literal)]
    : BootstrapResolution !== null && BootstrapResolution.length > 0
    ? BootstrapResolution
    : known ?? [];
  return addresses.length === 0 ? undefined : { kind: "doh", server: { url: Addr, addresses }, text: Addr };
}
