/** TCP and TLS to a control server, directly or through the operator's web proxy. */
import net from "node:net";
import type { Socket } from "node:net";
import tls from "node:tls";
import { connectThrough, hostPort, type ProxyChoice } from "../../base/http_proxy.ts";
import { certificateFailure } from "../../base/tls_failure.ts";
import { serverName } from "./failure_text.ts";

/** One address to try. */
export interface Endpoint {
  /** Name or literal of the URL. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Literal to connect to instead of looking `host` up. */
  readonly address?: string;
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
  const host = to.address ?? to.host;
  const proxy = options.proxyFor?.(to);
  const tcp = options.tcp ?? nodeTcp;
  let under: Socket | undefined;
  if (proxy !== undefined) {
    const socket = under = await tcp(proxy.host, proxy.port, signal).catch(
      (error) => {
        if (signal.aborted) throw error;
        throw new Error(`the proxy ${hostPort(proxy.host, proxy.port)} does not answer: ${error.message}`, {
          cause: error,
        });
      },
    );
    await connectThrough(socket, proxy, host, to.port, signal).catch((error) => {
      destroy(socket);
      throw error;
    });
  }
  const plain = under ??= await tcp(host, to.port, signal);
  if (!to.tls) return { socket: plain, flaw: undefined };
  const secure = tls.connect({
    socket: plain,
    host: to.host,
    servername: serverName(to.host),
    ca: [...options.ca],
    rejectUnauthorized: false,
  });
  // The TLS socket reports what befalls the one under it, whose own report would be nobody's.
  plain.on("error", () => {});
  const socket = await opened(secure, "secureConnect", signal);
  const certificate = socket.getPeerCertificate(true);
  const mismatch = tls.checkServerIdentity(to.host, certificate);
  if (socket.authorized && mismatch === undefined) return { socket, flaw: undefined };
  const reason = mismatch?.message ?? String(socket.authorizationError);
  return { socket, flaw: certificateFailure(certificate, reason, options.now()) };
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

function destroy(socket: Socket): void {
  socket.on("error", () => {});
  socket.destroy();
}

function opened<T extends Socket>(socket: T, event: "connect" | "secureConnect", signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      signal.removeEventListener("abort", onAbort);
      socket.off("error", onError);
    };
    const onError = (error: Error) => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onAbort = () => {
      settle();
      destroy(socket);
      reject(signal.reason);
    };
    socket.once("error", onError);
    socket.once(event, () => {
      settle();
      resolve(socket);
    });
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
