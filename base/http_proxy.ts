/**
 * The web proxy that an operator's environment names, and the way through it.
 *
 * ```
 *   HTTPS_PROXY (TLS targets), HTTP_PROXY (others), NO_PROXY ──▶ proxy or direct
 *   CONNECT host:port HTTP/1.1  ──▶  ◀── 200, and the stream is the target's
 * ```
 * The variables mean what they mean to Go's programs, Tailscale among them: golang.org/x/net/http/httpproxy. Names in
 * lower case count where the upper case is not set. Unlike Go, a target without TLS is reached by CONNECT too, for what
 * follows is no HTTP.
 */
import type { Duplex } from "node:stream";
import { toBase64, utf8 } from "./bytes.ts";
import { readHttpHead } from "./http_head.ts";
import { formatIp, parseIp, parsePrefix, prefixContains } from "./ip.ts";

/** An HTTP proxy. */
export interface HttpProxy {
  readonly host: string;
  readonly port: number;
  /** Value of `Proxy-Authorization`; a secret. */
  readonly authorization?: string;
}

/** The proxy for a target, or undefined to go there directly. */
export type ProxyChoice = (target: { readonly host: string; readonly port: number; readonly tls: boolean }) =>
  | HttpProxy
  | undefined;

type Environment = Readonly<Record<string, string | undefined>>;
type Exception = (host: string, port: number) => boolean;

/** "host:port" as it stands in URLs and headers. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Reads the variables once. @throws Error for a proxy that cannot be used. */
export function proxyFromEnvironment(env: Environment): ProxyChoice {
  const read = (name: string) => env[name] || env[name.toLowerCase()] || "";
  const tlsProxy = parseProxy("HTTPS_PROXY", read("HTTPS_PROXY"));
  // A CGI program gets its client's `Proxy:` header as HTTP_PROXY (CVE-2016-5385).
  const plainProxy = env.REQUEST_METHOD ? undefined : parseProxy("HTTP_PROXY", read("HTTP_PROXY"));
  const exceptions = read("NO_PROXY").split(",").map((part) => parseException(part.trim().toLowerCase()));
  return ({ host, port, tls }) => {
    const proxy = tls ? tlsProxy : plainProxy;
    if (proxy === undefined || isLocal(host)) return undefined;
    const name = host.toLowerCase().replace(/\.$/, "");
    return exceptions.some((matches) => matches(name, port)) ? undefined : proxy;
  };
}

function parseProxy(name: string, text: string): HttpProxy | undefined {
  if (text === "") return undefined;
  const url = URL.parse(/^[a-z0-9+]+:\/\//i.test(text) ? text : `http://${text}`);
  // The text may have a password in it, so it is not shown.
  if (url === null || url.hostname === "") throw new Error(`Cannot use ${name}: it is no URL, want http://host:port`);
  if (url.protocol !== "http:") throw new Error(`Cannot use ${name}: it says ${url.protocol}//, want http://`);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port || 80);
  if (url.username === "" && url.password === "") return { host, port };
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { host, port, authorization: `Basic ${toBase64(utf8(login))}` };
}

/** As Go has it: these never go by a proxy. */
function isLocal(host: string): boolean {
  if (host.toLowerCase() === "localhost") return true;
  const ip = parseIp(host);
  return ip !== undefined && (ip.length === 4 ? ip[0] === 127 : formatIp(ip) === "::1");
}

function parseException(text: string): Exception {
  if (text === "") return () => false;
  if (text === "*") return () => true;
  const prefix = text.includes("/") ? parsePrefix(text) : undefined;
  if (prefix !== undefined) {
    return (host) => {
      const ip = parseIp(host);
      return ip !== undefined && prefixContains(prefix, ip);
    };
  }
  const match = /^(.*?)(?::([0-9]{1,5}))?$/.exec(parseIp(text) === undefined ? text : `[${text}]`)!;
  const name = match[1].replace(/^\[|\]$/g, "");
  const samePort = (port: number) => match[2] === undefined || Number(match[2]) === port;
  const ip = parseIp(name);
  if (ip !== undefined) {
    return (host, port) => {
      const other = parseIp(host);
      return other !== undefined && formatIp(other) === formatIp(ip) && samePort(port);
    };
  }
  // "example.com" is itself and what is below it, ".example.com" and "*.example.com" only what is below.
  const suffix = name.replace(/^\*?\./, "");
  const itself = suffix === name;
  return (host, port) => samePort(port) && (host.endsWith(`.${suffix}`) || (itself && host === suffix));
}

/**
 * Asks the proxy at the other end of `stream` for a connection; afterwards the stream is the target's.
 * @throws Error whose message names the proxy and its answer; the signal's reason. The stream stays the caller's.
 */
export async function connectThrough(
  stream: Duplex,
  proxy: HttpProxy,
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<void> {
  const target = hostPort(host, port);
  const login = proxy.authorization === undefined ? "" : `Proxy-Authorization: ${proxy.authorization}\r\n`;
  stream.write(utf8(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${login}\r\n`));
  const refuse = (seen: string) => new Error(`the proxy ${hostPort(proxy.host, proxy.port)} ${seen}`);
  const head = await readHttpHead(stream, signal).catch((error) => {
    throw signal.aborted ? error : refuse(`gave no answer: ${(error as Error).message}`);
  });
  if (head.status === 407) throw refuse("wants a user and password; put them into its URL, http://user:password@host");
  if (head.status < 200 || head.status > 299) throw refuse(`refused to connect to ${target}: ${head.line}`);
  // Reading the head paused it. Nothing can be lost: the target speaks when it is spoken to.
  stream.resume();
}
