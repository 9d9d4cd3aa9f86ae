/** Where the coordinator listens, what it is called by nodes, and what may go over plain http. */
import { CGNAT, formatIp, parseIp, parsePrefix, prefixContains, unmap } from "../../base/ip.ts";
import type { Prefix } from "../../base/ip.ts";

/** A host and a port to listen on. */
export interface ListenAddress {
  /** An IP address or a name; "" stands for every address. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** A mistake in the coordinator's options; the message says what to write instead. */
export class OptionError extends Error {
  override readonly name = "OptionError";
}

const LOOPBACK: readonly Prefix[] = ["127.0.0.0/8", "::1/128"].map((text) => parsePrefix(text)!);
const PRIVATE: readonly Prefix[] = [
  "127.0.0.0/8",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "169.254.0.0/16",
  "::1/128",
  "fc00::/7",
  "fe80::/10",
].map((text) => parsePrefix(text)!).concat(CGNAT);

/** `host:port`, `[v6]:port` or `:port`. @throws OptionError */
export function parseListen(flag: string, text: string): ListenAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    throw new OptionError(`Cannot use ${flag} ${text}: want host:port, [ipv6]:port or :port`);
  }
  return { host: match[1] ?? match[2], port };
}

/** `host:port` with brackets where they belong. */
export function joinHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** True for loopback and private addresses (RFC 1918, 4193, 6598, link-local) and for `localhost`. */
export function isPrivateHost(host: string): boolean {
  const ip = parseIp(host);
  if (ip === undefined) return host === "localhost" || host.endsWith(".localhost");
  return PRIVATE.some((prefix) => prefixContains(prefix, unmap(ip)));
}

/** True for addresses that stay on the machine, and for `localhost`. */
export function isLoopback(host: string): boolean {
  const ip = parseIp(host);
  if (ip === undefined) return host === "localhost" || host.endsWith(".localhost");
  return LOOPBACK.some((prefix) => prefixContains(prefix, unmap(ip)));
}

/** True for "", 0.0.0.0 and ::, which are every address of the machine. */
export function isUnspecified(host: string): boolean {
  if (host === "") return true;
  const ip = parseIp(host);
  return ip !== undefined && ip.every((byte) => byte === 0);
}

/**
 * Checks the URL nodes are given: `http(s)://host[:port]`, nothing behind it.
 *
 * @returns it in its normal form, without a slash at its end. @throws OptionError
 */
export function parseServerUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url !== undefined && (url.protocol === "http:" || url.protocol === "https:") && url.pathname === "/" &&
    url.search === "" && url.hash === "" && url.username === "" && url.password === "";
  if (!plain) throw new OptionError(`Cannot use --server-url ${text}: want https://host or https://host:port`);
  return url;
}

/** The host of a URL as an address or a name, without brackets. */
export function urlHost(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1");
}

/** The port of a URL, its scheme's own when it names none. */
export function urlPort(url: URL): number {
  return url.port !== "" ? Number(url.port) : url.protocol === "https:" ? 443 : 80;
}

/** The URL nodes reach a listener by, when no other is given. @throws OptionError when it listens everywhere. */
export function urlOfListener(tls: boolean, { host, port }: ListenAddress): URL {
  if (isUnspecified(host)) {
    throw new OptionError(
      "Cannot tell nodes where this coordinator is: it listens on every address; add --server-url https://<its name>",
    );
  }
  return parseServerUrl(`${tls ? "https" : "http"}://${joinHostPort(host, port)}`);
}

/**
 * Refuses plain http where strangers could read or change `/key`, on which nodes base their trust (W12).
 *
 * @param tls the listener speaks TLS itself. @throws OptionError
 */
export function checkPlainHttp(
  tls: boolean,
  listen: ListenAddress,
  serverUrl: URL | undefined,
  allowed: boolean,
): void {
  if (allowed) return;
  const remedy = "add --tls-cert and --tls-key, put it behind a TLS proxy on this machine, or accept the risk with " +
    "--insecure-http";
  if (serverUrl?.protocol === "http:" && !isPrivateHost(urlHost(serverUrl))) {
    throw new OptionError(`Cannot offer plain http at ${serverUrl.host}, which is no private address: ${remedy}`);
  }
  if (!tls && !isPrivateHost(listen.host)) {
    const where = isUnspecified(listen.host) ? "every address" : listen.host;
    throw new OptionError(`Cannot listen with plain http on ${where}: ${remedy}`);
  }
}

/** True when the text is an IP address; its family otherwise undefined. */
export function ipFamily(host: string): 4 | 6 | undefined {
  const ip = parseIp(host);
  return ip === undefined ? undefined : formatIp(ip).includes(":") ? 6 : 4;
}
