/**
 * The web proxy that an operator's environment names, and the way through it.
 *
 * ```
 *   HTTPS_PROXY (TLS targets), HTTP_PROXY (others), NO_PROXY ──▶ proxy or direct
 *
 *   http://              TCP                  CONNECT host:port  ──▶  ◀── 200, and the stream is the target's
 *   https://             TCP, TLS, verified   CONNECT as above, inside
 *   socks5:// socks5h:// TCP                  SOCKS5, socks5.ts
 * ```
 * The variables mean what they mean to Go's programs, Tailscale among them: golang.org/x/net/http/httpproxy, net/http
 * Transport. Names in lower case count where the upper case is not set; ALL_PROXY does not. The proxy is told the
 * target's name and looks it up itself, by SOCKS5 too. Unlike Go, a target without TLS is reached by CONNECT too, for
 * what follows is no HTTP; and a proxy that cannot be used is an error, not none.
 */
import type { Socket } from "node:net";
import { GoBetween } from "./go_between.ts";
import { connectByHttp } from "./http_connect.ts";
import { hostPort } from "./ip.ts";
import { goesDirect } from "./no_proxy.ts";
import { type Login, Secret } from "./secret.ts";
import { connectBySocks } from "./socks5.ts";

/** A proxy, and how it is spoken to. */
export interface WebProxy {
  readonly scheme: "http" | "https" | "socks5";
  readonly host: string;
  readonly port: number;
  readonly login?: Login;
}

/** The proxy for a target, or undefined to go there directly. */
export type ProxyChoice = (target: { readonly host: string; readonly port: number; readonly tls: boolean }) =>
  | WebProxy
  | undefined;

type Environment = Readonly<Record<string, string | undefined>>;

const SCHEMES: Readonly<Record<string, Pick<WebProxy, "scheme" | "port">>> = {
  "http:": { scheme: "http", port: 80 },
  "https:": { scheme: "https", port: 443 },
  "socks5:": { scheme: "socks5", port: 1080 },
  "socks5h:": { scheme: "socks5", port: 1080 },
};

/** Reads the variables once. @throws Error for a proxy that cannot be used. */
export function proxyFromEnvironment(env: Environment): ProxyChoice {
  const read = (name: string) => env[name] || env[name.toLowerCase()] || "";
  const tlsProxy = parseProxy("HTTPS_PROXY", read("HTTPS_PROXY"));
  // A CGI program gets its client's `Proxy:` header as HTTP_PROXY (CVE-2016-5385).
  const plainProxy = env.REQUEST_METHOD ? undefined : parseProxy("HTTP_PROXY", read("HTTP_PROXY"));
  const direct = goesDirect(read("NO_PROXY"));
  return ({ host, port, tls }) => {
    const proxy = tls ? tlsProxy : plainProxy;
    return proxy === undefined || direct(host, port) ? undefined : proxy;
  };
}

function parseProxy(name: string, text: string): WebProxy | undefined {
  if (text === "") return undefined;
  const url = URL.parse(/^[a-z0-9+.-]+:\/\//i.test(text) ? text : `http://${text}`);
  // The text may have a password in it, so it is not shown.
  if (url === null || url.hostname === "") throw new Error(`Cannot use ${name}: it is no URL, want http://host:port`);
  const known = Object.hasOwn(SCHEMES, url.protocol) ? SCHEMES[url.protocol] : undefined;
  if (known === undefined) {
    throw new Error(`Cannot use ${name}: it says ${url.protocol}//, want http://, https:// or socks5://`);
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const proxy = { scheme: known.scheme, host, port: Number(url.port || known.port) };
  if (url.username === "" && url.password === "") return proxy;
  try {
    const login = { user: decodeURIComponent(url.username), password: new Secret(decodeURIComponent(url.password)) };
    return { ...proxy, login };
  } catch {
    throw new Error(
      `Cannot use ${name}: a % in its user or password begins no code of two hex digits; write it as %25`,
    );
  }
}

/** What the way through a proxy needs. */
export interface ProxyPorts {
  /** Connects to the proxy itself. Rejects with what the socket says, or the signal's reason. */
  readonly tcp: (host: string, port: number, signal: AbortSignal) => Promise<Socket>;
  /** PEM roots for a proxy that speaks TLS; absent means the runtime's own. */
  readonly ca?: readonly string[];
  /** Unix milliseconds, for the dates of certificates in messages. */
  readonly now: () => number;
}

/**
 * Connects to a target through a proxy.
 * @throws Error whose message names the proxy and what it answered; the signal's reason.
 */
export async function connectThrough(
  proxy: WebProxy,
  target: { readonly host: string; readonly port: number },
  ports: ProxyPorts,
  signal: AbortSignal,
): Promise<Socket> {
  return await GoBetween.through(`the proxy ${hostPort(proxy.host, proxy.port)}`, signal, async (way) => {
    const tcp = await way.tcp(ports.tcp(proxy.host, proxy.port, signal));
    const stream = proxy.scheme === "https" ? await way.tls(tcp, proxy.host, ports) : tcp;
    if (proxy.scheme === "socks5") await way.step("", connectBySocks(stream, target, proxy.login, signal));
    else await way.step("", throughHttp(stream, proxy, target, signal));
    return stream;
  });
}

async function throughHttp(
  stream: Socket,
  { login }: WebProxy,
  { host, port }: { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<void> {
  const target = hostPort(host, port);
  const { status, line } = await connectByHttp(stream, { target, hostHeader: target, login }, signal);
  if (status === 407) throw new Error("wants a user and password; put them into its URL, http://user:password@host");
  if (status < 200 || status > 299) throw new Error(`refused to connect to ${target}: ${line}`);
  // Reading the head paused it. Nothing can be lost: the target speaks when it is spoken to.
  stream.resume();
}
