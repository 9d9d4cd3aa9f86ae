/** TCP and TLS to a control server: directly, through the operator's web proxy, or through an ACE. */
import net from "node:net";
import type { Socket } from "node:net";
import { hostPort } from "../../base/ip.ts";
import { opened, openTls } from "../../base/tls_client.ts";
import { connectThrough, type ProxyChoice } from "../../base/web_proxy.ts";
import { connectByAce } from "./ace.ts";

/** One address to try. */
export interface Endpoint {
  /** Name or literal of the URL. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Literal to connect to instead of looking `host`, or the ACE's name, up. */
  readonly address?: string;
  /** Name of the ACE to go through, past any web proxy; see ace.ts. */
  readonly aceHost?: string;
}

/** Opens a TCP or TLS connection; the port that tests replace. Rejects with what the socket says. */
export type Connect = (to: Endpoint, signal: AbortSignal) => Promise<Socket>;

/** Connects to a name or an address. Rejects with what the socket says, or the signal's reason. */
export type TcpConnect = (host: string, port: number, signal: AbortSignal) => Promise<Socket>;

const nodeTcp: TcpConnect = (host, port, signal) => opened(net.connect({ host, port }), "connect", signal);

/** The real network. */
export interface NetworkOptions {
  /** PEM; nothing else is trusted. */
  readonly ca: readonly string[];
  /** Always directly when absent. */
  readonly proxyFor?: ProxyChoice;
  /** Opens TCP connections; `node:net` when absent. For sockets that must bypass the tunnel. */
  readonly tcp?: TcpConnect;
  /** Unix milliseconds, for the dates of certificates in messages. */
  readonly now: () => number;
}

/** A connection that stands. */
export interface Connection {
  readonly socket: Socket;
  /** What is wrong with the server's certificate, where there is one. */
  readonly flaw: string | undefined;
}

/**
 * Opens it whatever the certificate says; `flaw` is for the caller to judge.
 * @throws what the socket says, an Error about the proxy, or the signal's reason.
 */
export async function openConnection(to: Endpoint, options: NetworkOptions, signal: AbortSignal): Promise<Connection> {
  const plain = await openTcp(to, options, signal);
  if (!to.tls) return { socket: plain, flaw: undefined };
  return await openTls(plain, to.host, options, signal);
}

async function openTcp(to: Endpoint, options: NetworkOptions, signal: AbortSignal): Promise<Socket> {
  const { tcp = nodeTcp, ca, now } = options;
  if (to.aceHost !== undefined) {
    return await connectByAce({ name: to.aceHost, address: to.address }, to, { tcp, ca, now }, signal);
  }
  const proxy = options.proxyFor?.(to);
  if (proxy === undefined) return await tcp(to.address ?? to.host, to.port, signal);
  // What is behind the proxy is known by its name there; Tailscale's nodes do without the address too.
  if (to.address !== undefined) throw new Error(`${to.address} is not asked for where a web proxy is used`);
  return await connectThrough(proxy, to, { tcp, ca, now }, signal);
}

/** As a `Connect`, which takes any certificate. `warn` is told of one that does not check out. */
export function connectWith(options: NetworkOptions, warn: (text: string) => void): Connect {
  return async (to, signal) => {
    const { socket, flaw } = await openConnection(to, options, signal);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    if (flaw !== undefined) warn(`certificate of ${hostPort(to.host, to.port)} is not trusted: ${flaw}`);
    return socket;
  };
}
